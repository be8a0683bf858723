"""Image folder for each choice of `data`, downloaded or drawn on first use."""

import os
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Literal

import PIL

from catsdogs.data.download.kaggle import fetch_kaggle
from catsdogs.data.image_folder import LABELS
from catsdogs.drawing.species import draw_cat_or_dog
from catsdogs.io.files import atomic_directory, cache_directory, make_directory
from catsdogs.io.locks import file_lock
from catsdogs.io.progress import progress

Source = Literal["drawn", "folder", "kaggle", "pets"]
Downloaded = Literal["kaggle", "pets"]
EDITION = 1  # raise it when the drawings change, so that folders with old ones are not used
JPEG_QUALITY = 92


def find_folder(
    source: Source, *, root: Path | None, per_class: int, seed: int, keep_archive: bool
) -> Path:
    """Return a folder in one of the layouts of `find_images`.

    Args:
        source: Of the images.
        root: The folder, for `folder`; ignored otherwise.
        per_class: Number of images to draw of each class, for `drawn`.
        seed: Of the drawings.
        keep_archive: Whether to keep the downloaded archives, for `kaggle` and `pets`.

    Raises:
        UserError: If the images cannot be downloaded or written.
    """
    if source == "drawn":
        return draw_folder(per_class, seed=seed)
    if source == "folder":
        assert root is not None
        return root
    return fetch(source, keep_archive=keep_archive)


def fetch(source: Downloaded, *, keep_archive: bool = False) -> Path:
    """Return the folder of a data set, downloaded if it is not in the cache.

    Raises:
        UserError: If it cannot be downloaded.
    """
    if source == "kaggle":
        return fetch_kaggle(keep_archive=keep_archive)
    # Imported here because it imports torch, which reading the settings does not need.
    from catsdogs.data.download.pets import fetch_pets

    return fetch_pets(keep_archive=keep_archive)


def draw_folder(per_class: int, *, seed: int = 0) -> Path:
    """Return a folder with `per_class` cats and as many dogs, drawn if it is not in the cache.

    Files are named as in the competition, `cat.N.jpg` and `dog.N.jpg`. Image N of a class is the
    same in a folder of any size.
    """
    drawn = cache_directory() / "drawn"
    folder = drawn / f"edition{EDITION}-seed{seed}-{per_class}-pillow{PIL.__version__}"
    if folder.exists():  # the cache may be read-only
        return folder
    make_directory(drawn, "CATSDOGS_CACHE")
    with file_lock(drawn / f"{folder.name}.lock", waiting_for="draws the same images"):
        if not folder.exists():
            with atomic_directory(folder) as partial_folder:
                _draw_all(partial_folder, per_class, seed)
    return folder


def _draw_all(folder: Path, per_class: int, seed: int) -> None:
    files = [(name, index) for name in LABELS for index in range(per_class)]
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        done = pool.map(partial(_draw_file, folder, seed), files, chunksize=16)
        for _ in progress(done, total=len(files), description="drawing", unit="image"):
            pass


def _draw_file(folder: Path, seed: int, file: tuple[str, int]) -> None:
    name, index = file
    image = draw_cat_or_dog(LABELS[name], index, seed=seed)
    image.save(folder / f"{name}.{index}.jpg", quality=JPEG_QUALITY)
