"""Which of many pictures a page shows, and small copies of them."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import matplotlib
from PIL import Image, ImageDraw, ImageFont

from catsdogs.data.images import decode
from catsdogs.inference.predictions import Prediction
from catsdogs.io.progress import progress
from catsdogs.io.text import printable

SIDE = 192  # pixels of the longer side
ORIENTATION, LYING = 0x0112, (5, 6, 7, 8)  # the Exif tag, and its values that swap the sides


MOST_ON_SHEET, COLUMNS = 60, 10
GAP, CAPTION, HEADING = 16, 52, 72  # pixels
INK, QUIET, EMPTY = "#1b1f24", "#57606a", "#eceef1"
TONES = {"cat": "#0b6b7d", "dog": "#a8390b"}
Font = ImageFont.FreeTypeFont


def ranked(predictions: Sequence[Prediction]) -> list[Prediction]:
    """Return those with an answer, the most confident first, equal ones as they came."""
    answered = (one for one in predictions if one.logit is not None)
    # By the logit: probabilities near 1 are equal long before logits are.
    return sorted(answered, key=lambda one: -abs(one.logit or 0.0))


def spread(predictions: Sequence[Prediction], most: int) -> list[Prediction]:
    """Return all, or `most` of them at even steps from the first to the last."""
    count = min(most, len(predictions))
    return [
        predictions[index * (len(predictions) - 1) // max(1, count - 1)] for index in range(count)
    ]


def thumbnails(files: Sequence[Path]) -> list[Image.Image | None]:
    """Return small upright copies, in order; None where a file can no longer be read."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(
            progress(
                pool.map(_thumbnail, files),
                total=len(files),
                description="thumbnails",
                unit="picture",
            )
        )


def _thumbnail(file: Path) -> Image.Image | None:
    """Return what the classifier saw, in the picture's own aspect ratio again."""
    try:
        seen = Image.fromarray(decode(file).permute(1, 2, 0).numpy())
        with Image.open(file) as image:
            width, height = image.size
            if image.getexif().get(ORIENTATION) in LYING:
                width, height = height, width
    # The file was readable a moment ago; what Pillow raises now is of as many types as ever.
    except Exception:  # noqa: BLE001
        return None
    scale = SIDE / max(width, height)
    return seen.resize((max(1, round(scale * width)), max(1, round(scale * height))))


def contact_sheet(
    shown: Sequence[tuple[Prediction, Image.Image | None]], heading: str
) -> Image.Image:
    """Return the pictures in rows on white, each over its answer and its name."""
    columns = max(4, min(COLUMNS, len(shown)))
    rows = -(-len(shown) // columns)
    step_x, step_y = SIDE + GAP, SIDE + CAPTION + GAP
    sheet = Image.new("RGB", (columns * step_x + GAP, HEADING + rows * step_y), "white")
    draw = ImageDraw.Draw(sheet)
    draw.text(
        (GAP, HEADING // 2),
        _fitted(heading, _font(24), sheet.width - 2 * GAP),
        INK,
        _font(24),
        anchor="lm",
    )
    for index, (prediction, thumbnail) in enumerate(shown):
        row, column = divmod(index, columns)
        x, y = GAP + column * step_x, HEADING + row * step_y
        if thumbnail is None:
            draw.rectangle((x, y, x + SIDE - 1, y + SIDE - 1), EMPTY)
        else:
            inset = (SIDE - thumbnail.width) // 2, SIDE - thumbnail.height
            sheet.paste(thumbnail, (x + inset[0], y + inset[1]))
        name = _fitted(printable(prediction.path.name), _font(14), SIDE)
        draw.text((x, y + SIDE + 6), prediction.words, TONES[prediction.label or "dog"], _font(18))
        draw.text((x, y + SIDE + 30), name, QUIET, _font(14))
    return sheet


def _font(size: int) -> Font:
    """Return the font of the figures: it has most alphabets, which Pillow's own has not."""
    folder = Path(matplotlib.get_data_path())
    return ImageFont.truetype(folder / "fonts" / "ttf" / "DejaVuSans.ttf", size)


def _fitted(text: str, font: Font, width: int) -> str:
    """Return a text, its middle left out if it is too wide."""
    if font.getlength(text) <= width:
        return text
    kept = next(n for n in range(len(text) - 1, -1, -1) if font.getlength(_cut(text, n)) <= width)
    return _cut(text, kept)


def _cut(text: str, kept: int) -> str:
    return f"{text[: -(-kept // 2)]}\N{HORIZONTAL ELLIPSIS}{text[len(text) - kept // 2 :]}"
