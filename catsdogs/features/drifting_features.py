"""The features of each epoch under `protocol=monograph`: found, or computed when first needed.

A store holds one epoch: the files of a feature store, and BatchNorm's statistics at its end, from
which the next epoch starts. Without room for all epochs there is a stream: one at a time, and none
is kept.
"""

import json
import logging
import shutil
import tempfile
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch

from catsdogs.compute.distributed import ALONE, ProcessGroup
from catsdogs.data.manifest import Split
from catsdogs.features.backbone import StateDict
from catsdogs.features.drifting_pass import STATISTICS, ViewPass
from catsdogs.features.feature_store import FEATURES_PER_IMAGE, Features, row_files, split_rows
from catsdogs.features.shard_cache import PIXELS_PER_IMAGE, exclusive_lock, store_path
from catsdogs.io.files import (
    atomic_directory,
    cache_directory,
    checksum,
    is_gone,
    make_directory,
    quarantine,
    this_process,
)
from catsdogs.io.formatting import readable
from catsdogs.io.torch_file import FILE_BYTES_PER_TENSOR

log = logging.getLogger(__name__)
STREAM = "stream-"
MOVING = ("running_mean", "running_var", "num_batches_tracked")  # what drifts in a BatchNorm


class ViewFeatures:
    """The features that each epoch of a run trains on and is judged on; a pass when first needed.

    Epoch 0, the untrained head, is judged on the features of epoch 1: no pass is made for it alone.

    Attributes:
        computed: The epochs whose pass this run has made, in order.
    """

    def __init__(
        self, view_pass: ViewPass, epochs: int, process_group: ProcessGroup = ALONE
    ) -> None:
        self.computed: list[int] = []
        self.key = view_pass.key
        self._pass = view_pass
        self._process_group = process_group
        self._epochs = range(1, max(1, epochs) + 1)
        self._statistics: dict[int, StateDict] = {0: {}}
        self._streamed_in: Path | None = None
        self._open: tuple[int, dict[Split, Features]] | None = None

    def __call__(self, epoch: int) -> dict[Split, Features]:
        """Return the splits of an epoch, after the pass that they need if they are not stored.

        Raises:
            UserError: If the cache cannot be written, or a picture changed since the manifest.
        """
        epoch = max(1, epoch)
        if self._open is None or self._open[0] != epoch:
            files = row_files(self._ready(epoch), self._pass.manifest, self._pass.dtype)
            self._open = (
                epoch,
                split_rows(files, self._pass.manifest, self._pass.device, self._process_group),
            )
        return self._open[1]

    @property
    def statistics_bytes(self) -> int:
        """What the statistics of an epoch take in a checkpoint, at most."""
        state = self._pass.weights.state
        moving = [state[name] for name in state if name.rpartition(".")[2] in MOVING]
        return sum(tensor.nbytes + FILE_BYTES_PER_TENSOR for tensor in moving)

    def statistics(self, epoch: int) -> StateDict:
        """Return the statistics with which validation and test of an epoch pass, on the CPU."""
        return self._statistics_after(max(1, epoch))

    def recall(self, epoch: int, statistics: StateDict) -> None:
        """Take back the statistics of an epoch, so that a stream need not begin at the first."""
        self._statistics.setdefault(max(1, epoch), statistics)

    def stream(self) -> bool:
        """Keep no store, and one epoch on disk at a time; tell that this can be done."""
        parent = make_directory(cache_directory() / "features", "CATSDOGS_CACHE")
        for left in parent.glob(f"{STREAM}*"):
            if is_gone(left.name.removeprefix(STREAM).rpartition("-")[0]):  # it was killed
                shutil.rmtree(left, ignore_errors=True)
        own = f"{STREAM}{this_process()}-"
        self._streamed_in = Path(tempfile.mkdtemp(prefix=own, dir=parent))
        # When the run is over, however it ends.
        weakref.finalize(self, shutil.rmtree, self._streamed_in, ignore_errors=True)
        return True

    @property
    def missing(self) -> list[int]:
        """The epochs that have no store."""
        return [epoch for epoch in self._epochs if not self._path(epoch).exists()]

    @property
    def images_to_store(self) -> int:
        """The pictures whose features the disk has yet to take; a picture counts in each epoch."""
        epochs = len(self.missing) if self._streamed_in is None else 1
        return epochs * len(self._pass.manifest.used)

    @property
    def pixels_to_store(self) -> int:
        """The pictures whose pixels the disk has yet to take: once, if a pass is needed at all."""
        return self._pass.pixels.missing if self.missing else 0

    @property
    def facts(self) -> dict[str, Any]:
        """What the record says of them."""
        return {
            "path": str(cache_directory() / "features"),
            "streamed": self._streamed_in is not None,
            "computed": self.computed,
            "key": self.key,
        }

    @property
    def forecast(self) -> str:
        """Say how many passes the run needs, and what they leave on disk."""
        images, missing = len(self._pass.manifest.used), len(self.missing)
        itemsize = np.dtype(self._pass.dtype).itemsize
        size = readable(missing * images * FEATURES_PER_IMAGE * itemsize)
        epochs = f"{missing} for {len(self._epochs)} epochs, each over {images} random views"
        decoded = readable(self.pixels_to_store * PIXELS_PER_IMAGE)
        once = f", and {decoded} once for the decoded pictures" if self.pixels_to_store else ""
        if self._streamed_in is None:
            return f"{epochs}; {size} on disk{once}"
        smaller = "" if itemsize == 2 else "; data.store_dtype=float16 takes half"
        return (
            f"{epochs}, and one more if the best epoch is not the last. Their {size} do not fit on "
            f"the disk, so this run computes them for itself and keeps none{once}{smaller}"
        )

    def _path(self, epoch: int) -> Path:
        if self._streamed_in is not None:
            return self._streamed_in / f"epoch{epoch}"
        return store_path("features", self.key | {"epoch": str(epoch)})

    def _ready(self, epoch: int) -> Path:
        """Return the whole store of an epoch, computed now if there is none."""
        path = self._path(epoch)
        make_directory(path.parent, "CATSDOGS_CACHE")
        if self._streamed_in is not None:
            self._forget()
        with exclusive_lock(path.with_suffix(".lock")):
            if not self._is_whole(path):
                before = self._statistics_after(epoch - 1)
                # A network that is built draws; what an optimizer draws must not depend on it.
                with atomic_directory(path) as folder, torch.random.fork_rng(devices=[]):
                    self._pass.fill(folder, epoch, before)
                self.computed.append(epoch)
            self._statistics[epoch] = safetensors.torch.load_file(path / STATISTICS)
        return path

    def _is_whole(self, path: Path) -> bool:
        """Tell whether a store stands at `path` as it was filled; a damaged one is set aside."""
        if not path.exists():
            return False
        files = row_files(path, self._pass.manifest, self._pass.dtype)
        try:
            facts = json.loads((path / "store.json").read_text(encoding="utf-8"))
            if facts["statistics_sha256"] != checksum(path / STATISTICS):
                raise ValueError(f"the checksum of {STATISTICS} is wrong")
            if files.missing(files.segments):
                raise ValueError("a file of rows is missing or damaged")
        except (OSError, ValueError, KeyError, TypeError) as error:
            aside = quarantine(path)
            log.warning("%s was damaged (%s), so its pass is made again", aside, error)
            return False
        return True

    def _statistics_after(self, epoch: int) -> StateDict:
        if epoch not in self._statistics:
            self._ready(epoch)
        return self._statistics[epoch]

    def _forget(self) -> None:
        """Remove the epoch in use from a stream; its statistics stay in memory."""
        if self._open is not None:
            shutil.rmtree(self._path(self._open[0]))
            self._open = None
