"""Results of a prediction as files: a table, a contact sheet and a page."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from PIL import Image

from catsdogs.data.images import read_image
from catsdogs.inference.gallery import choose, gallery
from catsdogs.inference.predictions import (
    Prediction,
    evenly_spaced,
    ranked,
    summary,
    to_csv,
)
from catsdogs.io.files import atomic_file, atomic_write_text, make_directory
from catsdogs.io.progress import progress
from catsdogs.io.text import printable
from catsdogs.io.thumbnails import Line, Tile, contact_sheet, thumbnail

SIDE = 192  # pixels of a thumbnail's longer side
MOST_ON_SHEET = 60
COLUMNS = 4, 10  # at least and at most, on the sheet
GAP = 16  # pixels, on the sheet
HEADING, WORDS, NAME = 24, 18, 14  # font sizes on the sheet, in pixels
TONES = {"cat": "#0b6b7d", "dog": "#a8390b"}
QUIET = "#57606a"


def write_results(predictions: Sequence[Prediction], classifier: str, directory: Path) -> None:
    """Write `predictions.csv`, `contact-sheet.png` and `gallery.html`; other files stay.

    Args:
        predictions: In the order of the table.
        classifier: Its description, for the page.
        directory: Created if it does not exist.

    Raises:
        UserError: If the directory cannot be written to.
    """
    make_directory(directory, "output_dir")
    atomic_write_text(directory / "predictions.csv", to_csv(predictions))
    ranking = ranked(predictions)
    on_page = choose(ranking)
    from_cat_to_dog = sorted(ranking, key=lambda one: -(one.logit or 0.0))
    on_sheet = evenly_spaced(from_cat_to_dog, MOST_ON_SHEET)
    files = list(dict.fromkeys(one.path for one in (*on_page.predictions, *on_sheet)))
    small = dict(zip(files, thumbnails(files), strict=True))
    heading = summary(predictions)
    if len(on_sheet) < len(ranking):
        heading += (
            f"; showing {len(on_sheet)}, evenly spaced from the most confident cat to the most "
            "confident dog"
        )
    sheet = prediction_sheet([(one, small[one.path]) for one in on_sheet], heading)
    with atomic_file(directory / "contact-sheet.png") as partial:
        sheet.save(partial, "PNG", optimize=True)
    page = gallery(
        on_page,
        [small[one.path] for one in on_page.predictions],
        [one for one in predictions if one.logit is None],
        lead=f"{summary(predictions)}. Classifier: {classifier}.",
    )
    atomic_write_text(directory / "gallery.html", page)


def thumbnails(files: Sequence[Path]) -> list[Image.Image | None]:
    """Return upright thumbnails, in order; None for a file that can no longer be read."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(
            progress(
                pool.map(_thumbnail, files),
                total=len(files),
                description="drawing thumbnails",
                unit="image",
            )
        )


def _thumbnail(file: Path) -> Image.Image | None:
    try:
        return thumbnail(read_image(file), SIDE)
    except OSError:
        return None


def prediction_sheet(
    shown: Sequence[tuple[Prediction, Image.Image | None]], heading: str
) -> Image.Image:
    """Return a contact sheet with the label, the confidence and the file name of each image."""
    tiles = [
        Tile(
            image,
            (
                Line(one.words, WORDS, TONES[one.label]),
                Line(printable(one.path.name), NAME, QUIET),
            ),
        )
        for one, image in shown
    ]
    fewest, most = COLUMNS
    columns = max(fewest, min(most, len(tiles)))
    return contact_sheet(tiles, side=SIDE, columns=columns, gap=GAP, heading=Line(heading, HEADING))
