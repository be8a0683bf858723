"""The backbone's outputs, computed once per picture and kept on disk.

The backbone is frozen, so its outputs are data: every optimizer, seed and learning rate trains on
the same store. A store is a folder of `store.json`, `manifest.csv` and the rows in files of 256,
under a name that is the hash of all that decided its numbers. Whatever files are there and sound
are used, and the others are computed: an interrupted pass goes on, and the processes of a run can
each compute their own.
"""

import contextlib
import dataclasses
import hashlib
import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import PIL
import torch
import torchvision
from filelock import FileLock, Timeout
from torch import Tensor
from torch.utils.data import DataLoader

from catsdogs.data.manifest import SPLITS, Manifest, Split
from catsdogs.data.pixels import PIPELINE, PictureFiles, normalise
from catsdogs.errors import UserError
from catsdogs.files import cache_directory, make_directory, write_whole
from catsdogs.progress import progress
from catsdogs.training.backbone import CHANNELS, SIDE, BackboneWeights
from catsdogs.training.folded import ARITHMETIC, FoldedBackbone
from catsdogs.training.ranks import ALONE, Ranks
from catsdogs.training.row_files import SEGMENT, RowFiles

log = logging.getLogger(__name__)
StoreType = Literal["float32", "float16"]
Pass = Callable[[Tensor], Tensor]
ROW = (CHANNELS, SIDE, SIDE)
BATCH = 32  # pictures at a time through the backbone; files of rows hold whole batches


