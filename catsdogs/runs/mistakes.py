"""Mistakes of a run: the most confident wrong answers, and their thumbnails."""

import dataclasses
from pathlib import Path

from PIL import Image

from catsdogs.io import thumbnails
from catsdogs.io.thumbnails import Line, Tile

SIDE = 160  # pixels of a thumbnail's longer side
FOLDER = "mistakes"
COLUMNS, GAP, FONT_SIZE = 4, 8, 18  # of the contact sheet: thumbnails in a row; pixels; pixels


@dataclasses.dataclass(frozen=True)
class Mistake:
    """One picture whose logit has the wrong sign.

    Attributes:
        rank: From 1, the most confident mistake.
        path: Relative to the manifest's root.
        label: 1 for a cat, 0 for a dog.
        logit: The head's answer; above 0 says cat.
        file: Its thumbnail, relative to the run directory; empty if there is none.
    """

    rank: int
    path: str
    label: int
    logit: float
    file: str = ""


def contact_sheet(mistakes: list[Mistake], directory: Path) -> Image.Image:
    """Return the thumbnails of a run directory in rows, each over its rank, label and logit."""
    tiles = []
    for mistake in mistakes:
        text = f"{mistake.rank}. {class_name(mistake.label)} {mistake.logit:+.3g}"
        image = Image.open(directory / mistake.file) if mistake.file else None
        tiles.append(Tile(image, [Line(text, FONT_SIZE)]))
    return thumbnails.contact_sheet(tiles, side=SIDE, columns=COLUMNS, gap=GAP)


def class_name(label: int) -> str:
    """Return the word for a label."""
    return "cat" if label else "dog"
