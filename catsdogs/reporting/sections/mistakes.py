"""The test pictures that heads were most sure of and wrong about."""

import csv
import math
from dataclasses import dataclass
from pathlib import Path

from catsdogs.errors import UserError
from catsdogs.io.formatting import count, percent
from catsdogs.reporting.document import CaptionedImage, Gallery, Paragraph
from catsdogs.runs.reader import DAMAGE, Run, Runs

SHOWN = 12
SPECIES = "dog", "cat"  # by label
JPEG, LARGEST = b"\xff\xd8\xff", 10**6  # how a thumbnail begins; bytes


@dataclass(frozen=True)
class Mistake:
    """One run's wrong answer to a test picture.

    Attributes:
        path: As the manifest names the picture.
        label: 1 for cat and 0 for dog.
        logit: Above 0 says cat.
        thumbnail: A small copy.
    """

    path: str
    label: int
    logit: float
    thumbnail: Path


def read_mistakes(run: Run) -> list[Mistake]:
    """Read what a run kept of its most confident mistakes; a run may have kept none.

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
                    path=row["path"],
                    label=int(row["label"]),
                    logit=float(row["logit"]),
                    thumbnail=run.directory / "mistakes" / Path(row["file"]).name,
                )
                for row in csv.DictReader(file)
            ]
    except DAMAGE as error:
        raise UserError(f"{path}: not readable ({error}); delete the run and redo it") from error
    return [mistake for mistake in found if _is_thumbnail(mistake.thumbnail, run.directory)]


def _is_thumbnail(file: Path, directory: Path) -> bool:
    """Tell whether a file is a small JPEG within a run: a page must not take in any other."""
    inside = file.resolve().is_relative_to(directory.resolve())
    if file.suffix != ".jpg" or not file.is_file() or not inside:
        return False
    return file.stat().st_size < LARGEST and file.read_bytes().startswith(JPEG)


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
    first = found[0][1]
    is_called = SPECIES[first.label], SPECIES[1 - first.label]
    sure = sum(1 / (1 + math.exp(-abs(mistake.logit))) for _, mistake in found) / len(found)
    who = ", ".join(dict.fromkeys(run.label for run, _ in found))
    words = f"{is_called[0]}, called {is_called[1]} with {percent(sure)}"
    return CaptionedImage(
        first.thumbnail,
        f"{words} by {len(found)} of {count(runs, 'run')}: {who}",
        f"{first.path}, a {words}",
    )
