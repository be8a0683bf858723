"""Small images, and the settings of a short run on them."""

import errno
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from catsdogs.data.manifest import Split

PER_CLASS: dict[Split, int] = {"train": 5, "val": 2, "test": 2}
SIZES = [f"data.{split}_per_class={count}" for split, count in PER_CLASS.items()]


def write_image(path: Path, seed: int = 0) -> None:
    """Write a small image of noise; missing folders are created."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)


def close_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a folder unreadable, for root too."""
    scan = os.scandir

    def refuse(path: Any = ".") -> Any:
        if Path(path) == folder:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return scan(path)

    monkeypatch.setattr("os.scandir", refuse)
