"""`results.csv`: a row for each run with every scalar, for whoever wants to calculate on."""

from catsdogs.reporting.runs import Runs

COLUMNS: dict[str, str] = {}


def results_csv(runs: Runs) -> str:
    """Return the text of `results.csv`, its columns as `COLUMNS` explains them.

    Floats read back to the same bits; a cell is empty where a run did not get so far.

    Args:
        runs: All of them; those that are missing get a row too.
    """
    raise NotImplementedError
