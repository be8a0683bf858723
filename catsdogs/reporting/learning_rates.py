"""Which learning rate each contender is judged at: the best on validation, never on test."""

from dataclasses import dataclass

from catsdogs.reporting.document import Paragraph, Table
from catsdogs.reporting.runs import Runs


@dataclass(frozen=True)
class Tried:
    """A contender at one learning rate of the grid.

    Attributes:
        learning_rate: None for an optimizer without one.
        planned: Runs, one for each seed.
        finished: Those that finished; the means are over them.
        val_accuracy: Mean of the best validation accuracies, 0 to 1; nan without a finished run.
        val_cost: Mean of the validation costs at those epochs.
    """

    learning_rate: float | None
    planned: int
    finished: int
    val_accuracy: float
    val_cost: float


@dataclass(frozen=True)
class Choice:
    """The learning rate that a contender is judged at.

    Attributes:
        label: The contender.
        tried: Every learning rate, ascending.
        chosen: One of them.
        at_edge: Whether it is the smallest or largest of several that were tried, so that a better
            one may lie outside the grid.
    """

    label: str
    tried: tuple[Tried, ...]
    chosen: Tried
    at_edge: bool


def choose_learning_rates(runs: Runs) -> tuple[Choice, ...]:
    """Choose a learning rate for every contender.

    The one at which most runs finished; of equals the one with the highest mean best validation
    accuracy; of equals the one with the lowest mean validation cost at those epochs; of equals the
    smallest.
    """
    raise NotImplementedError


def chosen_runs(runs: Runs) -> Runs:
    """Reduce runs to what tables and verdicts are made from: one for each contender and seed.

    Of the learning rates, the one chosen on validation; of several runs of the same contender, seed
    and learning rate, the one that finished, and of those the one that started last.
    """
    raise NotImplementedError


def learning_rate_table(runs: Runs) -> Table | None:
    """Return what each learning rate reached and which was chosen; None without a grid."""
    raise NotImplementedError


def edge_warning(runs: Runs) -> Paragraph | None:
    """Name the contenders whose chosen learning rate is at the grid's edge; None without any."""
    raise NotImplementedError
