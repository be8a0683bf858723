"""Confusion matrix and calibration of the test predictions."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from scipy.special import expit

from catsdogs.io import formatting
from catsdogs.io.formatting import percent
from catsdogs.reporting.document import Panels, Section, Table, present
from catsdogs.reporting.plotting import method_panels, styled
from catsdogs.reporting.style import GREY, line_style, role_and_method
from catsdogs.runs.reader import Floats, Predictions, Run, Runs

BINS = 10
MARKERS = {"custom": "x", "published": "+"}  # visible on top of the native twin's disc


@dataclass(frozen=True)
class Confusion:
    """Confusion matrix of a contender on the test images, summed over its finished runs.

    Attributes:
        label: The contender.
        seeds: Number of finished runs; all predict the same images.
        cat_cat: Number of cats classified as cats.
        cat_dog: Number of cats classified as dogs.
        dog_cat: Number of dogs classified as cats.
        dog_dog: Number of dogs classified as dogs.
    """

    label: str
    seeds: int
    cat_cat: int
    cat_dog: int
    dog_cat: int
    dog_dog: int


@dataclass(frozen=True)
class Calibration:
    """Confidence and accuracy of predictions, in bins of confidence.

    Confidence is the probability of the predicted class, 0.5 to 1, in `BINS` bins of equal width.

    Attributes:
        edges: Edges of the bins, (bins + 1,); a bin includes its upper edge.
        counts: Number of predictions in each bin, (bins,).
        confidence: Mean confidence in each bin, (bins,); nan in an empty bin.
        accuracy: Share of correct predictions in each bin, (bins,); nan in an empty bin.
        expected_error: Expected calibration error: the mean over the predictions of the gap between
            confidence and accuracy of their bin.
        brier: Brier score: the mean squared error of the probability of a cat.
        mean_confidence: Mean confidence of all predictions.
        mean_accuracy: Share of correct predictions.
        base_rate: Share of cats.
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


def confusion_section(runs: Runs) -> Section:
    """Return the confusion matrices.

    Args:
        runs: One run for each contender and seed, as `chosen_runs` returns them.
    """
    return Section("Confusion matrix", (confusion_table(runs),))


def calibration_section(runs: Runs) -> Section:
    """Return the reliability diagrams and calibration errors.

    Args:
        runs: One run for each contender and seed, as `chosen_runs` returns them.
    """
    return Section("Calibration", present(reliability(runs), calibration_table(runs)))


def confusion(label: str, runs: Sequence[Run]) -> Confusion:
    """Return the confusion matrix of a contender, summed over its finished runs."""
    tests = _tests(runs)

    def count(actual: int, predicted: int) -> int:
        matches = [(test.labels == actual) & ((test.logits > 0) == predicted) for test in tests]
        return sum(int(match.sum()) for match in matches)

    return Confusion(
        label,
        seeds=len(tests),
        cat_cat=count(1, 1),
        cat_dog=count(1, 0),
        dog_cat=count(0, 1),
        dog_dog=count(0, 0),
    )


def confusion_table(runs: Runs) -> Table:
    """Return the confusion matrix of each contender.

    Args:
        runs: One run for each contender and seed, as `chosen_runs` returns them.
    """
    rows = []
    for label in runs.comparison.contenders:
        c = confusion(label, runs.of(label))
        counts = (c.cat_cat, c.cat_dog, c.dog_dog, c.dog_cat)
        rows.append((label, *map(str, counts), str(c.seeds)))
    return Table(
        "Test images by class and predicted class, summed over seeds.",
        ("optimizer", "cats as cats", "cats as dogs", "dogs as dogs", "dogs as cats", "seeds"),
        tuple(rows),
        "Cats as dogs: cats that are classified as dogs. All seeds use the same test images, so "
        "each image counts once for each seed.",
    )


def calibration(predictions: Predictions) -> Calibration:
    """Return the calibration of the predictions of one run, or of several runs pooled."""
    cat = expit(predictions.logits)
    confidence, right = np.maximum(cat, 1 - cat), predictions.right()
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
        brier=float(np.mean((cat - predictions.labels) ** 2)),
        mean_confidence=float(confidence.mean()),
        mean_accuracy=float(right.mean()),
        base_rate=float(predictions.labels.mean()),
    )


def pooled(runs: Sequence[Run]) -> Predictions | None:
    """Concatenate the test predictions of the finished runs; None without any."""
    tests = _tests(runs)
    if not tests:
        return None
    return Predictions(
        paths=tuple(path for test in tests for path in test.paths),
        labels=np.concatenate([test.labels for test in tests]),
        logits=np.concatenate([test.logits for test in tests]),
    )


def calibration_table(runs: Runs) -> Table:
    """Return the calibration of each contender: mean and standard deviation over seeds.

    Args:
        runs: One run for each contender and seed, as `chosen_runs` returns them.
    """
    rows = []
    for label in runs.comparison.contenders:
        calibrations = [calibration(test) for test in _tests(runs.of(label))]
        rows.append(
            (
                label,
                formatting.mean_percent([c.mean_confidence for c in calibrations]),
                formatting.mean_percent([c.mean_accuracy for c in calibrations]),
                formatting.mean_percent([c.expected_error for c in calibrations]),
                formatting.mean_cost([c.brier for c in calibrations]),
                formatting.mean_percent([c.base_rate for c in calibrations]),
            )
        )
    return Table(
        "Confidence and accuracy on the test images: mean (standard deviation) over seeds.",
        ("optimizer", "mean confidence", "accuracy", "expected calibration error", "Brier score")
        + ("cats",),
        tuple(rows),
        "Confidence: the probability that the head assigns to its prediction. Expected calibration "
        f"error: the gap between confidence and accuracy in {BINS} equal bins from 50 to 100 %, "
        "averaged over the predictions; it is biased upwards for few predictions. Brier score: the "
        "mean squared error of the probability of a cat; predicting 50 % for every image scores "
        "0.25.",
    )


@styled
def reliability(runs: Runs) -> Panels | None:
    """Draw the share of correct predictions over confidence; None without predictions.

    Args:
        runs: One run for each contender and seed, as `chosen_runs` returns them.
    """
    calibrations = {
        label: calibration(predictions)
        for label in runs.comparison.contenders
        if (predictions := pooled(runs.of(label))) is not None
    }
    if not calibrations:
        return None

    def draw(axes: Axes, label: str) -> str:
        found, style = calibrations[label], line_style(label, runs.comparison.contenders)
        filled = found.counts > 0
        places, right = 100 * found.confidence[filled], 100 * found.accuracy[filled]
        area = 14 + 130 * np.sqrt(found.counts[filled] / found.counts.sum())
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
        accuracy, confidence = percent(found.mean_accuracy), percent(found.mean_confidence)
        return f"{label} has an accuracy of {accuracy} at a mean confidence of {confidence}"

    figures, drawn = method_panels(
        "calibration", list(calibrations), "confidence, %", "accuracy, %", draw
    )
    for axes in drawn:
        axes.plot([50, 100], [50, 100], color=GREY, linewidth=1.0, zorder=1)
        axes.set_ylim(-4, 104)
    return Panels(
        "Accuracy over confidence, on the test images of all seeds; larger marks stand for more "
        "predictions. Marks below the grey line indicate overconfidence.",
        figures,
    )


def _tests(runs: Sequence[Run]) -> list[Predictions]:
    return [run.test for run in runs if run.status == "finished" and run.test]
