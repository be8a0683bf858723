"""The backbone's outputs, computed once per picture and kept on disk.

The backbone is frozen, so its outputs are data: every optimizer, seed and learning rate trains on
the same store. Whatever files of rows are there and sound are used, and the others are computed: an
interrupted pass goes on, and the processes of a run can each compute their own.
"""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import PIL
import torch
import torchvision
from torch import Tensor

from catsdogs.compute.distributed import ALONE, ProcessGroup
from catsdogs.data.images import PIPELINE, normalise
from catsdogs.data.manifest import SPLITS, Manifest, Split
from catsdogs.features.backbone import CHANNELS, SIDE, BackboneWeights
from catsdogs.features.folded_backbone import ARITHMETIC, FoldedBackbone
from catsdogs.features.shard_cache import Values, fill_missing, store_path
from catsdogs.features.shards import SEGMENT, RowFiles
from catsdogs.settings import Precision

StoreType = Literal["float32", "float16"]
Pass = Callable[[Tensor], Tensor]
MakeBackbone = Callable[[BackboneWeights, torch.device, Precision], Pass]
ROW = (CHANNELS, SIDE, SIDE)


FEATURES_PER_IMAGE = 512 * 8 * 8


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


def open_feature_store(
    manifest: Manifest,
    weights: BackboneWeights,
    *,
    dtype: StoreType = "float32",
    precision: Precision = "float32",
    device: torch.device,
    workers: int = 1,
    make_backbone: MakeBackbone = FoldedBackbone,
    process_group: ProcessGroup = ALONE,
) -> FeatureStore:
    """Open the feature store of these pictures and weights; compute what is missing of it first.

    Two runs that want the same store wait for one another. A file of rows whose checksum is wrong
    is set aside and computed again, with a warning.

    Args:
        manifest: The pictures; the store's rows are its `used` pictures, in that order.
        weights: Of the backbone, which is made only if a pass is needed.
        dtype: How features are kept.
        precision: In what they are computed.
        device: Where the backbone runs and where batches go.
        workers: Processes that decode pictures while the backbone computes.
        make_backbone: Makes what maps pixels to float32 features on a device, from the weights.
        process_group: Each sees to its own rows; they need not share a cache.

    Raises:
        UserError: If the cache cannot be written, or a picture changed since the manifest.
    """
    key = store_key(manifest, weights, dtype, device, precision)
    path = store_path("features", key)
    files = row_files(path, manifest, dtype)

    def prepare() -> Values:
        backbone = make_backbone(weights, device, precision)
        return lambda pixels: backbone(normalise(pixels.to(device))).cpu().numpy()

    built = fill_missing(
        files,
        [segment for segment in files.segments if process_group.owns(segment)],
        manifest,
        key,
        prepare,
        workers=workers,
        description="backbone pass",
        lock=path.with_suffix(f".{process_group.rank}of{process_group.size}.lock"),
    )
    return FeatureStore(path, key, built, split_rows(files, manifest, device, process_group))


def row_files(path: Path, manifest: Manifest, dtype: StoreType) -> RowFiles:
    """Return the rows of the store at `path`, whether or not they are there."""
    return RowFiles(path, len(manifest.used), ROW, dtype)


def store_key(
    manifest: Manifest,
    weights: BackboneWeights,
    dtype: StoreType,
    device: torch.device,
    precision: Precision = "float32",
    arithmetic: str = ARITHMETIC,
) -> dict[str, str]:
    """Return all that decides a store's numbers; equal keys mean equal features."""
    return {
        "manifest": manifest.sha256,
        "weights": weights.sha256,
        "pixels": PIPELINE,
        "backbone": arithmetic if precision == "float32" else f"{arithmetic}-{precision}",
        "dtype": dtype,
        "rows": str(SEGMENT),
        "device": device.type,
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
        "pillow": PIL.__version__,
    }


def split_rows(
    files: RowFiles, manifest: Manifest, device: torch.device, process_group: ProcessGroup = ALONE
) -> dict[Split, Features]:
    """Return the rows of each split of a store; on a GPU kept in its memory if they fit."""
    owned = torch.tensor([process_group.owns(row // SEGMENT) for row in range(files.count)])
    splits: dict[Split, Features] = {}
    start = 0
    for split in SPLITS:
        images = [p for p in manifest.used if p.split == split]
        splits[split] = Features(
            SplitRows(files, start),
            torch.tensor([float(p.label) for p in images]),
            [p.path for p in images],
            device,
            None if process_group.size == 1 else owned[start : start + len(images)],
        )
        start += len(images)
    if device.type == "cuda" and _fits(files, process_group, device):
        return {split: features.on_device() for split, features in splits.items()}
    return splits


def _fits(files: RowFiles, process_group: ProcessGroup, device: torch.device) -> bool:
    """Tell whether the rows take at most half of the device's free memory."""
    needed = files.count // process_group.size * int(np.prod(ROW)) * files.dtype.itemsize
    return needed <= torch.cuda.mem_get_info(device)[0] // 2
