"""Feature store: the frozen backbone's outputs, computed once per image and kept on disk.

Every optimizer, seed and learning rate trains on the same store. Shards that are stored and intact
are used and the others computed, so an interrupted pass resumes, and each process of a run computes
only its own shards.
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
from catsdogs.features.shards import ROWS_PER_SHARD, Shards
from catsdogs.settings import Precision

StoreType = Literal["float32", "float16"]
Pass = Callable[[Tensor], Tensor]
MakeBackbone = Callable[[BackboneWeights, torch.device, Precision], Pass]
ROW = (CHANNELS, SIDE, SIDE)
FEATURES_PER_IMAGE = CHANNELS * SIDE * SIDE


@dataclasses.dataclass(frozen=True)
class Features:
    """The features and labels of one split.

    Attributes:
        values: Shape (n, 512, 8, 8), float32 or float16; indexing with row numbers returns copies.
        labels: float32 of shape (n,): 1 for a cat, 0 for a dog.
        paths: Of the n images, relative to the manifest's root.
        device: Device of the batches.
        mine: Boolean mask of shape (n,) of the rows that this process holds; None if it holds all.
    """

    values: "SplitRows | DeviceRows | npt.NDArray[Any]"
    labels: Tensor
    paths: list[str]
    device: torch.device
    mine: Tensor | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def held(self, rows: Tensor) -> Tensor:
        """Return those of the row numbers that this process holds, in their order."""
        return rows if self.mine is None else rows[self.mine[rows]]

    def batch(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return a batch on `device`: features (n, 512, 8, 8) as float32, and labels (n,).

        Args:
            rows: int64 of shape (n,); this process must hold all of them.
        """
        values = torch.as_tensor(self.values[rows.numpy()])
        return values.to(self.device, torch.float32), self.labels[rows].to(self.device)

    def on_device(self) -> "Features":
        """Return the same features with all rows of this process copied to the device's memory."""
        rows = self.held(torch.arange(len(self)))
        return dataclasses.replace(self, values=DeviceRows(self.values, rows, self.device))


class SplitRows:
    """The rows of a store from `start` on, numbered from 0."""

    def __init__(self, shards: Shards, start: int) -> None:
        self._shards = shards
        self._start = start

    def __getitem__(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
        """Return copies of the rows with the given numbers."""
        return self._shards[rows + self._start]


class DeviceRows:
    """Rows copied to a device once, so that no batch has to be copied."""

    def __init__(self, values: Any, rows: Tensor, device: torch.device) -> None:
        first = torch.as_tensor(values[rows[:1].numpy()])
        self._values = torch.empty((len(rows), *ROW), dtype=first.dtype, device=device)
        for positions in torch.arange(len(rows)).split(ROWS_PER_SHARD):
            self._values[positions] = torch.as_tensor(values[rows[positions].numpy()]).to(device)
        self._position = {int(row): position for position, row in enumerate(rows.tolist())}

    def __getitem__(self, rows: npt.NDArray[np.int64]) -> Tensor:
        """Return the rows with the given numbers, on the device."""
        positions = torch.tensor([self._position[row] for row in rows.tolist()], dtype=torch.int64)
        return self._values[positions.to(self._values.device)]


@dataclasses.dataclass(frozen=True)
class FeatureStore:
    """A complete store on disk.

    Attributes:
        path: Its folder.
        key: Everything that determines its values.
        built: Whether any of it was computed when it was opened (a cold start).
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
    """Compute what is missing of the feature store of these images and weights, and open it.

    A run that wants the same store at the same time waits. A damaged shard is quarantined and
    computed again, with a warning.

    Args:
        manifest: The images; the store's rows are in the order of its `used`.
        weights: Of the backbone, which is built only if a pass is needed.
        dtype: Of the stored features.
        precision: Of the backbone's arithmetic.
        device: Device of the backbone and of the batches.
        workers: Number of processes that decode images while the backbone computes; 0 decodes in
            this process.
        make_backbone: Returns the function that maps normalized pixels to float32 features.
        process_group: Each process computes and holds its own shards; they need not share a cache.

    Raises:
        UserError: If the cache cannot be written, or an image changed since the manifest was made.
    """
    key = store_key(manifest, weights, dtype, device, precision)
    path = store_path("features", key)
    shards = feature_shards(path, manifest, dtype)

    def prepare() -> Values:
        backbone = make_backbone(weights, device, precision)
        return lambda pixels: backbone(normalise(pixels.to(device))).cpu().numpy()

    built = fill_missing(
        shards,
        [shard for shard in shards.numbers if process_group.owns(shard)],
        manifest,
        key,
        prepare,
        workers=workers,
        description="backbone pass",
        lock=path.with_suffix(f".{process_group.rank}of{process_group.size}.lock"),
    )
    return FeatureStore(path, key, built, split_rows(shards, manifest, device, process_group))


def feature_shards(path: Path, manifest: Manifest, dtype: StoreType) -> Shards:
    """Return the shards of the store at `path`, whether or not they exist."""
    return Shards(path, len(manifest.used), ROW, dtype)


def store_key(
    manifest: Manifest,
    weights: BackboneWeights,
    dtype: StoreType,
    device: torch.device,
    precision: Precision = "float32",
    arithmetic: str = ARITHMETIC,
) -> dict[str, str]:
    """Return everything that determines a store's values; equal keys mean equal features."""
    return {
        "manifest": manifest.sha256,
        "weights": weights.sha256,
        "pixels": PIPELINE,
        "backbone": arithmetic if precision == "float32" else f"{arithmetic}-{precision}",
        "dtype": dtype,
        "rows": str(ROWS_PER_SHARD),
        "device": device.type,
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
        "pillow": PIL.__version__,
    }


def split_rows(
    shards: Shards, manifest: Manifest, device: torch.device, process_group: ProcessGroup = ALONE
) -> dict[Split, Features]:
    """Return the features of each split of a store, copied to a GPU's memory if they fit."""
    shards.open_files()
    rows = range(shards.count)
    owned = torch.tensor([process_group.owns(row // ROWS_PER_SHARD) for row in rows])
    splits: dict[Split, Features] = {}
    start = 0
    for split in SPLITS:
        images = [p for p in manifest.used if p.split == split]
        splits[split] = Features(
            SplitRows(shards, start),
            torch.tensor([float(p.label) for p in images]),
            [p.path for p in images],
            device,
            None if process_group.size == 1 else owned[start : start + len(images)],
        )
        start += len(images)
    if device.type == "cuda" and _fits(shards, process_group, device):
        return {split: features.on_device() for split, features in splits.items()}
    return splits


def _fits(shards: Shards, process_group: ProcessGroup, device: torch.device) -> bool:
    """Return whether a process's rows take at most half of the device's free memory."""
    needed = shards.count // process_group.size * FEATURES_PER_IMAGE * shards.dtype.itemsize
    return needed <= torch.cuda.mem_get_info(device)[0] // 2
