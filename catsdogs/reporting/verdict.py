"""One sentence for each pair: are the two the same here, how far apart, on what evidence."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from catsdogs.reporting.document import Table
from catsdogs.reporting.parity import Parity
from catsdogs.reporting.runs import Runs
from catsdogs.reporting.statistics import Comparison

Kind = Literal[
    "identical bit for bit",
    "the same answers",
    "equivalent within one point",
    "different",
    "the evidence does not decide",
    "nothing to compare",
]


@dataclass(frozen=True)
class Verdict:
    """What the records say of a pair.

    Attributes:
        comparison: Of test accuracies; names the pair.
        parities: Of costs, weights and logits.
        kind: In a few words.
        sentence: With the evidence.
    """

    comparison: Comparison
    parities: tuple[Parity, ...]
    kind: Kind
    sentence: str


def verdicts(runs: Runs) -> tuple[Verdict, ...]:
    """Judge every pair of a comparison.

    Args:
        runs: All of them; the learning rate is chosen here.
    """
    raise NotImplementedError


def verdict_table(verdicts: Sequence[Verdict]) -> Table:
    """Return a row for each pair: the verdict and its sentence."""
    raise NotImplementedError
