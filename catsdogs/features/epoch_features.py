"""Which features an epoch sees: always the same ones, or those of its own random views."""

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
    open_feature_store,
    row_files,
    store_key,
)
from catsdogs.features.shard_cache import store_path
from catsdogs.io.formatting import readable
from catsdogs.settings import DataSettings, Precision, Settings


class EpochFeatures(Protocol):
    """The features of every epoch of a run, computed when they are first asked for."""

    @property
    def key(self) -> dict[str, str]:
        """What decides their numbers; equal keys mean equal features."""

    @property
    def forecast(self) -> str:
        """How many passes of the backbone the run needs, and what they leave on disk."""

    @property
    def images_to_store(self) -> int:
        """The pictures whose features the disk has yet to take."""

    @property
    def pixels_to_store(self) -> int:
        """The pictures whose decoded pixels the disk has yet to take."""

    @property
    def facts(self) -> dict[str, Any]:
        """What the record says of them: `path`, what was `computed`, and the `key`."""

    def __call__(self, epoch: int) -> dict[Split, Features]:
        """Return the splits that an epoch trains on and is judged on."""

    @property
    def statistics_bytes(self) -> int:
        """What `statistics` takes in a checkpoint, at most."""

    def statistics(self, epoch: int) -> StateDict:
        """Return BatchNorm's statistics in the judging of an epoch, empty if the weights' own."""

    def recall(self, epoch: int, statistics: StateDict) -> None:
        """Take back what `statistics` returned for an epoch, from a checkpoint."""

    def stream(self) -> bool:
        """Keep one epoch at a time instead of all, if that is of use; tell whether it is."""


class FrozenFeatures:
    """One store for every epoch: the pictures as they are, and statistics that stand still."""

    statistics_bytes = 0
    pixels_to_store = 0  # decoded pictures go through the backbone and are not kept

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
            UserError: If the cache cannot be written, or a picture changed since the manifest.
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
        """Those of the files of rows that are this process's own and not there yet."""
        files = row_files(store_path("features", self.key), self._manifest, self._data.store_dtype)
        return sum(len(files.rows_of(n)) for n in files.absent() if self._process_group.owns(n))

    @property
    def forecast(self) -> str:
        """Say whether the one pass is needed."""
        images = self.images_to_store
        if not images:
            return "none, the features are stored"
        size = readable(images * FEATURES_PER_IMAGE * np.dtype(self._data.store_dtype).itemsize)
        return f"1, over {images} pictures; {size} on disk"

    @property
    def facts(self) -> dict[str, Any]:
        """What the record says of them."""
        return {"path": str(self._store.path), "computed": self._store.built, "key": self.key}

    def statistics(self, epoch: int) -> StateDict:
        """Return nothing: they stay those of the weights."""
        return {}

    def recall(self, epoch: int, statistics: StateDict) -> None:
        """Take nothing: there is nothing to recall."""

    def stream(self) -> bool:
        """Not of use: there is one epoch only."""
        return False


def choose_features(
    settings: Settings,
    manifest: Manifest,
    weights: BackboneWeights,
    device: torch.device,
    process_group: ProcessGroup = ALONE,
) -> EpochFeatures:
    """Return the features that `protocol` names; nothing is computed yet."""
    data = settings.data
    if settings.protocol == "frozen":
        return FrozenFeatures(manifest, weights, data, device, settings.precision, process_group)
    view_pass = ViewPass(
        manifest,
        weights,
        settings.seed,
        settings.batch_size,
        data.store_dtype,
        device,
        count_decoders(data.workers, beside=None),
        precision=settings.precision,
    )
    return ViewFeatures(view_pass, settings.epochs, process_group)
