"""Sections of the report: numbers, table and figure of each."""
