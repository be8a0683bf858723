"""Trained model: the head of a checkpoint and the backbone weights that it was trained on."""

import dataclasses
from pathlib import Path
from typing import Any

from catsdogs.data.images import PIPELINE
from catsdogs.errors import UserError
from catsdogs.features.backbone import BackboneWeights, find_weights
from catsdogs.runs.writer import recorded_facts
from catsdogs.training.checkpoint import load_checkpoint
from catsdogs.training.heads import HEADS, ConvHead, LinearHead
from catsdogs.training.resume import checkpoint_fault


@dataclasses.dataclass(frozen=True)
class TrainedModel:
    """A head and its backbone's weights, both on the CPU.

    Attributes:
        head: In eval mode, without gradients.
        weights: With the BatchNorm statistics that the head was evaluated with.
        facts: Where both come from; plain values only.
    """

    head: ConvHead | LinearHead
    weights: BackboneWeights
    facts: dict[str, Any]


def read_trained_model(checkpoint: Path, weights: str | None = None) -> TrainedModel:
    """Read a checkpoint and find its backbone's weights.

    Args:
        checkpoint: `best.pt` or `last.pt` of any run.
        weights: Current location of the weights, in the form that `model.weights` takes; None for
            the location used in training.

    Raises:
        UserError: If either is missing or damaged, or the weights are not those of the training.
    """
    if checkpoint.is_dir():
        raise UserError(
            f"checkpoint={checkpoint}: is a folder; give {checkpoint / 'best.pt'} "
            "or another checkpoint in it"
        )
    content = load_checkpoint(checkpoint)
    beside = recorded_facts(checkpoint.parent)
    if beside and (fault := checkpoint_fault(content, checkpoint.name, beside)):
        raise UserError(
            f"checkpoint={checkpoint}: {fault}; give a checkpoint of the run in this folder, or "
            "move this one to another folder"
        )
    try:
        config, recorded, versions = content["config"], content["weights"], content["versions"]
        head = HEADS[config["model"]["head"]]()
        head.load_state_dict(content["head"])
        _require_same_pixels(checkpoint, content["pixels"], versions)
        found = _find_recorded_weights(config["model"], recorded, versions, weights)
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
            f"checkpoint={checkpoint}: not written by catsdogs.train "
            f"({type(error).__name__}: {reason}); give best.pt or last.pt of a run"
        ) from error
    head.requires_grad_(False).eval()
    return TrainedModel(head, dataclasses.replace(found, state=found.state | statistics), facts)


def _require_same_pixels(checkpoint: Path, pixels: str, versions: dict[str, str]) -> None:
    if pixels != PIPELINE:
        raise UserError(
            f"checkpoint={checkpoint}: trained on images that were prepared differently ({pixels}; "
            f"this version: {PIPELINE}); use catsdogs {versions['catsdogs']}"
        )


def _find_recorded_weights(
    model: dict[str, Any],
    recorded: dict[str, str],
    versions: dict[str, str],
    weights: str | None,
) -> BackboneWeights:
    choice = model["weights"] if weights is None else weights
    trained_with = f"{recorded['description']} (SHA-256 {recorded['sha256']})"
    if choice not in ("embedded", "imagenet", "random") and not Path(choice).expanduser().is_file():
        raise UserError(
            f"weights={choice}: no such file; the checkpoint was trained with {trained_with}: "
            "give the current location of this file as weights=PATH"
        )
    found = find_weights(choice, seed=model["weights_seed"])
    if found.sha256 != recorded["sha256"]:
        raise UserError(
            f"weights={choice}: not the backbone of this checkpoint (SHA-256 {found.sha256}), "
            f"which was trained with {trained_with}; {_remedy(recorded, versions)}"
        )
    return found


def _remedy(recorded: dict[str, str], versions: dict[str, str]) -> str:
    """Say how to get the recorded weights."""
    if recorded["source"] == "embedded":
        return f"use catsdogs {versions['catsdogs']}, which contains them"
    if recorded["source"] == "random":
        return (
            f"use torch {versions['torch']} and torchvision {versions['torchvision']}, "
            "which drew them"
        )
    return "give weights=PATH of the right file"
