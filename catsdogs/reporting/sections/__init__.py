"""Sections of the report; each file has the numbers, tables and figures of one section."""
