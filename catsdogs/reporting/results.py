"""The tables of results: what each contender reached, beside what the monograph printed."""

from catsdogs.reporting.document import Table
from catsdogs.reporting.runs import Runs


def results_table(runs: Runs) -> Table:
    """Return a row for each contender: mean and standard deviation over seeds.

    Args:
        runs: One for each contender and seed, as `chosen_runs` returns them.
    """
    raise NotImplementedError


def seeds_table(runs: Runs) -> Table:
    """Return a row for each run, those that are missing or did not finish too.

    Args:
        runs: One for each contender and seed, as `chosen_runs` returns them.
    """
    raise NotImplementedError


def published_table(runs: Runs) -> Table | None:
    """Return the monograph's values beside ours; None if no contender has one there.

    Args:
        runs: One for each contender and seed, as `chosen_runs` returns them.
    """
    raise NotImplementedError