@dataclasses.dataclass(frozen=True)
class Features:
    """The rows of one split.

    Attributes:
        values: Shape (n, 512, 8, 8), float32 or float16; row numbers in, copies out.
        labels: float32 of shape (n,): 1 for a cat, 0 for a dog.
        paths: The n pictures, relative to the manifest's root.
        device: Where batches go.
        mine: Boolean of shape (n,): the rows that this process has, if it has not all.
    """

    values: "SplitRows | DeviceRows | npt.NDArray[Any]"
    labels: Tensor
    paths: list[str]
    device: torch.device
    mine: Tensor | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def held(self, rows: Tensor) -> Tensor:
        """Return those of the row numbers that this process has, in their order."""
        return rows if self.mine is None else rows[self.mine[rows]]

    def batch(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return features (n, 512, 8, 8) as float32 and labels (n,) for row numbers that it has."""
        values = torch.as_tensor(self.values[rows.numpy()])
        return values.to(self.device, torch.float32), self.labels[rows].to(self.device)

    def on_device(self) -> "Features":
        """Return the same with all rows that this process has kept in the device's memory."""
        rows = self.held(torch.arange(len(self)))
        return dataclasses.replace(self, values=DeviceRows(self.values, rows, self.device))


class SplitRows:
    """The rows of a store from `start` on, numbered from 0."""

    def __init__(self, files: RowFiles, start: int) -> None:
        self._files = files
        self._start = start

    def __getitem__(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
        """Return copies of the rows of the given numbers."""
        return self._files[rows + self._start]


class DeviceRows:
    """Rows copied to a device once, so that a batch need not be."""

    def __init__(self, values: Any, rows: Tensor, device: torch.device) -> None:
        first = torch.as_tensor(values[rows[:1].numpy()])
        self._values = torch.empty((len(rows), *ROW), dtype=first.dtype, device=device)
        for places in torch.arange(len(rows)).split(SEGMENT):
            self._values[places] = torch.as_tensor(values[rows[places].numpy()]).to(device)
        self._place = {int(row): place for place, row in enumerate(rows.tolist())}

    def __getitem__(self, rows: npt.NDArray[np.int64]) -> Tensor:
        """Return the rows of the given numbers, on the device."""
        places = torch.tensor([self._place[row] for row in rows.tolist()], dtype=torch.int64)
        return self._values[places.to(self._values.device)]


@dataclasses.dataclass(frozen=True)
class FeatureStore:
    """A store on disk that was found whole.

    Attributes:
        path: Its folder.
        key: What its numbers were made from.
        built: Whether this call computed it (a cold start) instead of finding it.
        splits: The features of each split.
    """

    path: Path
    key: dict[str, str]
    built: bool
    splits: dict[Split, Features]


def open_store(
    manifest: Manifest,
    weights: BackboneWeights,
    *,
    dtype: StoreType = "float32",
    device: torch.device,
    workers: int = 1,
    make_backbone: Callable[[BackboneWeights, torch.device], Pass] = FoldedBackbone,
    ranks: Ranks = ALONE,
) -> FeatureStore:
    """Open the feature store of these pictures and weights; compute what is missing of it first.

    Two runs that want the same store wait for one another. A file of rows whose checksum is wrong
    is set aside and computed again, with a warning.

    Args:
        manifest: The pictures; the store's rows are its `used` pictures, in that order.
        weights: Of the backbone, which is made only if a pass is needed.
        dtype: How features are kept; they are computed in float32.
        device: Where the backbone runs and where batches go.
        workers: Processes that decode pictures while the backbone computes.
        make_backbone: Makes what maps pixels to features on a device, from the weights.
        ranks: Each sees to its own rows; they need not share a cache.

    Raises:
        UserError: If the cache cannot be written, or a picture changed since the manifest.
    """
    key = store_key(manifest, weights, dtype, device)
    path = store_path(key)
    make_directory(path, "CATSDOGS_CACHE")
    files = row_files(path, manifest, dtype)
    mine = [segment for segment in files.segments if ranks.owns(segment)]
    with alone(path.with_suffix(f".{ranks.rank}of{ranks.size}.lock")):
        missing = files.missing(mine)
        if missing:
            describe(path, manifest, key)
            backbone = make_backbone(weights, device)
            _fill(files, missing, len(mine), manifest, backbone, device, workers)
    return FeatureStore(path, key, bool(missing), split_rows(files, manifest, device, ranks))


def row_files(path: Path, manifest: Manifest, dtype: StoreType) -> RowFiles:
    """Return the rows of the store at `path`, whether or not they are there."""
    return RowFiles(path, len(manifest.used), ROW, dtype)


def store_key(
    manifest: Manifest, weights: BackboneWeights, dtype: StoreType, device: torch.device
) -> dict[str, str]:
    """Return all that decides a store's numbers; equal keys mean equal features."""
    return {
        "manifest": manifest.sha256,
        "weights": weights.sha256,
        "pixels": PIPELINE,
        "backbone": ARITHMETIC,
        "dtype": dtype,
        "rows": str(SEGMENT),
        "device": device.type,
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
        "pillow": PIL.__version__,
    }


def store_path(key: dict[str, str]) -> Path:
    """Return where the store of a key stands, or would stand."""
    name = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]
    return cache_directory() / "features" / name


@contextlib.contextmanager
def alone(path: Path) -> Iterator[None]:
    """Hold the lock at `path`; say so if another process has it and must be waited for."""
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        log.warning("another process is at the same features; waiting for it (%s)", path)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _fill(
    files: RowFiles,
    missing: list[int],
    wanted: int,
    manifest: Manifest,
    backbone: Pass,
    device: torch.device,
    workers: int,
) -> None:
    """Send the pictures of the missing files through the backbone, decoding ahead in workers."""
    if len(missing) < wanted:
        done = f"{wanted - len(missing)} of {wanted}"
        log.warning("going on with a pass that has done %s files of rows", done)
    batches = [
        (segment, rows)
        for segment in missing
        for rows in torch.tensor(files.rows_of(segment)).split(BATCH)
    ]
    loader = DataLoader(
        PictureFiles([manifest.root / picture.path for picture in manifest.used]),
        batch_sampler=[rows.tolist() for _, rows in batches],
        num_workers=workers,
    )
    # One block for all files: blocks that come and go leave holes, and the process grows.
    values = np.empty((SEGMENT, *ROW), files.dtype)
    total = sum(len(rows) for _, rows in batches)
    with progress(total=total, description="backbone pass", unit="picture") as bar:
        for (segment, rows), pixels in zip(batches, decoded(loader, manifest.root), strict=True):
            first, last = (int(rows[place]) - segment * SEGMENT for place in (0, -1))
            values[first : last + 1] = backbone(normalise(pixels.to(device))).cpu().numpy()
            if last + 1 == len(files.rows_of(segment)):
                files.write(segment, values[: last + 1])
            bar.update(len(rows))


def decoded(loader: DataLoader[Tensor], root: Path) -> Iterator[Tensor]:
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


def describe(path: Path, manifest: Manifest, key: dict[str, str], **also: str) -> None:
    """Write down what a store is made from, and what else is to be known of it."""
    write_whole(path / "manifest.csv", manifest.to_csv())
    facts = {"key": key, "pictures": len(manifest.used), **also}
    write_whole(path / "store.json", json.dumps(facts, indent=2) + "\n")


def split_rows(
    files: RowFiles, manifest: Manifest, device: torch.device, ranks: Ranks = ALONE
) -> dict[Split, Features]:
    """Return the rows of each split of a store; on a GPU kept in its memory if they fit."""
    owned = torch.tensor([ranks.owns(row // SEGMENT) for row in range(files.count)])
    splits: dict[Split, Features] = {}
    start = 0
    for split in SPLITS:
        pictures = [p for p in manifest.used if p.split == split]
        splits[split] = Features(
            SplitRows(files, start),
            torch.tensor([float(p.label) for p in pictures]),
            [p.path for p in pictures],
            device,
            None if ranks.size == 1 else owned[start : start + len(pictures)],
        )
        start += len(pictures)
    if device.type == "cuda" and _fits(files, ranks, device):
        return {split: features.on_device() for split, features in splits.items()}
    return splits


def _fits(files: RowFiles, ranks: Ranks, device: torch.device) -> bool:
    """Tell whether the rows take at most half of the device's free memory."""
    needed = files.count // ranks.size * int(np.prod(ROW)) * files.dtype.itemsize
    return needed <= torch.cuda.mem_get_info(device)[0] // 2
