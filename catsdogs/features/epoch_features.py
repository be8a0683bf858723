"""Features of each epoch: the same in all epochs, or those of the epoch's own random views."""

import functools
from typing import Any, Protocol

import numpy as np
import torch

from catsdogs.compute.device import count_decoders
from catsdogs.compute.distributed import ALONE, ProcessGroup
from catsdogs.data.manifest import Manifest, Split
from catsdogs.features.backbone import BackboneWeights, StateDict
from catsdogs.features.drifting_features import ViewFeatures
from catsdogs.features.drifting_pass import ViewPass
from catsdogs.features.feature_store import (
    FEATURES_PER_IMAGE,
    Features,
    FeatureStore,
    feature_shards,
    open_feature_store,
    store_key,
)
from catsdogs.features.shard_cache import store_path
from catsdogs.io.formatting import size
from catsdogs.settings import DataSettings, Precision, Settings


class EpochFeatures(Protocol):
    """The features of every epoch of a run, computed on first access."""

    @property
    def key(self) -> dict[str, str]:
        """Everything that determines the values; equal keys mean equal features."""

    @property
    def forecast(self) -> str:
        """The number of backbone passes that the run needs, and the space they take on disk."""

    @property
    def images_to_store(self) -> int:
        """Number of images whose features have yet to be written to disk."""

    @property
    def pixels_to_store(self) -> int:
        """Number of images whose decoded pixels have yet to be written to disk."""

    @property
    def facts(self) -> dict[str, Any]:
        """The facts that a record keeps: `path`, what was `computed`, and the `key`."""

    def __call__(self, epoch: int) -> dict[Split, Features]:
        """Return the splits that an epoch trains on and is evaluated on."""

    @property
    def statistics_bytes(self) -> int:
        """Upper bound in bytes of `statistics` in a checkpoint."""

    def statistics(self, epoch: int) -> StateDict:
        """Return BatchNorm's statistics in the evaluation of an epoch; empty: the weights' own."""

    def recall(self, epoch: int, statistics: StateDict) -> None:
        """Restore what `statistics` returned for an epoch, from a checkpoint."""

    def stream(self) -> bool:
        """Keep one epoch on disk at a time from now on; return whether that saves space."""


class FrozenFeatures:
    """One store for all epochs: the images without augmentation, and fixed BatchNorm statistics."""

    statistics_bytes = 0
    pixels_to_store = 0  # decoded images are not stored

    def __init__(
        self,
        manifest: Manifest,
        weights: BackboneWeights,
        data: DataSettings,
        device: torch.device,
        precision: Precision = "float32",
        process_group: ProcessGroup = ALONE,
    ) -> None:
        self.key = store_key(manifest, weights, data.store_dtype, device, precision)
        self._manifest = manifest
        self._weights = weights
        self._data = data
        self._device = device
        self._precision = precision
        self._process_group = process_group

    def __call__(self, epoch: int) -> dict[Split, Features]:
        """Return the same splits in every epoch.

        Raises:
            UserError: If the cache cannot be written, or an image changed since the manifest was
                made.
        """
        return self._store.splits

    @functools.cached_property
    def _store(self) -> FeatureStore:
        data = self._data
        return open_feature_store(
            self._manifest,
            self._weights,
            dtype=data.store_dtype,
            precision=self._precision,
            device=self._device,
            workers=count_decoders(data.workers, beside=self._device),
            process_group=self._process_group,
        )

    @property
    def images_to_store(self) -> int:
        """Number of images in this process's shards that are not stored yet."""
        path = store_path("features", self.key)
        shards = feature_shards(path, self._manifest, self._data.store_dtype)
        return sum(len(shards.rows_of(n)) for n in shards.absent() if self._process_group.owns(n))

    @property
    def forecast(self) -> str:
        """The number of backbone passes that the run needs, 0 or 1, and their space on disk."""
        images = self.images_to_store
        if not images:
            return "none, the features are stored"
        itemsize = np.dtype(self._data.store_dtype).itemsize
        return f"1, over {images} images; {size(images * FEATURES_PER_IMAGE * itemsize)} on disk"

    @property
    def facts(self) -> dict[str, Any]:
        """The facts that a record keeps: `path`, whether it was `computed`, and the `key`."""
        return {"path": str(self._store.path), "computed": self._store.built, "key": self.key}

    def statistics(self, epoch: int) -> StateDict:
        """Return an empty dict: the statistics stay those of the weights."""
        return {}

    def recall(self, epoch: int, statistics: StateDict) -> None:
        """Do nothing: there is nothing to restore."""

    def stream(self) -> bool:
        """Return False: all epochs share one store."""
        return False


def choose_features(
    settings: Settings,
    manifest: Manifest,
    weights: BackboneWeights,
    device: torch.device,
    process_group: ProcessGroup = ALONE,
) -> EpochFeatures:
    """Return the features for `settings.protocol`, without computing any."""
    data = settings.data
    if settings.protocol == "frozen":
        return FrozenFeatures(
            manifest, weights, data, device, settings.model.precision, process_group
        )
    view_pass = ViewPass(
        manifest,
        weights,
        settings.seed,
        settings.batch_size,
        data.store_dtype,
        device,
        count_decoders(data.workers, beside=None),
        precision=settings.model.precision,
    )
    return ViewFeatures(view_pass, settings.epochs, process_group)
