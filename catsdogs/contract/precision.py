"""Claims about types and extreme values: half precision, step counts, nan, tiny and huge numbers."""
