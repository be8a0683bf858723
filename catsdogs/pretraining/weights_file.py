"""Result of a pretraining, and the weights file that is written of it."""

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

import safetensors.torch
from torch import Tensor

from catsdogs.io.files import atomic_file, atomic_write_text, make_directory

# SGD's first steps on the head lower the cost in proportion to the squared norm of the features.
# Pretrained features have two thirds of the norm of an untrained ResNet-18's, and from a seed with
# a small conv3 SGD at the monograph's learning rate could make no progress in ten epochs.
FEATURE_SCALE = 2.0


@dataclasses.dataclass(frozen=True)
class Pretrained:
    """Result of a pretraining.

    Attributes:
        state: torchvision's names to tensors, without `fc`.
        facts: Plan, data, versions, hardware and accuracies, as plain values.
    """

    state: dict[str, Tensor]
    facts: dict[str, Any]


def enlarge_features(state: dict[str, Tensor], factor: float) -> dict[str, Tensor]:
    """Return weights whose features are those of `state` times `factor`.

    Both blocks of the last layer add to one sum, so each addend is scaled, and the convolution that
    reads the scaled sum is scaled back. Exact for a power of two.
    """
    last = "layer4.0.bn2", "layer4.0.downsample.1", "layer4.1.bn2"
    scaled = {f"{layer}.{name}": factor for layer in last for name in ("weight", "bias")}
    scaled["layer4.1.conv1.weight"] = 1 / factor
    return {
        name: value * scaled[name] if name in scaled else value for name, value in state.items()
    }


def write_weights(pretrained: Pretrained, path: Path) -> None:
    """Write the weights as float16 safetensors, and their facts beside them as .json.

    The header of the file has the same facts except its own sha256, each as JSON.

    Args:
        pretrained: Weights and facts; integers keep their dtype.
        path: Ends in .safetensors.
    """
    tensors = {
        name: (value.half() if value.is_floating_point() else value).cpu().contiguous()
        for name, value in pretrained.state.items()
    }
    header = {name: json.dumps(value) for name, value in pretrained.facts.items()}
    make_directory(path.parent, "--out")
    with atomic_file(path) as partial_file:
        # Not save_file, which makes the file readable by its owner only.
        partial_file.write_bytes(safetensors.torch.save(tensors, metadata=header))
    facts = {"sha256": hashlib.sha256(path.read_bytes()).hexdigest(), **pretrained.facts}
    atomic_write_text(path.with_suffix(".json"), json.dumps(facts, indent=2) + "\n")
