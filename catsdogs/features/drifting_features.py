"""Features of each epoch under `protocol=monograph`, computed on first access and stored.

A store holds one epoch: the shards of its features, and BatchNorm's statistics at its end, from
which the next epoch starts. Where the disk is too small for all epochs, features are streamed: one
epoch is on disk at a time, and none is kept.
"""

import contextlib
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
from catsdogs.features.feature_store import FEATURES_PER_IMAGE, Features, feature_shards, split_rows
from catsdogs.features.shard_cache import COMPUTING, PIXELS_PER_IMAGE, store_path
from catsdogs.io.cache import STREAM, is_left_over
from catsdogs.io.files import (
    atomic_directory,
    cache_directory,
    checksum,
    deletions_named,
    make_directory,
    quarantine,
    this_process,
)
from catsdogs.io.formatting import size
from catsdogs.io.locks import file_lock
from catsdogs.io.torch_file import FILE_BYTES_PER_TENSOR

DRIFTING = ("running_mean", "running_var", "num_batches_tracked")  # a BatchNorm's buffers
log = logging.getLogger(__name__)


class ViewFeatures:
    """The features that each epoch of a run trains on and is evaluated on.

    An epoch that is not stored is computed on first access. Epoch 0, the untrained head, is
    evaluated on the features of epoch 1, so that it needs no pass of its own.

    Args:
        view_pass: Computes one epoch.
        epochs: Number of epochs of the run.
        process_group: Each process holds its own rows.

    Attributes:
        computed: The epochs that this run has computed, in order.
        key: Everything that determines the values, except the epoch.
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
        self._stream_folder: Path | None = None
        self._open: tuple[int, dict[Split, Features]] | None = None

    def __call__(self, epoch: int) -> dict[Split, Features]:
        """Return the splits of an epoch, computed if they are not stored.

        Raises:
            UserError: If the cache cannot be written, or an image changed since the manifest was
                made.
        """
        epoch = max(1, epoch)
        if self._open is None or self._open[0] != epoch:
            shards = feature_shards(self._complete(epoch), self._pass.manifest, self._pass.dtype)
            self._open = (
                epoch,
                split_rows(shards, self._pass.manifest, self._pass.device, self._process_group),
            )
        return self._open[1]

    @property
    def statistics_bytes(self) -> int:
        """Upper bound in bytes of the statistics of an epoch in a checkpoint."""
        state = self._pass.weights.state
        drifting = [state[name] for name in state if name.rpartition(".")[2] in DRIFTING]
        return sum(tensor.nbytes + FILE_BYTES_PER_TENSOR for tensor in drifting)

    def statistics(self, epoch: int) -> StateDict:
        """Return BatchNorm's statistics in the evaluation of an epoch, on the CPU."""
        return self._statistics_after(max(1, epoch))

    def recall(self, epoch: int, statistics: StateDict) -> None:
        """Restore the statistics of an epoch, so that a stream need not restart at the first."""
        self._statistics.setdefault(max(1, epoch), statistics)

    def stream(self) -> bool:
        """Keep one epoch on disk at a time from now on; return True, because that saves space."""
        parent = make_directory(cache_directory() / "features", "CATSDOGS_CACHE")
        for left in parent.glob(f"{STREAM}*"):
            if is_left_over(left):  # its process was killed
                shutil.rmtree(left, ignore_errors=True)
        own = f"{STREAM}{this_process()}-"
        self._stream_folder = Path(tempfile.mkdtemp(prefix=own, dir=parent))
        # Removed when the run ends, whether or not it succeeds.
        weakref.finalize(self, shutil.rmtree, self._stream_folder, ignore_errors=True)
        return True

    @property
    def missing(self) -> list[int]:
        """The epochs without a store."""
        return [epoch for epoch in self._epochs if not self._path(epoch).exists()]

    @property
    def images_to_store(self) -> int:
        """Number of images whose features have yet to be written, summed over the epochs."""
        epochs = len(self.missing) if self._stream_folder is None else 1
        return epochs * len(self._pass.manifest.used)

    @property
    def pixels_to_store(self) -> int:
        """Number of images whose pixels have yet to be written, once for all epochs."""
        return self._pass.pixels.missing if self.missing else 0

    @property
    def facts(self) -> dict[str, Any]:
        """The facts that a record keeps: `path`, `streamed`, `computed` and the `key`."""
        return {
            "path": str(cache_directory() / "features"),
            "streamed": self._stream_folder is not None,
            "computed": self.computed,
            "key": self.key,
        }

    @property
    def forecast(self) -> str:
        """The number of passes that the run needs, and the space that they take on disk."""
        images, missing = len(self._pass.manifest.used), len(self.missing)
        itemsize = np.dtype(self._pass.dtype).itemsize
        needed = size(missing * images * FEATURES_PER_IMAGE * itemsize)
        epochs = f"{missing} for {len(self._epochs)} epochs, each over {images} random views"
        decoded = size(self.pixels_to_store * PIXELS_PER_IMAGE)
        once = f", and {decoded} once for the decoded images" if self.pixels_to_store else ""
        if self._stream_folder is None:
            return f"{epochs}; {needed} on disk{once}"
        smaller = "" if itemsize == 2 else "; data.store_dtype=float16 halves the features"
        return (
            f"{epochs}, and one more if the best epoch is not the last. Their {needed} do not fit "
            f"on the disk, so this run deletes each epoch's after use{once}{smaller}"
        )

    def _path(self, epoch: int) -> Path:
        if self._stream_folder is not None:
            return self._stream_folder / f"epoch{epoch}"
        return store_path("features", self.key | {"epoch": str(epoch)})

    def _complete(self, epoch: int) -> Path:
        """Return the complete store of an epoch, computed now if it is absent or damaged."""
        path = self._path(epoch)
        if self._stream_folder is not None:
            self._close()
        with deletions_named():
            if not self._is_intact(path):  # a complete store may be read-only
                make_directory(path.parent, "CATSDOGS_CACHE")
                with file_lock(path.with_suffix(".lock"), waiting_for=COMPUTING):
                    self._compute(epoch, path)
            self._statistics[epoch] = safetensors.torch.load_file(path / STATISTICS)
        return path

    def _compute(self, epoch: int, path: Path) -> None:
        """Compute the store of an epoch, unless another process has done it meanwhile."""
        if self._is_intact(path):
            return
        before = self._statistics_after(epoch - 1)
        # Building a network draws random numbers; those of an optimizer must not depend on whether
        # a pass was needed.
        with atomic_directory(path) as folder, torch.random.fork_rng(devices=[]):
            self._pass.fill(folder, epoch, before)
        self.computed.append(epoch)

    def _is_intact(self, path: Path) -> bool:
        """Return whether `path` holds an undamaged store; quarantine a damaged one."""
        if not path.exists():
            return False
        shards = feature_shards(path, self._pass.manifest, self._pass.dtype)
        try:
            facts = json.loads((path / "store.json").read_text(encoding="utf-8"))
            if facts["statistics_sha256"] != checksum(path / STATISTICS):
                raise ValueError(f"the checksum of {STATISTICS} is wrong")
            if shards.missing(shards.numbers):
                raise ValueError("a shard is missing or damaged")
        except (OSError, ValueError, KeyError, TypeError) as error:
            with contextlib.suppress(FileNotFoundError):  # another process renamed it
                aside = quarantine(path)
                log.warning("%s was damaged (%s); computing it again", aside, error)
            return False
        return True

    def _statistics_after(self, epoch: int) -> StateDict:
        if epoch not in self._statistics:
            self._complete(epoch)
        return self._statistics[epoch]

    def _close(self) -> None:
        """Delete the open epoch of a stream; its statistics stay in memory."""
        if self._open is not None:
            shutil.rmtree(self._path(self._open[0]), ignore_errors=True)
            self._open = None
