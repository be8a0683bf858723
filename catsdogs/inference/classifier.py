"""A trained classifier that answers pictures: what `catsdogs.load` returns."""

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
from catsdogs.inference.image_paths import Source, list_pictures
from catsdogs.inference.predictions import Prediction
from catsdogs.inference.trained import Trained, read_trained
from catsdogs.io.formatting import percent
from catsdogs.io.progress import progress

# Where a picture stands in its batch can move a logit by a rounding, far less than this: one so
# near 0 is computed again with its picture alone, so that its label depends on no company.
UNDECIDED = 1e-4


class Classifier:
    """A head on its backbone, on one device; build it with `load`."""

    def __init__(self, trained: Trained, device: torch.device) -> None:
        self.facts = trained.facts
        self.device = device
        precision = trained.facts["precision"]
        if precision == "float16" and device.type != "cuda":
            precision = "float32"  # what the features were rounded from
        self._backbone = FoldedBackbone(trained.weights, device, precision)
        self._head = trained.head.to(device)

    def __str__(self) -> str:
        facts = self.facts
        return (
            f"the {facts['head']} head of {facts['checkpoint']}, epoch {facts['epoch']}, "
            f"validation accuracy {percent(facts['val_accuracy'])}, on ResNet-18 with "
            f"{facts['weights']['description']}"
        )

    def predict(self, pictures: Source | Iterable[Source]) -> list[Prediction]:
        """Answer pictures, one `Prediction` for each file, in order; unreadable ones say why.

        Args:
            pictures: A file, a folder (searched in depth), a pattern such as `photos/*.jpg`, or
                several of these.

        Raises:
            UserError: If one of `pictures` leads to no file.
        """
        named = [pictures] if isinstance(pictures, str | os.PathLike) else pictures
        return self.predict_files(list_pictures(named))

    def predict_files(self, files: list[Path]) -> list[Prediction]:
        """Answer exactly these files, in order."""
        answers: list[tuple[float | None, str]] = []
        with progress(total=len(files), description="predicting", unit="picture") as bar:
            for batch in decoded_batches(files, BATCH, self._decoding_threads()):
                answers += self._answers(batch)
                bar.update(len(batch))
        return [Prediction(file, *answer) for file, answer in zip(files, answers, strict=True)]

    @torch.inference_mode()
    def logits(self, pixels: Tensor) -> Tensor:
        """Map uint8 pixels (n, 3, 256, 256), as `decode` returns them, to logits (n,) on the CPU.

        A picture's logit is the same in every company to rounding, and its sign exactly.
        """
        logits = torch.cat([self._pass(batch) for batch in pixels.split(BATCH)])
        for row in (logits.abs() < UNDECIDED).nonzero().flatten().tolist():
            logits[row] = self._pass(pixels[row : row + 1])[0]
        return logits

    def _pass(self, pixels: Tensor) -> Tensor:
        # A batch of another size is summed in another order, so every batch has the size of those
        # that the head was trained and judged on.
        full = pixels.new_zeros((BATCH, *pixels.shape[1:]))
        full[: len(pixels)] = pixels
        features = self._backbone(normalise(full.to(self.device)))
        logits: Tensor = self._head(features)[: len(pixels)].cpu()
        return logits

    def _answers(self, batch: list[Tensor | str]) -> list[tuple[float | None, str]]:
        pixels = [one for one in batch if isinstance(one, Tensor)]
        logits = iter(self.logits(torch.stack(pixels)).tolist() if pixels else [])
        return [(None, one) if isinstance(one, str) else _answer(next(logits)) for one in batch]

    def _decoding_threads(self) -> int:
        """Return how many decode: on a CPU few, whose cores the backbone needs more."""
        cores = os.cpu_count() or 1
        return 1 + cores // 8 if self.device.type == "cpu" else cores


def load(checkpoint: Source, *, weights: str | None = None, device: str = "auto") -> Classifier:
    """Make the classifier of a checkpoint; see `catsdogs.load`."""
    trained = read_trained(Path(checkpoint).expanduser(), weights)
    return Classifier(trained, choose_device(device))


def _answer(logit: float) -> tuple[float | None, str]:
    if math.isfinite(logit):
        return logit, OK
    return None, f"the classifier answers {logit}"
