"""A trained classifier that answers pictures: what `catsdogs.load` returns."""

import dataclasses
import math
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from catsdogs.compute.device import choose_device
from catsdogs.data.decoding import decoded_batches
from catsdogs.data.images import MEAN, PIPELINE, STD, normalise
from catsdogs.data.manifest import OK
from catsdogs.errors import UserError
from catsdogs.features.backbone import Backbone, BackboneWeights, find_weights
from catsdogs.features.folded_backbone import FoldedBackbone
from catsdogs.features.shard_cache import BATCH
from catsdogs.inference.image_paths import Source, list_images
from catsdogs.inference.predictions import Prediction
from catsdogs.io.formatting import percent
from catsdogs.io.progress import progress
from catsdogs.training.checkpoint import load_checkpoint
from catsdogs.training.heads import HEADS, ConvHead, LinearHead

# Where a picture stands in its batch can move a logit by a rounding, far less than this: one so
# near 0 is computed again with its picture alone, so that its label depends on no company.
UNDECIDED = 1e-4


@dataclasses.dataclass(frozen=True)
class Trained:
    """A head with the weights of its backbone, both on the CPU.

    Attributes:
        head: In eval mode, wants no gradient.
        weights: With the BatchNorm statistics that the head was judged with.
        facts: What tells where they come from; plain values only.
    """

    head: ConvHead | LinearHead
    weights: BackboneWeights
    facts: dict[str, Any]


def read_trained(checkpoint: Path, weights: str | None = None) -> Trained:
    """Read a checkpoint and find its backbone's weights again.

    Args:
        checkpoint: `best.pt` or `last.pt` of any run.
        weights: Where these weights are now, as `model.weights` names them; None for where they
            were in training.

    Raises:
        UserError: If either is absent or damaged, or the weights are not those of the training.
    """
    if checkpoint.is_dir():
        raise UserError(
            f"checkpoint={checkpoint}: is a folder; give {checkpoint / 'best.pt'} "
            "or another checkpoint in it"
        )
    content = load_checkpoint(checkpoint)
    try:
        config, recorded, versions = content["config"], content["weights"], content["versions"]
        head = HEADS[config["model"]["head"]]()
        head.load_state_dict(content["head"])
        _require_same_pixels(checkpoint, content["pixels"], versions)
        found = _find_again(config["model"], recorded, versions, weights)
        statistics = content.get("backbone_statistics", {})
        facts = {
            "checkpoint": str(checkpoint),
            "epoch": content["epoch"],
            "val_accuracy": content["val_accuracy"],
            "protocol": config["protocol"],
            "head": config["model"]["head"],
            "precision": config["model"].get("precision", "float32"),
            "weights": dict(recorded),
            "pixels": content["pixels"],
        }
    except (KeyError, TypeError, AttributeError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(
            f"checkpoint={checkpoint}: not what a run of catsdogs.train leaves "
            f"({type(error).__name__}: {reason})"
        ) from error
    head.requires_grad_(False).eval()
    return Trained(head, dataclasses.replace(found, state=found.state | statistics), facts)


def _require_same_pixels(checkpoint: Path, pixels: str, versions: dict[str, str]) -> None:
    if pixels != PIPELINE:
        raise UserError(
            f"checkpoint={checkpoint}: was trained on pixels of another kind ({pixels}; here "
            f"{PIPELINE}); use catsdogs {versions['catsdogs']}"
        )


def _find_again(
    model: dict[str, Any],
    recorded: dict[str, str],
    versions: dict[str, str],
    weights: str | None,
) -> BackboneWeights:
    choice = model["weights"] if weights is None else weights
    sha256 = recorded["sha256"]
    if choice not in ("embedded", "imagenet", "random") and not Path(choice).expanduser().is_file():
        raise UserError(
            f"weights={choice}: there is no such file; the checkpoint was trained on "
            f"{recorded['description']} (SHA-256 {sha256}): give weights=PATH where it is now"
        )
    found = find_weights(choice, seed=model["weights_seed"])
    if found.sha256 != sha256:
        raise UserError(
            f"weights={choice}: not the backbone of this checkpoint, which was trained on "
            f"{recorded['description']} (SHA-256 {sha256}, here {found.sha256}; "
            f"{_origin(recorded, versions)})"
        )
    return found


def _origin(recorded: dict[str, str], versions: dict[str, str]) -> str:
    """Say where the right weights are to be had."""
    if recorded["source"] == "embedded":
        return f"those of catsdogs {versions['catsdogs']}"
    if recorded["source"] == "random":
        return f"drawn by torch {versions['torch']} and torchvision {versions['torchvision']}"
    return "give weights=PATH of the right file"


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
        return self.predict_files(list_images(named))

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


class PixelClassifier(nn.Module):
    """uint8 pixels (n, 3, 256, 256) to logits (n,), the normalisation included.

    The monograph's head is in it as the one linear map that it is: 0.1 MB instead of 8.4.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, trained: Trained) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(MEAN).view(3, 1, 1))
        self.register_buffer("std", torch.tensor(STD).view(3, 1, 1))
        self.backbone = Backbone(trained.weights.state)
        self.head = _as_linear(trained.head)
        self.requires_grad_(False).eval()

    def forward(self, pixels: Tensor) -> Tensor:
        """Return a logit for each picture; above 0 says cat."""
        # Not `normalise`, whose constants are made anew in every call and written in place.
        normalised = (pixels.float() / 255 - self.mean) / self.std
        logits: Tensor = self.head(self.backbone(normalised))
        return logits


def _as_linear(head: ConvHead | LinearHead) -> LinearHead:
    if isinstance(head, LinearHead):
        return head
    linear = LinearHead()
    kernel, bias = head.compose()
    linear.load_state_dict({"weight": kernel.flatten(1), "bias": bias})
    return linear
