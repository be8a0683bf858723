"""What the answers are like: which of the two species is mistaken, and is the confidence earned."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from scipy.special import expit

from catsdogs.io import formatting
from catsdogs.io.formatting import percent
from catsdogs.reporting.document import Panels, Table
from catsdogs.reporting.plotting import method_panels, styled
from catsdogs.reporting.style import GREY, line_style, role_and_method
from catsdogs.runs.reader import Floats, Predictions, Run, Runs

BINS = 10


MARKERS = {"custom": "x", "published": "+"}  # seen upon the disc of a twin


@dataclass(frozen=True)
class Confusion:
    """Answers to the test pictures, summed over the seeds that finished.

    Attributes:
        label: The contender.
        seeds: How many runs; each answered the same pictures.
        cat_cat: Cats called cats.
        cat_dog: Cats called dogs.
        dog_cat: Dogs called cats.
        dog_dog: Dogs called dogs.
    """

    label: str
    seeds: int
    cat_cat: int
    cat_dog: int
    dog_cat: int
    dog_dog: int


@dataclass(frozen=True)
class Calibration:
    """Whether answers given with 80 % confidence are right in 80 % of cases.

    Confidence is the probability of the answer given, 0.5 to 1, in ten bins of equal width.

    Attributes:
        edges: (bins + 1,), of confidence; a bin includes its upper edge.
        counts: (bins,), answers in each.
        confidence: (bins,), mean in each; nan in an empty one.
        accuracy: (bins,), share of right answers in each; nan in an empty one.
        expected_error: Expected calibration error: mean over answers of the gap between the two.
        brier: Mean squared difference of the probability of a cat and 1 for a cat, 0 for a dog.
        mean_confidence: Over all answers.
        mean_accuracy: Over all answers.
        base_rate: The share of cats.
    """

    edges: Floats
    counts: Floats
    confidence: Floats
    accuracy: Floats
    expected_error: float
    brier: float
    mean_confidence: float
    mean_accuracy: float
    base_rate: float


def confusion(label: str, runs: Sequence[Run]) -> Confusion:
    """Sum the test answers of those of a contender's runs that finished."""
    tests = _tests(runs)

    def answered(species: int, says_cat: bool) -> int:
        asked = [(test.labels == species) & ((test.logits > 0) == says_cat) for test in tests]
        return sum(int(told.sum()) for told in asked)

    return Confusion(
        label,
        seeds=len(tests),
        cat_cat=answered(1, True),
        cat_dog=answered(1, False),
        dog_cat=answered(0, True),
        dog_dog=answered(0, False),
    )


def confusion_table(runs: Runs) -> Table:
    """Return a row for each contender.

    Args:
        runs: One for each contender and seed, as `chosen_runs` returns them.
    """
    rows = []
    for label in runs.comparison.contenders:
        c = confusion(label, runs.of(label))
        counts = (c.cat_cat, c.cat_dog, c.dog_dog, c.dog_cat)
        rows.append((label, *map(str, counts), str(c.seeds)))
    return Table(
        "Answers to the test pictures, summed over seeds.",
        ("optimizer", "cats called cats", "cats called dogs", "dogs called dogs")
        + ("dogs called cats", "seeds"),
        tuple(rows),
        "Every seed answers the same test pictures, so a picture counts once for each seed.",
    )


def calibration(answers: Predictions) -> Calibration:
    """Judge the confidence of one run's answers, or of several runs' put together."""
    cat = expit(answers.logits)
    confidence, right = np.maximum(cat, 1 - cat), answers.right()
    edges = np.linspace(0.5, 1.0, BINS + 1)
    bins = np.clip(np.searchsorted(edges, confidence) - 1, 0, BINS - 1)
    counts = np.bincount(bins, minlength=BINS).astype(np.float64)
    with np.errstate(invalid="ignore"):  # 0 / 0 in an empty bin is nan
        mean_confidence = np.bincount(bins, confidence, BINS) / counts
        accuracy = np.bincount(bins, right, BINS) / counts
    gaps = np.abs(mean_confidence - accuracy)[counts > 0]
    return Calibration(
        edges,
        counts,
        mean_confidence,
        accuracy,
        expected_error=float((gaps * counts[counts > 0]).sum() / counts.sum()),
        brier=float(np.mean((cat - answers.labels) ** 2)),
        mean_confidence=float(confidence.mean()),
        mean_accuracy=float(right.mean()),
        base_rate=float(answers.labels.mean()),
    )


