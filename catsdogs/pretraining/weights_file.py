"""What a pretraining ends with, and the file that the package carries of it."""

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

import safetensors.torch
from torch import Tensor

from catsdogs.io.files import atomic_file, atomic_write_text, make_directory

# The head's cost falls as fast as its features are long, squared. Trained this way they come out
# two thirds as long as an untrained ResNet-18's, and SGD at the monograph's learning rate could
# still be at its start after ten epochs where a seed begins with a small conv3.
FEATURE_SCALE = 2.0


@dataclasses.dataclass(frozen=True)
class Pretrained:
    """What a pretraining ended with.

    Attributes:
        state: torchvision's names to tensors, without `fc`.
        facts: What is recorded of how the state came about; plain values only.
    """

    state: dict[str, Tensor]
    facts: dict[str, Any]


def enlarge_features(state: dict[str, Tensor], factor: float) -> dict[str, Tensor]:
    """Return weights whose features are those of `state` times `factor`, and the same otherwise.

    Both blocks of the last layer add to one sum, so each addend is scaled, and the convolution in
    between, which would see the larger sum, is scaled back. Exact for a power of two.
    """
    last = "layer4.0.bn2", "layer4.0.downsample.1", "layer4.1.bn2"
    scaled = {f"{layer}.{name}": factor for layer in last for name in ("weight", "bias")}
    scaled["layer4.1.conv1.weight"] = 1 / factor
    return {
        name: value * scaled[name] if name in scaled else value for name, value in state.items()
    }


def write_weights(pretrained: Pretrained, path: Path) -> None:
    """Write the weights as float16 safetensors, and beside them their facts as .json.

    The file's header holds the same facts, but for its own sha256, each as a JSON text.

    Args:
        pretrained: What to write; counts of batches keep their int64.
        path: Ends in .safetensors.
    """
    tensors = {
        name: (value.half() if value.is_floating_point() else value).cpu().contiguous()
        for name, value in pretrained.state.items()
    }
    header = {name: json.dumps(value) for name, value in pretrained.facts.items()}
    make_directory(path.parent, "--out")
    with atomic_file(path) as partial_file:
        # Not by save_file, whose files none but their owner may read.
        partial_file.write_bytes(safetensors.torch.save(tensors, metadata=header))
    facts = {"sha256": hashlib.sha256(path.read_bytes()).hexdigest(), **pretrained.facts}
    atomic_write_text(path.with_suffix(".json"), json.dumps(facts, indent=2) + "\n")
