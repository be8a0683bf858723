"""The drawings of a report, a file for each kind; all share `canvas` and `looks`."""