def pooled(runs: Sequence[Run]) -> Predictions | None:
    """Put the test answers of the runs that finished one after another; None without any."""
    tests = _tests(runs)
    if not tests:
        return None
    return Predictions(
        paths=tuple(path for test in tests for path in test.paths),
        labels=np.concatenate([test.labels for test in tests]),
        logits=np.concatenate([test.logits for test in tests]),
    )


def calibration_table(runs: Runs) -> Table:
    """Return a row for each contender: mean and standard deviation over seeds.

    Args:
        runs: One for each contender and seed, as `chosen_runs` returns them.
    """
    rows = []
    for label in runs.comparison.contenders:
        judged = [calibration(test) for test in _tests(runs.of(label))]
        rows.append(
            (
                label,
                formatting.mean_percent([c.mean_confidence for c in judged]),
                formatting.mean_percent([c.mean_accuracy for c in judged]),
                formatting.mean_percent([c.expected_error for c in judged]),
                formatting.mean_cost([c.brier for c in judged]),
                formatting.mean_percent([c.base_rate for c in judged]),
            )
        )
    return Table(
        "Whether confidence is earned, on the test pictures: mean (standard deviation) over seeds.",
        ("optimizer", "mean confidence", "accuracy", "expected calibration error", "Brier score")
        + ("cats",),
        tuple(rows),
        "Confidence is the probability that the head gives its own answer. Expected calibration "
        f"error: the gap between confidence and accuracy in {BINS} equal bins from 50 to 100 %, "
        "averaged over the answers; few answers make it too large. Brier score: the mean squared "
        "error of the probability of a cat; always saying the share of cats gives 0.25 where it is "
        "a half.",
    )


def _tests(runs: Sequence[Run]) -> list[Predictions]:
    return [run.test for run in runs if run.status == "finished" and run.test]


@styled
def reliability(runs: Runs) -> Panels | None:
    """Draw the share of right answers over their confidence; None without answers.

    Args:
        runs: One for each contender and seed, as `chosen_runs` returns them.
    """
    judged = {
        label: calibration(answers)
        for label in runs.comparison.contenders
        if (answers := pooled(runs.of(label))) is not None
    }
    if not judged:
        return None

    def draw(axes: Axes, label: str) -> str:
        found, style = judged[label], line_style(label, runs.comparison.contenders)
        there = found.counts > 0
        places, right = 100 * found.confidence[there], 100 * found.accuracy[there]
        area = 14 + 130 * np.sqrt(found.counts[there] / found.counts.sum())
        axes.scatter(
            places,
            right,
            area * style.width / 2,
            style.colour,
            marker=MARKERS.get(role_and_method(label)[0], "o"),
            linewidth=1.2,
            label=label,
            zorder=style.height,
        )
        sure, so = percent(found.mean_confidence), percent(found.mean_accuracy)
        return f"{label} is right in {so} of cases at a mean confidence of {sure}"

    figures, drawn = method_panels(
        "calibration", list(judged), "confidence, %", "right answers, %", draw
    )
    for axes in drawn:
        axes.plot([50, 100], [50, 100], color=GREY, linewidth=1.0, zorder=1)
        axes.set_ylim(-4, 104)
    return Panels(
        "Share of right answers over their confidence, on the test pictures of all seeds; a "
        "larger mark stands for more answers. Below the grey line a head is surer than right.",
        figures,
    )
