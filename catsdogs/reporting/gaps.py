"""What is not there: runs that are missing, failed, diverged, were cut off, or are one too many."""

from catsdogs.reporting.document import Paragraph, Table
from catsdogs.reporting.runs import Run, Runs


def reason(run: Run) -> str:
    """Say in one sentence why a run did not finish; empty for one that did."""
    raise NotImplementedError


def gaps(runs: Runs) -> Table | Paragraph:
    """Return a row for each run that tables and verdicts leave out, or that there is none.

    Args:
        runs: All of them.
    """
    raise NotImplementedError
