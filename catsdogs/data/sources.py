"""Which folder of pictures a choice of `data` means; fetched or drawn if it is not there yet."""

import os
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Literal

import PIL
from filelock import FileLock

from catsdogs.data.download.kaggle import fetch_kaggle
from catsdogs.data.image_folder import LABELS
from catsdogs.drawing.species import draw_cat_or_dog
from catsdogs.io.files import atomic_directory, cache_directory, make_directory
from catsdogs.io.progress import progress

Source = Literal["drawn", "folder", "kaggle", "pets"]
Downloaded = Literal["kaggle", "pets"]


EDITION = 1  # raise it when a drawing changes, so that nobody reads the old folder for the new
JPEG_QUALITY = 92


def find_folder(
    source: Source, *, root: Path | None, per_class: int, seed: int, keep_archive: bool
) -> Path:
    """Return a folder in one of the layouts of `find_pictures`.

    Args:
        source: Where pictures come from.
        root: The folder itself, for `folder`.
        per_class: How many of each class are drawn, for `drawn`.
        seed: Of the drawings.
        keep_archive: Whether what was downloaded stays beside what was unpacked from it.

    Raises:
        UserError: If the pictures cannot be had.
    """
    if source == "drawn":
        return draw_folder(per_class, seed=seed)
    if source == "folder":
        assert root is not None
        return root
    return fetch(source, keep_archive=keep_archive)


def fetch(source: Downloaded, *, keep_archive: bool = False) -> Path:
    """Return the folder of a downloaded set; if it is there, without a network or an account.

    Raises:
        UserError: If it cannot be had.
    """
    if source == "kaggle":
        return fetch_kaggle(keep_archive=keep_archive)
    from catsdogs.data.download.pets import (
        fetch_pets,  # brings torch, which the settings do without
    )

    return fetch_pets(keep_archive=keep_archive)


def draw_folder(per_class: int, *, seed: int = 0) -> Path:
    """Return a folder with `per_class` cats and as many dogs, drawn if it is not there yet.

    Files are named as in the competition, `cat.N.jpg` and `dog.N.jpg`. Picture N of a class is the
    same in a folder of any size.
    """
    drawn = make_directory(cache_directory() / "drawn", "CATSDOGS_CACHE")
    folder = drawn / f"edition{EDITION}-seed{seed}-{per_class}-pillow{PIL.__version__}"
    with FileLock(drawn / f"{folder.name}.lock"):
        if not folder.exists():
            with atomic_directory(folder) as partial_folder:
                _draw_all(partial_folder, per_class, seed)
    return folder


def _draw_all(folder: Path, per_class: int, seed: int) -> None:
    files = [(name, index) for name in LABELS for index in range(per_class)]
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        done = pool.map(partial(_draw_file, folder, seed), files, chunksize=16)
        for _ in progress(done, total=len(files), description="drawing", unit="picture"):
            pass


def _draw_file(folder: Path, seed: int, file: tuple[str, int]) -> None:
    name, index = file
    image = draw_cat_or_dog(LABELS[name], index, seed=seed)
    image.save(folder / f"{name}.{index}.jpg", quality=JPEG_QUALITY)
