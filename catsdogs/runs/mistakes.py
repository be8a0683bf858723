"""The most confident mistakes of a run: their reader, thumbnails and contact sheet."""

import csv
import dataclasses
from pathlib import Path

from PIL import Image

from catsdogs.errors import UserError
from catsdogs.io import thumbnails
from catsdogs.io.thumbnails import Line, Tile
from catsdogs.runs.checksums import require_intact
from catsdogs.runs.reader import Run
from catsdogs.runs.schema import DAMAGE, MISTAKES, REDO, THUMBNAILS, class_name

SIDE = 160  # pixels, of a thumbnail's longer side
SUFFIX = ".jpg"
JPEG_START, MAX_BYTES = b"\xff\xd8\xff", 10**6
COLUMNS, GAP, FONT_SIZE = 4, 8, 18  # of the contact sheet: images in a row; pixels; pixels


@dataclasses.dataclass(frozen=True)
class Mistake:
    """An image whose logit has the wrong sign.

    Attributes:
        rank: From 1, the most confident mistake.
        path: As the manifest names the image, relative to its root.
        label: 1 for a cat, 0 for a dog.
        logit: Above 0 means cat.
        file: The thumbnail, relative to the run directory; empty if there is none.
    """

    rank: int
    path: str
    label: int
    logit: float
    file: str = ""


def thumbnail_file(rank: int) -> str:
    """Return the name of a mistake's thumbnail, relative to the run directory."""
    return f"{THUMBNAILS}/{rank}{SUFFIX}"


def read_mistakes(run: Run) -> list[Mistake]:
    """Read the mistakes of a run that have a thumbnail; a run may have none.

    Raises:
        UserError: If `mistakes.csv` is damaged.
    """
    path = run.directory / MISTAKES
    if not path.exists():
        return []
    require_intact(path, run.facts)
    try:
        with path.open(encoding="utf-8", newline="") as file:
            found = [
                Mistake(
                    rank=int(row["rank"]),
                    path=row["path"],
                    label=int(row["label"]),
                    logit=float(row["logit"]),
                    file=f"{THUMBNAILS}/{Path(row['file']).name}",
                )
                for row in csv.DictReader(file)
            ]
    except DAMAGE as error:
        raise UserError(f"{path}: not readable ({error}); {REDO}") from error
    return [mistake for mistake in found if _is_thumbnail(run.directory / mistake.file, run)]


def contact_sheet(mistakes: list[Mistake], directory: Path) -> Image.Image:
    """Return the thumbnails in rows on white, each above its rank, label and logit.

    Args:
        mistakes: One without a thumbnail leaves its place white.
        directory: The run directory.
    """
    tiles = []
    for mistake in mistakes:
        text = f"{mistake.rank}. {class_name(mistake.label)} {mistake.logit:+.3g}"
        image = Image.open(directory / mistake.file) if mistake.file else None
        tiles.append(Tile(image, [Line(text, FONT_SIZE)]))
    return thumbnails.contact_sheet(tiles, side=SIDE, columns=COLUMNS, gap=GAP)


def _is_thumbnail(file: Path, run: Run) -> bool:
    """Tell whether a file is a small JPEG inside a run: a report must not embed any other file."""
    inside = file.resolve().is_relative_to(run.directory.resolve())
    if file.suffix != SUFFIX or not file.is_file() or not inside:
        return False
    if file.stat().st_size >= MAX_BYTES:
        return False
    with file.open("rb") as content:
        return content.read(len(JPEG_START)) == JPEG_START
