"""The pass of one epoch as the notebooks ran it: random views, and BatchNorm that drifts.

In training BatchNorm normalises each batch by its own statistics, while its running ones drift from
batch to batch. So a pass sends the training pictures through the backbone in the batches of the
epoch, and then, in eval mode with the statistics that this left, validation and test. None of it
depends on the head or its optimizer: all contenders of a seed share it.
"""

import dataclasses
import functools
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
from torch import Tensor

from catsdogs.data.augmentation import VIEWS, apply_views, draw_view
from catsdogs.data.images import normalise
from catsdogs.data.manifest import Manifest
from catsdogs.data.order import epoch_permutation
from catsdogs.features.backbone import Backbone, BackboneWeights, StateDict
from catsdogs.features.feature_store import StoreType, row_files, store_key
from catsdogs.features.shard_cache import BATCH, Pixels, write_store_metadata
from catsdogs.features.shards import ScatteredWriter
from catsdogs.io.files import checksum
from catsdogs.io.progress import progress
from catsdogs.settings import Precision

STATISTICS = "statistics.safetensors"
# Names the arithmetic; a store is keyed by it.
ARITHMETIC = "resnet18-layer4-drifting"


@dataclasses.dataclass(frozen=True)
class ViewPass:
    """All that decides the features of every epoch of a run, and computes those of one.

    Attributes:
        manifest: The pictures; rows are its `used` pictures, in that order.
        weights: Of the backbone, with the statistics from which the first epoch starts.
        seed: Of the run: decides the views and the order of the pictures.
        batch_size: Of the training steps.
        dtype: How features are kept.
        device: Where the backbone runs and where batches go.
        workers: Processes that decode pictures, once for all epochs.
        make_backbone: Makes the backbone from a state dict.
        precision: In what features are computed; BatchNorm's statistics stay float32.
    """

    manifest: Manifest
    weights: BackboneWeights
    seed: int
    batch_size: int
    dtype: StoreType
    device: torch.device
    workers: int = 1
    make_backbone: Callable[[StateDict], Backbone] = Backbone
    precision: Precision = "float32"

    @functools.cached_property
    def pixels(self) -> Pixels:
        """What the views are drawn from."""
        return Pixels(self.manifest, self.workers)

    @property
    def key(self) -> dict[str, str]:
        """All that decides the numbers of an epoch, except which epoch it is."""
        return store_key(
            self.manifest, self.weights, self.dtype, self.device, self.precision, ARITHMETIC
        ) | {
            "views": VIEWS,
            "seed": str(self.seed),
            "batch_size": str(self.batch_size),
            "numpy": np.__version__,  # draws the views and the order
        }

    def fill(self, folder: Path, epoch: int, before: StateDict) -> None:
        """Compute an epoch into an empty folder, as a feature store and the statistics at its end.

        Args:
            folder: Rows are numbered by the manifest's order, whatever the order of the batches.
            epoch: From 1.
            before: BatchNorm's statistics at the end of the epoch before; empty for the first.

        Raises:
            UserError: If the cache cannot be written, or a picture changed since the manifest.
        """
        images = self.manifest.used
        pixels = self.pixels.rows
        count = sum(image.split == "train" for image in images)
        train = epoch_permutation(count, self.seed, epoch).split(self.batch_size)
        judged = torch.arange(count, len(images)).split(BATCH)
        # In torch's own layout: channels last takes three quarters of the time on a CPU, but there
        # BatchNorm sums with ten times the error.
        backbone = self.make_backbone(self.weights.state | before).to(self.device)
        shorter = torch.autocast(
            self.device.type,
            dtype=getattr(torch, self.precision),
            enabled=self.precision != "float32",
        )
        writer = ScatteredWriter(row_files(folder, self.manifest, self.dtype))
        with (
            progress(total=len(images), description=f"pass {epoch}", unit="picture") as bar,
            torch.inference_mode(),
        ):

            def send(batches: Iterable[Tensor]) -> None:
                for rows in batches:
                    views = [draw_view(self.seed, epoch, images[row].sha256) for row in rows]
                    whole = torch.from_numpy(pixels[rows.numpy()])
                    seen = normalise(apply_views(whole.to(self.device), views))
                    with shorter:
                        features = backbone(seen)
                    writer.write(rows.numpy(), features.float().cpu().numpy())
                    bar.update(len(rows))

            with backbone.drifting():
                send(train)
            send(judged)
        writer.finish()
        (folder / STATISTICS).write_bytes(safetensors.torch.save(backbone.statistics()))
        key = self.key | {"epoch": str(epoch)}
        write_store_metadata(
            folder, self.manifest, key, statistics_sha256=checksum(folder / STATISTICS)
        )
