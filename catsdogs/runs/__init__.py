"""The run directory: its format, its writer and its reader. Needs no torch."""
