"""Mistakes of a run: the most confident wrong answers, and their thumbnails."""

import dataclasses
import math
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

SIDE = 160  # pixels
FOLDER = "mistakes"
COLUMNS, CAPTION, GAP = 4, 26, 8  # of the sheet: pictures in a row; pixels


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
    """Return the thumbnails in rows on white, each over its rank, label and logit."""
    step_x, step_y = SIDE + GAP, SIDE + CAPTION + GAP
    rows = math.ceil(len(mistakes) / COLUMNS)
    sheet = Image.new("RGB", (COLUMNS * step_x + GAP, rows * step_y + GAP), "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=20)
    for index, mistake in enumerate(mistakes):
        row, column = divmod(index, COLUMNS)
        x, y = GAP + column * step_x, GAP + row * step_y
        if mistake.file:
            with Image.open(directory / mistake.file) as image:
                sheet.paste(image, (x + (SIDE - image.width) // 2, y + SIDE - image.height))
        caption = f"{mistake.rank}. {class_name(mistake.label)} {mistake.logit:+.3g}"
        draw.text((x + SIDE // 2, y + SIDE + 3), caption, "black", font, anchor="ma")
    return sheet


def class_name(label: int) -> str:
    """Return the word for a label."""
    return "cat" if label else "dog"
