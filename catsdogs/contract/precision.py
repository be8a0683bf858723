"""Claims about types and extreme values: half precision, step counts, nan, huge numbers."""
