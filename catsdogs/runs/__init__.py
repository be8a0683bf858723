"""The run directory: its format, its writer and its readers. Needs no torch."""
