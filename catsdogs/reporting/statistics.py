"""Is one test accuracy better than another? Paired over seeds and over pictures, by scipy."""

from collections.abc import Sequence
from dataclasses import dataclass

from catsdogs.reporting.document import Table
from catsdogs.reporting.pairs import Pair
from catsdogs.reporting.runs import Runs

MARGIN = 0.01  # equivalent: less than one percentage point apart
CONFIDENCE = 0.95


@dataclass(frozen=True)
class SeedAnswers:
    """Both best checkpoints of one seed on the same test pictures.

    Attributes:
        seed: Of both runs.
        pictures: In the test split.
        reference_right: Right answers of the reference.
        contender_right: Right answers of the contender.
        only_reference: Pictures that only the reference got right.
        only_contender: Pictures that only the contender got right.
        p_value: Exact McNemar test: how often a split of the disagreements at least this uneven
            comes from two equally good heads; 1 without a disagreement.
    """

    seed: int
    pictures: int
    reference_right: int
    contender_right: int
    only_reference: int
    only_contender: int
    p_value: float


@dataclass(frozen=True)
class Comparison:
    """A pair's test accuracy, paired over seeds; contender minus reference, as shares.

    Attributes:
        pair: Who.
        seeds: What was compared, seed by seed.
        left_out: Seeds that could not be compared, and why.
        mean: Of the differences; nan without seeds.
        interval: 95 % for the mean over further seeds on these test pictures (paired t); None where
            there is none: fewer than two seeds, or the same difference in every seed.
        equivalence_p: Two one-sided paired t tests against `MARGIN`, the larger p value; None where
            there is no interval.
    """

    pair: Pair
    seeds: tuple[SeedAnswers, ...]
    left_out: tuple[tuple[int, str], ...]
    mean: float
    interval: tuple[float, float] | None
    equivalence_p: float | None


def compare_accuracy(runs: Runs, pair: Pair) -> Comparison:
    """Compare a pair on the test pictures.

    Args:
        runs: One for each contender and seed, as `chosen_runs` returns them.
        pair: Who.
    """
    raise NotImplementedError


def accuracy_table(comparisons: Sequence[Comparison]) -> Table:
    """Return a row for each pair: mean difference, interval and equivalence."""
    raise NotImplementedError


def answers_table(comparisons: Sequence[Comparison]) -> Table:
    """Return a row for each pair and seed: the pictures that only one got right."""
    raise NotImplementedError
