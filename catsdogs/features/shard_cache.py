"""Resumable on-disk cache of one array per image, and of the decoded pixels among them.

A store is a folder with `store.json`, `manifest.csv` and the rows in shards. Its name is the hash
of everything that determines its values.
"""

import dataclasses
import functools
import hashlib
import json
import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import PIL
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from catsdogs.data.images import PIPELINE, SIZE, ImageFiles
from catsdogs.data.manifest import Manifest
from catsdogs.errors import UserError
from catsdogs.features.shards import ROWS_PER_SHARD, Shards
from catsdogs.io.files import (
    atomic_write_text,
    cache_directory,
    deletions_named,
    make_directory,
)
from catsdogs.io.locks import file_lock
from catsdogs.io.progress import progress

BATCH = 32  # images; divides ROWS_PER_SHARD
PIXELS_PER_IMAGE = 3 * SIZE * SIZE  # one byte each
COMPUTING = "computes the same images"  # another process, in a warning
Values = Callable[[Tensor], npt.NDArray[Any]]
log = logging.getLogger(__name__)


def store_path(kind: str, key: dict[str, str]) -> Path:
    """Return the folder of the store of this kind and key, whether or not it exists."""
    name = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]
    return cache_directory() / kind / name


def fill_missing(
    shards: Shards,
    wanted: Sequence[int],
    manifest: Manifest,
    key: dict[str, str],
    prepare: Callable[[], Values],
    *,
    workers: int,
    description: str,
    lock: Path,
) -> bool:
    """Compute the wanted shards that are absent or damaged.

    A process that wants the same shards at the same time waits for this one. A damaged shard is
    quarantined and computed again, with a warning.

    Args:
        shards: Rows of the manifest's `used` images, in that order.
        wanted: Numbers of shards.
        manifest: The images.
        key: Everything that determines the values.
        prepare: Returns the function that maps decoded images, uint8 of shape (n, 3, 256, 256), to
            n rows; called only if something is missing.
        workers: Number of processes that decode ahead; 0 decodes in this process.
        description: Of the progress bar.
        lock: File to lock meanwhile.

    Returns:
        Whether anything was computed.

    Raises:
        UserError: If the cache cannot be written, or an image changed since the manifest was made.
    """
    missing = shards.missing(wanted)
    if not missing:  # so a complete store may be read-only
        return False
    make_directory(shards.folder, "CATSDOGS_CACHE")
    with deletions_named(), file_lock(lock, waiting_for=COMPUTING):
        missing = shards.missing(missing)
        if missing:
            write_store_metadata(shards.folder, manifest, key)
            if len(missing) < len(wanted):
                stored = len(wanted) - len(missing)
                log.warning("%s: resuming after %d of %d shards", description, stored, len(wanted))
            _fill(shards, missing, manifest, prepare(), workers, description)
    return bool(missing)


def write_store_metadata(path: Path, manifest: Manifest, key: dict[str, str], **also: str) -> None:
    """Write a store's `manifest.csv`, and `store.json` with key, folder and the facts in `also`."""
    atomic_write_text(path / "manifest.csv", manifest.to_csv())
    facts = {"key": key, "pictures": len(manifest.used), "root": str(manifest.root), **also}
    atomic_write_text(path / "store.json", json.dumps(facts, indent=2) + "\n")


def _fill(
    shards: Shards,
    missing: list[int],
    manifest: Manifest,
    compute: Values,
    workers: int,
    description: str,
) -> None:
    """Compute the missing shards from the images, which workers decode ahead."""
    batches = [
        (shard, rows)
        for shard in missing
        for rows in torch.tensor(shards.rows_of(shard)).split(BATCH)
    ]
    loader = DataLoader(
        ImageFiles([(manifest.root / image.path, image.sha256) for image in manifest.used]),
        batch_sampler=[rows.tolist() for _, rows in batches],
        num_workers=workers,
    )
    # One buffer for all shards: one for each would fragment the memory, and the process would grow.
    values = np.empty((ROWS_PER_SHARD, *shards.shape), shards.dtype)
    total = sum(len(rows) for _, rows in batches)
    with progress(total=total, description=description, unit="image") as bar:
        for (shard, rows), pixels in zip(batches, _decoded(loader, manifest.root), strict=True):
            first, last = (int(rows[end]) - shard * ROWS_PER_SHARD for end in (0, -1))
            values[first : last + 1] = compute(pixels)
            if last + 1 == len(shards.rows_of(shard)):
                shards.write(shard, values[: last + 1])
            bar.update(len(rows))


def _decoded(loader: DataLoader[Tensor], root: Path) -> Iterator[Tensor]:
    """Yield the batches of the loader.

    Raises:
        UserError: If an image is no longer readable, or another one.
    """
    try:
        yield from loader
    except OSError as error:
        reason = str(error).strip().splitlines()[-1]  # a worker's error ends with its message
        raise UserError(
            f"data.root={root}: an image changed after it was checked ({reason}); "
            "run the same command again"
        ) from error


@dataclasses.dataclass(frozen=True)
class Pixels:
    """The pixels of a manifest's `used` images, decoded on first access.

    Attributes:
        manifest: The images; rows are in the order of its `used`.
        workers: Number of processes that decode.
    """

    manifest: Manifest
    workers: int

    @property
    def key(self) -> dict[str, str]:
        """Everything that determines the values; equal keys mean equal pixels."""
        return {
            "manifest": self.manifest.sha256,
            "pixels": PIPELINE,
            "rows": str(ROWS_PER_SHARD),
            "pillow": PIL.__version__,
        }

    @property
    def missing(self) -> int:
        """The number of images whose pixels are not stored."""
        shards = self._shards
        return sum(len(shards.rows_of(shard)) for shard in shards.absent())

    @functools.cached_property
    def rows(self) -> Shards:
        """The pixels, uint8 of shape (3, 256, 256), complete and checked for damage.

        Raises:
            UserError: If the cache cannot be written, or an image changed since the manifest was
                made.
        """
        shards = self._shards
        fill_missing(
            shards,
            shards.numbers,
            self.manifest,
            self.key,
            lambda: np.asarray,
            workers=self.workers,
            description="decoding",
            lock=shards.folder.with_suffix(".lock"),
        )
        shards.open_files()
        return shards

    @property
    def _shards(self) -> Shards:
        path = store_path("pixels", self.key)
        return Shards(path, len(self.manifest.used), (3, SIZE, SIZE), "uint8")
