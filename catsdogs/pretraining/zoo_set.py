"""Zoo as a memory-mapped array with labels, drawn once into a folder."""

import dataclasses
import hashlib
import json
import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import PIL
import torch
from filelock import FileLock
from torch import Tensor

from catsdogs.data.sources import EDITION
from catsdogs.io.files import atomic_directory
from catsdogs.io.progress import progress
from catsdogs.pretraining.zoo import draw_creature


@dataclasses.dataclass(frozen=True)
class Zoo:
    """Drawn creatures, in the order of their numbers.

    Attributes:
        pixels: uint8 of shape (n, size, size, 3), memory-mapped.
        labels: int64 of shape (n, 5), in the order of `ZooLabels`.
        sha256: Of the pixels.
    """

    pixels: npt.NDArray[np.uint8]
    labels: Tensor
    sha256: str

    def __len__(self) -> int:
        return len(self.labels)


def draw_zoo(folder: Path, count: int, size: int, *, seed: int = 0) -> Zoo:
    """Return the first `count` creatures of a seed's zoo, drawn if they are not in the folder.

    Args:
        folder: Of all zoos.
        count: Number of creatures; creature N is the same for any count.
        size: Side in pixels.
        seed: Of the zoo.
    """
    path = folder / f"zoo-edition{EDITION}-seed{seed}-{count}x{size}px-pillow{PIL.__version__}"
    with FileLock(folder / f"{path.name}.lock"):
        if not path.exists():
            with atomic_directory(path) as partial_folder:
                _draw_all(partial_folder, count, size, seed)
    drawn = json.loads((path / "zoo.json").read_text(encoding="utf-8"))
    pixels = np.load(path / "pixels.npy", mmap_mode="r")
    return Zoo(pixels, torch.tensor(drawn["labels"]), drawn["sha256"])


def _draw_all(folder: Path, count: int, size: int, seed: int) -> None:
    header = {"descr": "|u1", "fortran_order": False, "shape": (count, size, size, 3)}
    digest, labels = hashlib.sha256(), []
    # Spawned, not forked: a fork of a process with torch's threads can hang.
    with (
        ProcessPoolExecutor(os.cpu_count(), multiprocessing.get_context("spawn")) as pool,
        (folder / "pixels.npy").open("wb") as file,
    ):
        np.lib.format.write_array_header_1_0(file, header)
        draw = partial(draw_creature, seed=seed, size=size)
        done = pool.map(draw, range(count), chunksize=16)
        for image, label in progress(done, total=count, description="drawing", unit="image"):
            drawn = image.tobytes()
            file.write(drawn)
            digest.update(drawn)
            labels.append(label)
    zoo = {"sha256": digest.hexdigest(), "labels": labels}
    (folder / "zoo.json").write_text(json.dumps(zoo), encoding="utf-8")
