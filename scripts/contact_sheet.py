"""Draw the contact sheets of the README and the docs: cats and dogs in turn, and the zoo.

python scripts/contact_sheet.py docs/images
"""

import argparse
from collections.abc import Callable
from pathlib import Path

from PIL import Image

from catsdogs.drawing.species import draw_cat_or_dog
from catsdogs.pretraining.zoo import draw_creature

COLUMNS, ROWS, SIZE, GAP = 10, 4, 128, 4


def contact_sheet(draw: Callable[[int], Image.Image]) -> Image.Image:
    """Return pictures 0, 1, 2, ... of `draw` in rows on white, each `SIZE` pixels wide."""
    step = SIZE + GAP
    sheet = Image.new("RGB", (COLUMNS * step - GAP, ROWS * step - GAP), "white")
    for index in range(COLUMNS * ROWS):
        row, column = divmod(index, COLUMNS)
        sheet.paste(draw(index), (column * step, row * step))
    return sheet


def main() -> None:
    """Write `drawn.jpg` and `zoo.jpg` into the folder named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    sheets = {
        "drawn.jpg": lambda index: draw_cat_or_dog(1 - index % 2, index // 2, size=SIZE),
        "zoo.jpg": lambda index: draw_creature(index, size=SIZE)[0],
    }
    for name, draw in sheets.items():
        contact_sheet(draw).save(folder / name, quality=88)


if __name__ == "__main__":
    main()
