"""Mistakes: the test images that the heads misclassify with the highest confidence."""

import math

from catsdogs.io.formatting import count, percent
from catsdogs.reporting.document import CaptionedImage, Gallery, Paragraph, Section
from catsdogs.runs.mistakes import Mistake, read_mistakes
from catsdogs.runs.reader import Run, Runs
from catsdogs.runs.schema import class_name

SHOWN = 12


def mistakes_section(runs: Runs) -> Section:
    """Return the gallery of mistakes.

    Args:
        runs: One run for each contender and seed, as `chosen_runs` returns them.
    """
    return Section("Mistakes", (gallery(runs),))


def gallery(runs: Runs) -> Gallery | Paragraph:
    """Return the images that most runs misclassify confidently.

    Args:
        runs: One run for each contender and seed, as `chosen_runs` returns them.
    """
    of_image: dict[str, list[tuple[Run, Mistake]]] = {}
    for run in runs.found:
        for mistake in read_mistakes(run):
            of_image.setdefault(mistake.path, []).append((run, mistake))
    if not of_image:
        return Paragraph("No run kept images of its mistakes.")
    ranked = sorted(of_image.values(), key=_weight)[:SHOWN]
    return Gallery(
        "The test images that the largest number of runs misclassify, among the most confident "
        "mistakes that each run kept. The probability is the mean over these runs.",
        tuple(_image(found, len(runs.found)) for found in ranked),
    )


def _weight(found: list[tuple[Run, Mistake]]) -> tuple[float, float, str]:
    """Sort images by the number of runs that kept them, then by mean confidence."""
    confidence = sum(abs(mistake.logit) for _, mistake in found) / len(found)
    return -len(found), -confidence, found[0][1].path


def _image(found: list[tuple[Run, Mistake]], runs: int) -> CaptionedImage:
    run, first = found[0]
    actual, predicted = class_name(first.label), class_name(1 - first.label)
    confidence = sum(1 / (1 + math.exp(-abs(mistake.logit))) for _, mistake in found) / len(found)
    labels = ", ".join(dict.fromkeys(run.label for run, _ in found))
    words = f"{actual}, classified as {predicted} with {percent(confidence)}"
    return CaptionedImage(
        run.directory / first.file,
        f"{words} by {len(found)} of {count(runs, 'run')}: {labels}",
        f"{first.path}, a {words}",
    )
