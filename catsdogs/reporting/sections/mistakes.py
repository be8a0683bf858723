"""The test pictures that heads were most sure of and wrong about."""

import math

from catsdogs.io.formatting import count, percent
from catsdogs.reporting.document import CaptionedImage, Gallery, Paragraph
from catsdogs.runs.mistakes import Mistake, read_mistakes
from catsdogs.runs.reader import Run, Runs
from catsdogs.runs.schema import class_name

SHOWN = 12


def gallery(runs: Runs) -> Gallery | Paragraph:
    """Show the pictures that most runs were sure of and wrong about.

    Args:
        runs: One for each contender and seed, as `chosen_runs` returns them.
    """
    of_image: dict[str, list[tuple[Run, Mistake]]] = {}
    for run in runs.found:
        for mistake in read_mistakes(run):
            of_image.setdefault(mistake.path, []).append((run, mistake))
    if not of_image:
        return Paragraph("No run kept pictures of its mistakes.")
    ranked = sorted(of_image.values(), key=_weight)[:SHOWN]
    return Gallery(
        "The test pictures that most runs were confidently wrong about, of those that each run "
        "kept; the probability is the mean over these runs.",
        tuple(_image(found, len(runs.found)) for found in ranked),
    )


def _weight(found: list[tuple[Run, Mistake]]) -> tuple[float, float, str]:
    """Sort pictures by how many runs kept them, then by how sure these were."""
    sure = sum(abs(mistake.logit) for _, mistake in found) / len(found)
    return -len(found), -sure, found[0][1].path


def _image(found: list[tuple[Run, Mistake]], runs: int) -> CaptionedImage:
    run, first = found[0]
    is_called = class_name(first.label), class_name(1 - first.label)
    sure = sum(1 / (1 + math.exp(-abs(mistake.logit))) for _, mistake in found) / len(found)
    who = ", ".join(dict.fromkeys(run.label for run, _ in found))
    words = f"{is_called[0]}, called {is_called[1]} with {percent(sure)}"
    return CaptionedImage(
        run.directory / first.file,
        f"{words} by {len(found)} of {count(runs, 'run')}: {who}",
        f"{first.path}, a {words}",
    )
