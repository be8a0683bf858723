"""Draw the contact sheets of the README and the docs: the drawn cats and dogs, and the drawn zoo.

python scripts/contact_sheet.py docs/images
"""

import argparse
from collections.abc import Callable
from pathlib import Path

from PIL import Image, ImageOps

from catsdogs.drawing.species import draw_cat_or_dog
from catsdogs.io.thumbnails import Tile, contact_sheet
from catsdogs.pretraining.zoo import draw_creature

IMAGES, COLUMNS = 40, 10
SIDE, GAP = 128, 4  # pixels


def main() -> None:
    """Write `drawn.jpg` and `zoo.jpg` into the folder named on the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="an existing folder")
    folder = parser.parse_args().folder
    sheets: dict[str, Callable[[int], Image.Image]] = {
        "drawn.jpg": lambda index: draw_cat_or_dog(1 - index % 2, index // 2, size=SIDE),
        "zoo.jpg": lambda index: draw_creature(index, size=SIDE)[0],
    }
    for name, draw in sheets.items():
        tiles = [Tile(draw(index)) for index in range(IMAGES)]
        sheet = contact_sheet(tiles, side=SIDE, columns=COLUMNS, gap=GAP)
        # The page that shows the sheet has margins already.
        ImageOps.crop(sheet, GAP).save(folder / name, quality=88)


if __name__ == "__main__":
    main()
