"""Is one test accuracy better than another? Paired over seeds and over pictures, by scipy."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest, ttest_rel

from catsdogs.io import formatting
from catsdogs.reporting.document import Table
from catsdogs.reporting.sections.parity import STATUS
from catsdogs.runs.contenders import Pair
from catsdogs.runs.reader import Predictions, Runs

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
    images: int
    reference_right: int
    contender_right: int
    only_reference: int
    only_contender: int
    p_value: float


@dataclass(frozen=True)
class PairedComparison:
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


def compare_accuracy(runs: Runs, pair: Pair) -> PairedComparison:
    """Compare a pair on the test pictures.

    Args:
        runs: One for each contender and seed, as `chosen_runs` returns them.
        pair: Who.
    """
    seeds: list[SeedAnswers] = []
    left_out: list[tuple[int, str]] = []
    images: tuple[str, ...] | None = None
    for seed in runs.comparison.seeds:
        both = _answers_of_both(runs, pair, seed)
        if isinstance(both, str):
            left_out.append((seed, both))
        elif images not in (None, both[0].paths):
            left_out.append((seed, f"other test pictures than those of seed {seeds[0].seed}"))
        else:
            images = both[0].paths
            seeds.append(_seed_answers(seed, *both))
    return _over_seeds(pair, tuple(seeds), tuple(left_out))


def accuracy_table(comparisons: Sequence[PairedComparison]) -> Table:
    """Return a row for each pair: mean difference, interval and equivalence."""
    rows = tuple(
        (
            f"{comparison.pair.contender} - {comparison.pair.reference}",
            str(len(comparison.seeds)),
            formatting.points(comparison.mean),
            _interval(comparison.interval),
            formatting.p_value(comparison.equivalence_p),
        )
        for comparison in comparisons
    )
    return Table(
        "Difference of the test accuracy, contender minus reference, in percentage points.",
        ("pair", "seeds", "mean", "95 % interval", "p of equivalence"),
        rows,
        "Paired over seeds: both runs of a seed start from the same head and see the same batches, "
        "unless an optimizer asks for batches of its own, as SAGA does. "
        "The interval is for the mean over further seeds on these same test pictures (paired t); "
        "it does not say what other pictures would show. p of equivalence: two one-sided paired t "
        "tests against a margin of one point; below 0.05 a gap of one point or more is excluded. "
        "No interval: fewer than two seeds, or the same difference in every seed. Of twenty pairs "
        "that are equal, about one has an interval that misses zero.",
    )


def answers_table(comparisons: Sequence[PairedComparison]) -> Table:
    """Return a row for each pair and seed: the pictures that only one got right."""
    rows = tuple(
        (
            f"{comparison.pair.contender} and {comparison.pair.reference}",
            str(seed.seed),
            f"{seed.contender_right} and {seed.reference_right} of {seed.images}",
            str(seed.only_contender),
            str(seed.only_reference),
            formatting.p_value(seed.p_value),
        )
        for comparison in comparisons
        for seed in comparison.seeds
    )
    return Table(
        "Test pictures on which the two best checkpoints of a seed disagree.",
        (
            "contender and reference",
            "seed",
            "right answers",
            "only the contender right",
            "only the reference right",
            "McNemar p",
        ),
        rows,
        "Exact McNemar test, for these two heads on other pictures: how often two equally good "
        "heads would share their disagreements out at least this unevenly. The same test pictures "
        "serve every seed, so the rows are not independent evidence: do not add or multiply them.",
    )


def _answers_of_both(runs: Runs, pair: Pair, seed: int) -> tuple[Predictions, Predictions] | str:
    """Return the test answers of a seed's two runs, or why there are not two to compare."""
    answers, reasons = [], []
    for label in (pair.reference, pair.contender):
        run = runs.get(label, seed)
        if run is None:
            reasons.append(f"{label} has no run")
        elif run.status != "finished" or run.test is None:
            reasons.append(f"{label} {STATUS[run.status]}")
        else:
            answers.append(run.test)
    if reasons:
        return " and ".join(reasons)
    reference, contender = answers
    if reference.paths != contender.paths:
        return "the test pictures are not the same"
    return reference, contender


def _seed_answers(seed: int, reference: Predictions, contender: Predictions) -> SeedAnswers:
    one, other = reference.right(), contender.right()
    only_reference, only_contender = int((one & ~other).sum()), int((other & ~one).sum())
    disagreements = only_reference + only_contender
    return SeedAnswers(
        seed,
        images=len(one),
        reference_right=int(one.sum()),
        contender_right=int(other.sum()),
        only_reference=only_reference,
        only_contender=only_contender,
        p_value=float(binomtest(only_contender, disagreements).pvalue) if disagreements else 1.0,
    )


def _over_seeds(
    pair: Pair, seeds: tuple[SeedAnswers, ...], left_out: tuple[tuple[int, str], ...]
) -> PairedComparison:
    if not seeds:
        return PairedComparison(pair, seeds, left_out, math.nan, None, None)
    images = seeds[0].images
    # In pictures, not in shares: whole numbers keep equal differences equal.
    contender = np.array([seed.contender_right for seed in seeds])
    reference = np.array([seed.reference_right for seed in seeds])
    mean = float((contender - reference).mean()) / images
    if len(set((contender - reference).tolist())) == 1:
        return PairedComparison(pair, seeds, left_out, mean, None, None)
    margin = MARGIN * images
    low, high = ttest_rel(contender, reference).confidence_interval(CONFIDENCE)
    above = ttest_rel(contender, reference - margin, alternative="greater").pvalue
    below = ttest_rel(contender, reference + margin, alternative="less").pvalue
    interval = float(low) / images, float(high) / images
    return PairedComparison(pair, seeds, left_out, mean, interval, float(max(above, below)))


def _interval(interval: tuple[float, float] | None) -> str:
    if interval is None:
        return "none"
    return f"{formatting.points(interval[0])} to {formatting.points(interval[1])}"
