"""The backbone's outputs, computed once per picture and kept on disk.

The backbone is frozen, so its outputs are data: every optimizer, seed and learning rate trains on
the same store. A store is a folder of three files, `features.npy`, `manifest.csv` and `store.json`,
under a name that is the hash of all that decided its numbers. An unfinished one stands beside it
under another name, and the next call goes on with it.
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
from catsdogs.files import cache_directory, checksum, make_directory, whole_directory
from catsdogs.progress import progress
from catsdogs.training.backbone import CHANNELS, SIDE, BackboneWeights
from catsdogs.training.feature_file import FeatureRows, FeatureWriter
from catsdogs.training.folded import ARITHMETIC, FoldedBackbone

log = logging.getLogger(__name__)
StoreType = Literal["float32", "float16"]
Pass = Callable[[Tensor], Tensor]
BATCH = 32


@dataclasses.dataclass(frozen=True)
class Features:
    """The rows of one split.

    Attributes:
        values: Shape (n, 512, 8, 8), float32 or float16; row numbers in, copies out.
        labels: float32 of shape (n,): 1 for a cat, 0 for a dog.
        paths: The n pictures, relative to the manifest's root.
        device: Where batches go.
    """

    values: FeatureRows | npt.NDArray[Any]
    labels: Tensor
    paths: list[str]
    device: torch.device

    def __len__(self) -> int:
        return len(self.labels)

    def batch(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return features (n, 512, 8, 8) as float32 and labels (n,) for the given row numbers."""
        values = torch.from_numpy(self.values[rows.numpy()])
        return values.to(self.device, torch.float32), self.labels[rows].to(self.device)


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
) -> FeatureStore:
    """Open the feature store of these pictures and weights; build it first if there is none.

    Two processes that want the same store wait for one another. A store whose size or checksum is
    wrong is rebuilt, with a warning.

    Args:
        manifest: The pictures; the store's rows are its `used` pictures, in that order.
        weights: Of the backbone, which is made only if a pass is needed.
        dtype: How features are kept; they are computed in float32.
        device: Where the backbone runs and where batches go.
        workers: Processes that decode pictures while the backbone computes.
        make_backbone: Makes what maps pixels to features on a device, from the weights.

    Raises:
        UserError: If the cache cannot be written, or a picture changed since the manifest.
    """
    key = store_key(manifest, weights, dtype, device)
    path = store_path(key)
    make_directory(path.parent, "CATSDOGS_CACHE")
    with alone(path.with_suffix(".lock")):
        built = not is_whole(path, len(manifest.used), dtype)
        if built:
            with whole_directory(path, resume=True) as folder:
                backbone = make_backbone(weights, device)
                sha256 = _fill(folder, manifest, backbone, dtype, device, workers)
                seal(folder, manifest, key, sha256)
    return FeatureStore(path, key, built, split_rows(path, manifest, device))


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


def is_whole(path: Path, rows: int, dtype: StoreType) -> bool:
    """Tell whether a store stands at `path` as it was sealed; say so if one does but damaged."""
    if not path.exists():
        return False
    try:
        sealed = json.loads((path / "store.json").read_text(encoding="utf-8"))
        values = np.load(path / "features.npy", mmap_mode="r")
        if values.shape != (rows, CHANNELS, SIDE, SIDE) or values.dtype != dtype:
            raise ValueError(f"features are {values.dtype} of shape {values.shape}")
        for name, sha256 in {"features.npy": sealed["sha256"], **sealed.get("beside", {})}.items():
            if sha256 != checksum(path / name):
                raise ValueError(f"the checksum of {name} is wrong")
    except (OSError, ValueError, KeyError, TypeError) as error:
        log.warning("the feature store %s is damaged (%s); rebuilding it", path, error)
        return False
    return True


def _fill(
    folder: Path,
    manifest: Manifest,
    backbone: Pass,
    dtype: StoreType,
    device: torch.device,
    workers: int,
) -> str:
    """Run every picture through the backbone once, decoding ahead in worker processes.

    Returns:
        The SHA-256 of the features' file.
    """
    files = [manifest.root / picture.path for picture in manifest.used]
    with FeatureWriter(folder, len(files), dtype) as writer:
        if writer.rows:
            log.warning("going on with a pass that was cut off after %d pictures", writer.rows)
        rest = PictureFiles(files[writer.rows :])
        loader = DataLoader(rest, batch_size=BATCH, num_workers=workers)
        with progress(
            total=len(files), initial=writer.rows, description="backbone pass", unit="picture"
        ) as bar:
            for pixels in decoded(loader, manifest.root):
                writer.append(backbone(normalise(pixels.to(device))).cpu().numpy())
                bar.update(len(pixels))
        return writer.finish()


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


def seal(
    folder: Path,
    manifest: Manifest,
    key: dict[str, str],
    sha256: str,
    beside: dict[str, str] | None = None,
) -> None:
    """Write down what a store is, the SHA-256 of its features and of the files beside them."""
    (folder / "manifest.csv").write_text(manifest.to_csv(), encoding="utf-8")
    sealed = {
        "key": key,
        "pictures": len(manifest.used),
        "sha256": sha256,
        "beside": beside or {},
    }
    (folder / "store.json").write_text(json.dumps(sealed, indent=2) + "\n", encoding="utf-8")


def split_rows(path: Path, manifest: Manifest, device: torch.device) -> dict[Split, Features]:
    """Return the rows of each split of a whole store."""
    splits: dict[Split, Features] = {}
    start = 0
    for split in SPLITS:
        pictures = [p for p in manifest.used if p.split == split]
        splits[split] = Features(
            FeatureRows(path / "features.npy", start, len(pictures)),
            torch.tensor([float(p.label) for p in pictures]),
            [p.path for p in pictures],
            device,
        )
        start += len(pictures)
    return splits
