"""Thumbnails, and contact sheets that show them in rows over their captions."""

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import matplotlib
from PIL import Image, ImageDraw, ImageFont, ImageOps

INK, MISSING = "#1b1f24", "#eceef1"
LINE_HEIGHT = 1.45  # of a line of text, in units of its font size


class Line(NamedTuple):
    """A line of text: the text, its font size in pixels and its colour."""

    text: str
    size: int
    colour: str = INK


class Tile(NamedTuple):
    """An image and the lines under it; None in place of an image leaves a grey square."""

    image: Image.Image | None
    caption: Sequence[Line] = ()


def thumbnail(image: Image.Image, side: int) -> Image.Image:
    """Return a copy of at most `side` pixels on its longer side, without any metadata.

    The aspect ratio is kept; a smaller image is not enlarged.
    """
    small = image.copy()
    small.thumbnail((side, side))
    small.info.clear()  # a comment would be saved with the pixels
    return small


def contact_sheet(
    tiles: Sequence[Tile], *, side: int, columns: int, gap: int, heading: Line | None = None
) -> Image.Image:
    """Return the tiles in rows on white, captions and heading centred.

    Args:
        tiles: From left to right and from top to bottom.
        side: Width and height of the square that an image is fitted into, in pixels.
        columns: Tiles in a row.
        gap: Pixels between tiles and around the sheet.
        heading: A line above the first row.
    """
    caption = max((sum(map(_height, tile.caption)) for tile in tiles), default=0)
    step_x, step_y = side + gap, side + caption + gap
    top = gap + (_height(heading) + gap if heading else 0)
    rows = -(-len(tiles) // columns)
    sheet = Image.new("RGB", (gap + columns * step_x, top + rows * step_y), "white")
    draw = ImageDraw.Draw(sheet)
    if heading:
        _write(draw, heading, sheet.width // 2, gap, sheet.width - 2 * gap)
    for index, tile in enumerate(tiles):
        row, column = divmod(index, columns)
        x, y = gap + column * step_x, top + row * step_y
        if tile.image is None:
            draw.rectangle((x, y, x + side - 1, y + side - 1), MISSING)
        else:
            fitted = ImageOps.contain(tile.image, (side, side))
            sheet.paste(fitted, (x + (side - fitted.width) // 2, y + side - fitted.height))
        y += side
        for line in tile.caption:
            _write(draw, line, x + side // 2, y, side)
            y += _height(line)
    return sheet


def _height(line: Line) -> int:
    return round(LINE_HEIGHT * line.size)


def _write(draw: ImageDraw.ImageDraw, line: Line, centre: int, top: int, width: int) -> None:
    font = _font(line.size)
    text = _fitted(line.text, font, width)
    draw.text((centre, top + _height(line) // 2), text, line.colour, font, anchor="mm")


@functools.cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    """Return the font of the figures: unlike Pillow's own it covers most alphabets."""
    folder = Path(matplotlib.get_data_path())
    return ImageFont.truetype(folder / "fonts" / "ttf" / "DejaVuSans.ttf", size)


def _fitted(text: str, font: ImageFont.FreeTypeFont, width: int) -> str:
    """Return the text, with an ellipsis for its middle if it is wider than `width` pixels."""
    if font.getlength(text) <= width:
        return text
    kept = next(n for n in range(len(text) - 1, -1, -1) if font.getlength(_cut(text, n)) <= width)
    return _cut(text, kept)


def _cut(text: str, kept: int) -> str:
    return f"{text[: -(-kept // 2)]}\N{HORIZONTAL ELLIPSIS}{text[len(text) - kept // 2 :]}"
