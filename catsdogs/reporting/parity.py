"""Are two optimizers the same arithmetic? Costs, weights and answers, bit for bit."""

from collections.abc import Sequence
from dataclasses import dataclass

from catsdogs.reporting.document import Table
from catsdogs.reporting.pairs import Pair
from catsdogs.reporting.runs import Floats, Run, Runs


@dataclass(frozen=True)
class Parity:
    """Two runs of the same seed and learning rate side by side.

    Attributes:
        seed: Of both.
        learning_rate: Of the contender.
        remark: What keeps the two from being compared in full, such as a run that is missing or
            diverged; empty where nothing does.
        iterations: How many both have; 0 where one of them is missing.
        first_difference: The first iteration, from 1, whose costs are not the same bits (the length
            of the shorter series and 1 where only the length differs); None where all are.
        largest_cost_difference: Over these iterations; inf where only one of two costs is finite,
            nan without iterations.
        largest_weight_difference: Over all weights after the last step; nan where a run left none.
        tensor: The name of the weights that differ most; empty where none differ.
        largest_logit_difference: Over the test pictures; nan where a run has no answers.
        identical: Whether costs, final weights and test logits are all there and the same bits.
    """

    seed: int
    learning_rate: float | None
    remark: str
    iterations: int
    first_difference: int | None
    largest_cost_difference: float
    largest_weight_difference: float
    tensor: str
    largest_logit_difference: float
    identical: bool


def cost_differences(reference: Run, contender: Run) -> Floats:
    """Return the absolute difference of two runs' costs at every iteration that both have.

    Equal values differ by 0 even if they are not finite; inf where only one is finite.
    """
    raise NotImplementedError


def parities(runs: Runs, pair: Pair) -> tuple[Parity, ...]:
    """Compare a pair at every seed, and at every learning rate of the grid if there is one.

    Raises:
        UserError: If a file of weights is damaged.
    """
    raise NotImplementedError


def parity_table(runs: Runs, pairs: Sequence[Pair]) -> Table:
    """Return a row for each pair, seed and learning rate."""
    raise NotImplementedError
