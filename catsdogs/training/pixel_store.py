"""The decoded pictures, kept on disk: every view of every epoch and seed is drawn from them."""

import dataclasses
import functools

import numpy as np
import PIL

from catsdogs.data.images import PIPELINE, SIZE
from catsdogs.data.manifest import Manifest
from catsdogs.features.shard_cache import complete, store_path
from catsdogs.features.shards import SEGMENT, RowFiles


@dataclasses.dataclass(frozen=True)
class Pixels:
    """The pixels of a manifest's `used` pictures, decoded when they are first asked for.

    Attributes:
        manifest: The pictures; rows are in its order.
        workers: Processes that decode.
    """

    manifest: Manifest
    workers: int

    @property
    def key(self) -> dict[str, str]:
        """All that decides the numbers; equal keys mean equal pixels."""
        return {
            "manifest": self.manifest.sha256,
            "pixels": PIPELINE,
            "rows": str(SEGMENT),
            "pillow": PIL.__version__,
        }

    @property
    def missing(self) -> int:
        """The number of pictures whose pixels are not there."""
        files = self._files
        return sum(len(files.rows_of(segment)) for segment in files.absent())

    @functools.cached_property
    def rows(self) -> RowFiles:
        """The pixels, uint8 of shape (3, 256, 256), after all were found sound or decoded.

        Raises:
            UserError: If the cache cannot be written, or a picture changed since the manifest.
        """
        files = self._files
        complete(
            files,
            files.segments,
            self.manifest,
            self.key,
            lambda: np.asarray,
            workers=self.workers,
            description="decoding",
            lock=files.folder.with_suffix(".lock"),
        )
        return files

    @property
    def _files(self) -> RowFiles:
        path = store_path("pixels", self.key)
        return RowFiles(path, len(self.manifest.used), (3, SIZE, SIZE), "uint8")
