"""Backbone pass of one epoch as in the monograph's notebooks: random views and drifting BatchNorm.

In train mode BatchNorm normalizes each batch by its own statistics, while its running statistics
drift from batch to batch. So a pass sends the training images through the backbone in the batches
of the epoch, and then validation and test in eval mode with the resulting statistics. The pass does
not depend on the head or its optimizer, so all contenders of a seed share it.
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
from catsdogs.features.feature_store import StoreType, feature_shards, store_key
from catsdogs.features.shard_cache import BATCH, Pixels, write_store_metadata
from catsdogs.features.shards import ScatteredWriter
from catsdogs.io.files import checksum
from catsdogs.io.progress import progress
from catsdogs.settings import Precision

STATISTICS = "statistics.safetensors"
# Part of a store's key: identifies the arithmetic.
ARITHMETIC = "resnet18-layer4-drifting"


@dataclasses.dataclass(frozen=True)
class ViewPass:
    """Everything that determines the features of a run's epochs, and the pass that computes one.

    Attributes:
        manifest: The images; rows are in the order of its `used`.
        weights: Of the backbone, with the BatchNorm statistics at the start of the first epoch.
        seed: Of the run; determines the views and the order of the images.
        batch_size: Of the training steps.
        dtype: Of the stored features.
        device: Device of the backbone and of the batches.
        workers: Number of processes that decode images, once for all epochs; 0 decodes in this
            process.
        make_backbone: Builds the backbone from a state dict.
        precision: Of the backbone's arithmetic; BatchNorm's statistics stay float32.
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
        """The decoded images, of which the views are made."""
        return Pixels(self.manifest, self.workers)

    @property
    def key(self) -> dict[str, str]:
        """Everything that determines an epoch's values, except the epoch itself."""
        return store_key(
            self.manifest, self.weights, self.dtype, self.device, self.precision, ARITHMETIC
        ) | {
            "views": VIEWS,
            "seed": str(self.seed),
            "batch_size": str(self.batch_size),
            "numpy": np.__version__,  # its generator draws the views and the order
        }

    def fill(self, folder: Path, epoch: int, before: StateDict) -> None:
        """Compute an epoch's features and its final BatchNorm statistics into an empty folder.

        Args:
            folder: Receives the rows in the manifest's order, whatever the order of the batches.
            epoch: From 1.
            before: BatchNorm's statistics at the end of the previous epoch; empty for the first.

        Raises:
            UserError: If the cache cannot be written, or an image changed since the manifest was
                made.
        """
        images = self.manifest.used
        pixels = self.pixels.rows
        count = sum(image.split == "train" for image in images)
        train = epoch_permutation(count, self.seed, epoch).split(self.batch_size)
        evaluated = torch.arange(count, len(images)).split(BATCH)
        # In torch's default layout: channels last takes three quarters of the time on a CPU, but
        # BatchNorm's sums then have ten times the error.
        backbone = self.make_backbone(self.weights.state | before).to(self.device)
        autocast = torch.autocast(
            self.device.type,
            dtype=getattr(torch, self.precision),
            enabled=self.precision != "float32",
        )
        writer = ScatteredWriter(feature_shards(folder, self.manifest, self.dtype))
        with (
            progress(total=len(images), description=f"pass {epoch}", unit="image") as bar,
            torch.inference_mode(),
        ):

            def send(batches: Iterable[Tensor]) -> None:
                for rows in batches:
                    views = [draw_view(self.seed, epoch, images[row].sha256) for row in rows]
                    upright = torch.from_numpy(pixels[rows.numpy()])
                    seen = normalise(apply_views(upright.to(self.device), views))
                    with autocast:
                        features = backbone(seen)
                    writer.write(rows.numpy(), features.float().cpu().numpy())
                    bar.update(len(rows))

            with backbone.drifting():
                send(train)
            send(evaluated)
        writer.finish()
        (folder / STATISTICS).write_bytes(safetensors.torch.save(backbone.statistics()))
        key = self.key | {"epoch": str(epoch)}
        write_store_metadata(
            folder, self.manifest, key, statistics_sha256=checksum(folder / STATISTICS)
        )
