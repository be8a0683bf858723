"""Which folder of pictures a choice of `data` means; fetched or drawn if it is not there yet."""

from pathlib import Path
from typing import Literal

from catsdogs.data.download.kaggle import fetch_kaggle
from catsdogs.data.drawn import draw_folder

Source = Literal["drawn", "folder", "kaggle", "pets"]
Downloaded = Literal["kaggle", "pets"]


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
