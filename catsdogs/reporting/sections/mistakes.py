"""Mistakes: the test images that the heads misclassify with the highest confidence."""

import csv
import math
from pathlib import Path

from catsdogs.errors import UserError
from catsdogs.io.formatting import count, percent
from catsdogs.reporting.document import CaptionedImage, Gallery, Paragraph, Section
from catsdogs.runs.mistakes import FOLDER, Mistake, class_name
from catsdogs.runs.reader import DAMAGE, Run, Runs

SHOWN = 12
JPEG, LARGEST = b"\xff\xd8\xff", 10**6  # first bytes of a thumbnail; size limit in bytes


def mistakes_section(runs: Runs) -> Section:
    """Return the gallery of mistakes.

    Args:
        runs: One run for each contender and seed, as `chosen_runs` returns them.
    """
    return Section("Mistakes", (gallery(runs),))


def read_mistakes(run: Run) -> list[Mistake]:
    """Read the mistakes of a run that have a thumbnail; a run may have none.

    Raises:
        UserError: If the list is damaged.
    """
    path = run.directory / "mistakes.csv"
    if not path.exists():
        return []
    try:
        with path.open(encoding="utf-8", newline="") as file:
            found = [
                Mistake(
                    rank=int(row["rank"]),
                    path=row["path"],
                    label=int(row["label"]),
                    logit=float(row["logit"]),
                    file=f"{FOLDER}/{Path(row['file']).name}",
                )
                for row in csv.DictReader(file)
            ]
    except DAMAGE as error:
        raise UserError(f"{path}: not readable ({error}); delete the run and redo it") from error
    return [mistake for mistake in found if _is_thumbnail(run.directory / mistake.file)]


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


def _is_thumbnail(file: Path) -> bool:
    """Return whether a file is a small JPEG of its run; a page must not embed other files."""
    inside = file.resolve().is_relative_to(file.parent.parent.resolve())
    if file.suffix != ".jpg" or not file.is_file() or not inside:
        return False
    return file.stat().st_size < LARGEST and file.read_bytes().startswith(JPEG)


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
