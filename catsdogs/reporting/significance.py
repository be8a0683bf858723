"""Paired tests of the difference in test accuracy, over seeds and over images, with scipy."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest, ttest_rel

from catsdogs.io import formatting
from catsdogs.reporting.document import Paragraph, Section, Table, present
from catsdogs.reporting.sections.parity import STATUS
from catsdogs.runs.contenders import Pair
from catsdogs.runs.reader import Predictions, Runs

MARGIN = 0.01  # equivalent accuracies differ by less than one percentage point
CONFIDENCE = 0.95


@dataclass(frozen=True)
class SeedComparison:
    """The two best checkpoints of one seed on the same test images.

    Attributes:
        seed: Seed of both runs.
        images: Number of test images.
        reference_right: Number of images that the reference classifies correctly.
        contender_right: Number of images that the contender classifies correctly.
        only_reference: Number of images that only the reference classifies correctly.
        only_contender: Number of images that only the contender classifies correctly.
        p_value: Exact McNemar test: the probability that two equally good heads split their
            disagreements at least this unevenly; 1 without disagreements.
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
    """The test accuracies of a pair, paired over seeds.

    Differences are contender minus reference, as shares from -1 to 1.

    Attributes:
        pair: The two contenders.
        seeds: The seeds that can be compared.
        left_out: The other seeds, each with the reason.
        mean: Mean difference; nan without seeds.
        interval: 95 % confidence interval (paired t) of the mean over further seeds on the same
            test images; None with fewer than two seeds or the same difference in every seed.
        equivalence_p: The larger p-value of two one-sided paired t tests against `MARGIN`; None
            without an interval.
    """

    pair: Pair
    seeds: tuple[SeedComparison, ...]
    left_out: tuple[tuple[int, str], ...]
    mean: float
    interval: tuple[float, float] | None
    equivalence_p: float | None


def statistics_section(comparisons: Sequence[PairedComparison]) -> Section:
    """Return the tests of every pair, or a sentence if there are no pairs."""
    if not comparisons:
        return Section("Statistics", (Paragraph("No pair of optimizers to compare."),))
    single = max(len(comparison.seeds) for comparison in comparisons) < 2
    warning = (
        "One seed does not show how much seeds vary, so no test of the difference is possible. "
        "Compare over several seeds."
    )
    return Section(
        "Statistics",
        present(
            Paragraph(warning) if single else None,
            accuracy_table(comparisons),
            disagreements_table(comparisons),
        ),
    )


def compare_accuracy(runs: Runs, pair: Pair) -> PairedComparison:
    """Compare the test accuracies of a pair.

    Args:
        runs: One run for each contender and seed, as `chosen_runs` returns them.
        pair: The two contenders.
    """
    seeds: list[SeedComparison] = []
    left_out: list[tuple[int, str]] = []
    images: tuple[str, ...] | None = None
    for seed in runs.comparison.seeds:
        both = _predictions_of_both(runs, pair, seed)
        if isinstance(both, str):
            left_out.append((seed, both))
        elif images not in (None, both[0].paths):
            left_out.append((seed, f"its test images differ from those of seed {seeds[0].seed}"))
        else:
            images = both[0].paths
            seeds.append(_compare_seed(seed, *both))
    return _over_seeds(pair, tuple(seeds), tuple(left_out))


def accuracy_table(comparisons: Sequence[PairedComparison]) -> Table:
    """Return the mean difference, its interval and the equivalence test of each pair."""
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
        "Difference in test accuracy, contender minus reference, in percentage points.",
        ("pair", "seeds", "mean", "95 % interval", "equivalence p"),
        rows,
        "Paired over seeds: both runs of a seed start from the same head and see the same batches, "
        "except for an optimizer that requests its own batches, such as SAGA. The interval "
        "(paired t) is for the mean over further seeds on the same test images; it does not "
        "extend to other images. Equivalence p: two one-sided paired t tests against a margin of "
        "one point; a value below 0.05 excludes a difference of one point or more. The interval is "
        "missing for fewer than two seeds or for the same difference in every seed. About one in "
        "twenty pairs of equally accurate optimizers has an interval that excludes zero.",
    )


def disagreements_table(comparisons: Sequence[PairedComparison]) -> Table:
    """Return the images that only one of the two classifies correctly, by pair and seed."""
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
        "Test images on which the two best checkpoints of a seed disagree.",
        (
            "contender and reference",
            "seed",
            "correct predictions",
            "only contender correct",
            "only reference correct",
            "McNemar p",
        ),
        rows,
        "Exact McNemar test: the probability that two equally good heads split their "
        "disagreements at least this unevenly. It compares these two heads on further images, not "
        "the optimizers on further seeds. All seeds use the same test images, so the rows are not "
        "independent: do not add or multiply the p-values.",
    )


def _predictions_of_both(
    runs: Runs, pair: Pair, seed: int
) -> tuple[Predictions, Predictions] | str:
    """Return the test predictions of both runs of a seed, or why they cannot be compared."""
    predictions, reasons = [], []
    for label in (pair.reference, pair.contender):
        run = runs.get(label, seed)
        if run is None:
            reasons.append(f"{label} has no run")
        elif run.status != "finished" or run.test is None:
            reasons.append(f"{label} {STATUS[run.status]}")
        else:
            predictions.append(run.test)
    if reasons:
        return " and ".join(reasons)
    reference, contender = predictions
    if reference.paths != contender.paths:
        return "the test images differ"
    return reference, contender


def _compare_seed(seed: int, reference: Predictions, contender: Predictions) -> SeedComparison:
    one, other = reference.right(), contender.right()
    only_reference, only_contender = int((one & ~other).sum()), int((other & ~one).sum())
    disagreements = only_reference + only_contender
    return SeedComparison(
        seed,
        images=len(one),
        reference_right=int(one.sum()),
        contender_right=int(other.sum()),
        only_reference=only_reference,
        only_contender=only_contender,
        p_value=float(binomtest(only_contender, disagreements).pvalue) if disagreements else 1.0,
    )


def _over_seeds(
    pair: Pair, seeds: tuple[SeedComparison, ...], left_out: tuple[tuple[int, str], ...]
) -> PairedComparison:
    if not seeds:
        return PairedComparison(pair, seeds, left_out, math.nan, None, None)
    images = seeds[0].images
    # Counts instead of shares: integers keep equal differences equal.
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
