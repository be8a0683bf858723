"""What makes a checkpoint a classifier again: its head, and the backbone it was trained on."""

import dataclasses
from pathlib import Path
from typing import Any

from catsdogs.data.images import PIPELINE
from catsdogs.errors import UserError
from catsdogs.features.backbone import BackboneWeights, find_weights
from catsdogs.training.checkpoint import load_checkpoint
from catsdogs.training.heads import HEADS, ConvHead, LinearHead


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
