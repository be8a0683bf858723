"""The pictures that a head is surest and wrong about, kept small so that a report can show them."""

import dataclasses
import logging
import math
from collections.abc import Iterable
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, ImageOps

from catsdogs.io.files import whole_directory

log = logging.getLogger(__name__)
MOST = 12
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


def worst_mistakes(answers: Iterable[tuple[str, int, float]]) -> list[Mistake]:
    """Return at most `MOST` wrong answers, the largest logit first, equal ones by path.

    Args:
        answers: Path, label and logit of every picture. A logit that is no number says dog, as in
            the accuracy, and says it with no confidence.
    """
    wrong = [answer for answer in answers if (answer[2] > 0) != (answer[1] == 1)]
    wrong.sort(key=lambda answer: (0.0 if math.isnan(answer[2]) else -abs(answer[2]), answer[0]))
    return [Mistake(rank, *answer) for rank, answer in enumerate(wrong[:MOST], start=1)]


def keep_thumbnails(mistakes: list[Mistake], root: Path, directory: Path) -> list[Mistake]:
    """Write `mistakes/RANK.jpg` into a run directory and return the mistakes with their files.

    A picture that can no longer be read costs its thumbnail and a warning, not the run.
    """
    kept = []
    with whole_directory(directory / FOLDER) as folder:
        for mistake in mistakes:
            name = f"{mistake.rank}.jpg"
            try:
                _thumbnail(root / mistake.path).save(folder / name, quality=85, optimize=True)
            # Pillow's decoders raise many types for a file that was damaged since the manifest.
            except Exception as error:  # noqa: BLE001
                log.warning("no thumbnail of %s: %s", mistake.path, error)
                (folder / name).unlink(missing_ok=True)
                kept.append(mistake)
            else:
                kept.append(dataclasses.replace(mistake, file=f"{FOLDER}/{name}"))
    return kept


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
            with Image.open(directory / mistake.file) as picture:
                sheet.paste(picture, (x + (SIDE - picture.width) // 2, y + SIDE - picture.height))
        caption = f"{mistake.rank}. {class_name(mistake.label)} {mistake.logit:+.3g}"
        draw.text((x + SIDE // 2, y + SIDE + 3), caption, "black", font, anchor="ma")
    return sheet


def class_name(label: int) -> str:
    """Return the word for a label."""
    return "cat" if label else "dog"


def _thumbnail(file: Path) -> Image.Image:
    """Return a picture upright, at most `SIDE` on its longer side, and nothing but its pixels."""
    with Image.open(file) as image:
        upright = ImageOps.exif_transpose(image).convert("RGB")
    upright.thumbnail((SIDE, SIDE))
    upright.info.clear()  # a comment would be saved along
    return upright
