"""Classifier of images, made from a checkpoint; `catsdogs.load` returns one."""

import math
import os
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor

from catsdogs.compute.device import choose_device
from catsdogs.data.decoding import decoded_batches
from catsdogs.data.images import normalise
from catsdogs.data.manifest import OK
from catsdogs.features.folded_backbone import FoldedBackbone
from catsdogs.features.shard_cache import BATCH
from catsdogs.inference.image_paths import Source, list_images
from catsdogs.inference.predictions import Prediction
from catsdogs.inference.trained_model import TrainedModel, read_trained_model
from catsdogs.io.formatting import percent
from catsdogs.io.progress import progress

# An image's place in its batch changes its logit by rounding, far less than this. A logit that is
# closer to 0 is computed again with its image alone, so that no label depends on the batch.
UNDECIDED = 1e-4


def load(checkpoint: Source, *, weights: str | None = None, device: str = "auto") -> "Classifier":
    """Make the classifier of a checkpoint; see `catsdogs.load`."""
    model = read_trained_model(Path(checkpoint).expanduser(), weights)
    return Classifier(model, choose_device(device))


class Classifier:
    """A trained head on its backbone, on one device; `load` makes one.

    Attributes:
        facts: Where head and backbone come from; plain values only.
        device: Where both compute.
    """

    def __init__(self, model: TrainedModel, device: torch.device) -> None:
        self.facts = model.facts
        self.device = device
        precision = model.facts["precision"]
        if precision == "float16" and device.type != "cuda":
            precision = "float32"  # float16 features are rounded from these
        self._backbone = FoldedBackbone(model.weights, device, precision)
        self._head = model.head.to(device)

    def __str__(self) -> str:
        facts = self.facts
        return (
            f"the {facts['head']} head of {facts['checkpoint']}, epoch {facts['epoch']}, "
            f"validation accuracy {percent(facts['val_accuracy'])}, on ResNet-18 with "
            f"{facts['weights']['description']}"
        )

    def predict(self, pictures: Source | Iterable[Source]) -> list[Prediction]:
        """Return one `Prediction` for each image file, in order.

        The prediction for an unreadable file has the reason in `status`.

        Args:
            pictures: A file, a folder (searched recursively), a pattern such as `photos/*.jpg`, or
                several of these.

        Raises:
            UserError: If one of `pictures` leads to no file.
        """
        sources = [pictures] if isinstance(pictures, str | os.PathLike) else pictures
        return self.predict_files(list_images(sources))

    def predict_files(self, files: list[Path]) -> list[Prediction]:
        """Return one `Prediction` for each of these files, in order."""
        outcomes: list[tuple[float | None, str]] = []
        with progress(total=len(files), description="predicting", unit="image") as bar:
            for batch in decoded_batches(files, BATCH, self._decoding_threads()):
                outcomes += self._outcomes(batch)
                bar.update(len(batch))
        return [Prediction(file, *outcome) for file, outcome in zip(files, outcomes, strict=True)]

    @torch.inference_mode()
    def logits(self, pixels: Tensor) -> Tensor:
        """Return the logits (n,), on the CPU, of uint8 pixels (n, 3, 256, 256) from `decode`.

        An image's logit depends on the rest of its batch only through rounding, and its sign never
        does.
        """
        logits = torch.cat([self._forward(batch) for batch in pixels.split(BATCH)])
        for row in (logits.abs() < UNDECIDED).nonzero().flatten().tolist():
            logits[row] = self._forward(pixels[row : row + 1])[0]
        return logits

    def _forward(self, pixels: Tensor) -> Tensor:
        # A batch of another size is summed in another order. Every batch is padded to the size
        # that the head was trained and evaluated with.
        full = pixels.new_zeros((BATCH, *pixels.shape[1:]))
        full[: len(pixels)] = pixels
        features = self._backbone(normalise(full.to(self.device)))
        logits: Tensor = self._head(features)[: len(pixels)].cpu()
        return logits

    def _outcomes(self, batch: list[Tensor | str]) -> list[tuple[float | None, str]]:
        """Return logit and status for the pixels, or the reason for their absence, of each file."""
        pixels = [one for one in batch if isinstance(one, Tensor)]
        logits = iter(self.logits(torch.stack(pixels)).tolist() if pixels else [])
        return [(None, one) if isinstance(one, str) else _outcome(next(logits)) for one in batch]

    def _decoding_threads(self) -> int:
        """Return the number of decoding threads: few on a CPU, whose cores the backbone uses."""
        cores = os.cpu_count() or 1
        return 1 + cores // 8 if self.device.type == "cpu" else cores


def _outcome(logit: float) -> tuple[float | None, str]:
    return (logit, OK) if math.isfinite(logit) else (None, f"the logit is {logit}")
