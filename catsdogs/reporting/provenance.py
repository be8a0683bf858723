"""Where the numbers come from: data, weights, settings, versions, hardware, commit, commands."""

from catsdogs.reporting.document import Paragraph, Table
from catsdogs.reporting.runs import Runs


def provenance_table(runs: Runs) -> Table:
    """Return every fact in which all runs agree."""
    raise NotImplementedError


def disagreement(runs: Runs) -> Table | Paragraph:
    """Return the facts in which runs disagree, a row for each value, or that there are none."""
    raise NotImplementedError


def settings_table(runs: Runs) -> Table:
    """Return the hyperparameters of every contender."""
    raise NotImplementedError


def commands_table(runs: Runs) -> Table:
    """Return what was typed, each command once, with the number of its runs."""
    raise NotImplementedError
