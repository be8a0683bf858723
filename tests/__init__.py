"""Tests of catsdogs, in the folders of the package."""
