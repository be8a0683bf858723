"""What is computed from pictures once, kept on disk as rows, and gone on with after a cut.

A store is a folder of `store.json`, `manifest.csv` and the rows in files of 256, under a name that
is the hash of all that decided its numbers.
"""

import contextlib
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
from filelock import FileLock, Timeout
from torch import Tensor
from torch.utils.data import DataLoader

from catsdogs.data.images import PIPELINE, SIZE, ImageFiles
from catsdogs.data.manifest import Manifest
from catsdogs.errors import UserError
from catsdogs.features.shards import SEGMENT, RowFiles
from catsdogs.io.files import atomic_write_text, cache_directory, make_directory
from catsdogs.io.progress import progress

log = logging.getLogger(__name__)
BATCH = 32  # pictures at a time; files of rows hold whole batches
Values = Callable[[Tensor], npt.NDArray[Any]]


PIXELS_PER_IMAGE = 3 * 256 * 256  # a byte each


def store_path(kind: str, key: dict[str, str]) -> Path:
    """Return where the store of a key stands, or would stand, among those of its kind."""
    name = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]
    return cache_directory() / kind / name


def fill_missing(
    files: RowFiles,
    wanted: Sequence[int],
    manifest: Manifest,
    key: dict[str, str],
    prepare: Callable[[], Values],
    *,
    workers: int,
    description: str,
    lock: Path,
) -> bool:
    """Compute those of the wanted files of rows that are not there, or not sound.

    Two processes that want the same wait for one another. A file whose checksum is wrong is set
    aside and computed again, with a warning.

    Args:
        files: Rows of the manifest's `used` pictures, in that order.
        wanted: Numbers of files.
        manifest: The pictures.
        key: All that decides the numbers.
        prepare: Makes what maps decoded pictures, uint8 of shape (n, 3, 256, 256), to n rows;
            called only if something is missing.
        workers: Processes that decode ahead.
        description: Of the progress bar.
        lock: The file to hold meanwhile.

    Returns:
        Whether something was computed.

    Raises:
        UserError: If the cache cannot be written, or a picture changed since the manifest.
    """
    make_directory(files.folder, "CATSDOGS_CACHE")
    with exclusive_lock(lock):
        missing = files.missing(wanted)
        if missing:
            write_store_metadata(files.folder, manifest, key)
            if len(missing) < len(wanted):
                done = f"{len(wanted) - len(missing)} of {len(wanted)}"
                log.warning("%s: going on after %s files of rows", description, done)
            _fill(files, missing, manifest, prepare(), workers, description)
    return bool(missing)


@contextlib.contextmanager
def exclusive_lock(path: Path) -> Iterator[None]:
    """Hold the lock at `path`; say so if another process has it and must be waited for."""
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        log.warning("another process is at the same pictures; waiting for it (%s)", path)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def write_store_metadata(path: Path, manifest: Manifest, key: dict[str, str], **also: str) -> None:
    """Write down what a store is made from, and what else is to be known of it."""
    atomic_write_text(path / "manifest.csv", manifest.to_csv())
    facts = {"key": key, "pictures": len(manifest.used), **also}
    atomic_write_text(path / "store.json", json.dumps(facts, indent=2) + "\n")


def _fill(
    files: RowFiles,
    missing: list[int],
    manifest: Manifest,
    compute: Values,
    workers: int,
    description: str,
) -> None:
    """Compute the missing files from the pictures, which workers decode ahead."""
    batches = [
        (segment, rows)
        for segment in missing
        for rows in torch.tensor(files.rows_of(segment)).split(BATCH)
    ]
    loader = DataLoader(
        ImageFiles([manifest.root / image.path for image in manifest.used]),
        batch_sampler=[rows.tolist() for _, rows in batches],
        num_workers=workers,
    )
    # One block for all files: blocks that come and go leave holes, and the process grows.
    values = np.empty((SEGMENT, *files.shape), files.dtype)
    total = sum(len(rows) for _, rows in batches)
    with progress(total=total, description=description, unit="picture") as bar:
        for (segment, rows), pixels in zip(batches, _decoded(loader, manifest.root), strict=True):
            first, last = (int(rows[place]) - segment * SEGMENT for place in (0, -1))
            values[first : last + 1] = compute(pixels)
            if last + 1 == len(files.rows_of(segment)):
                files.write(segment, values[: last + 1])
            bar.update(len(rows))


def _decoded(loader: DataLoader[Tensor], root: Path) -> Iterator[Tensor]:
    """Yield what the loader decodes.

    Raises:
        UserError: If a picture is no longer readable.
    """
    try:
        yield from loader
    except OSError as error:
        raise UserError(
            f"data.root={root}: a picture that the manifest found readable is no more; "
            f"run again ({str(error).strip().splitlines()[-1]})"
        ) from error


@dataclasses.dataclass(frozen=True)
class Pixels:
    """The pixels of a manifest's `used` pictures, decoded when they are first asked for.

    Attributes:
        manifest: The pictures; rows are in its order.
        workers: Processes that decode.
    """

    manifest: Manifest
    workers: int

    @property
    def key(self) -> dict[str, str]:
        """All that decides the numbers; equal keys mean equal pixels."""
        return {
            "manifest": self.manifest.sha256,
            "pixels": PIPELINE,
            "rows": str(SEGMENT),
            "pillow": PIL.__version__,
        }

    @property
    def missing(self) -> int:
        """The number of pictures whose pixels are not there."""
        files = self._files
        return sum(len(files.rows_of(segment)) for segment in files.absent())

    @functools.cached_property
    def rows(self) -> RowFiles:
        """The pixels, uint8 of shape (3, 256, 256), after all were found sound or decoded.

        Raises:
            UserError: If the cache cannot be written, or a picture changed since the manifest.
        """
        files = self._files
        fill_missing(
            files,
            files.segments,
            self.manifest,
            self.key,
            lambda: np.asarray,
            workers=self.workers,
            description="decoding",
            lock=files.folder.with_suffix(".lock"),
        )
        return files

    @property
    def _files(self) -> RowFiles:
        path = store_path("pixels", self.key)
        return RowFiles(path, len(self.manifest.used), (3, SIZE, SIZE), "uint8")
