"""Frozen backbone, torchvision's ResNet-18 up to its last feature map, and its weights."""

import contextlib
import dataclasses
import hashlib
import json
import urllib.error
from collections import OrderedDict
from collections.abc import Iterator
from importlib.resources import as_file, files
from pathlib import Path
from typing import Literal, Self

import torch
import torchvision
from torch import Tensor, nn
from torchvision.models import ResNet18_Weights, resnet18

from catsdogs.errors import UserError
from catsdogs.io.files import checksum, expanded
from catsdogs.io.torch_file import load_torch_file

CHANNELS, SIDE = 512, 8
StateDict = dict[str, Tensor]


class Backbone(nn.Module):
    """ResNet-18 without its pooling and its classifier: (n, 3, 256, 256) to (n, 512, 8, 8).

    Its parameters require no gradient, and `train()` leaves it in eval mode, so its BatchNorm
    statistics change within `drifting` only.
    """

    def __init__(self, state: StateDict) -> None:
        super().__init__()
        network = resnet18(weights=None)
        network.load_state_dict(state, strict=False)  # `fc` may be absent; the rest was checked
        self.layers = nn.Sequential(OrderedDict(list(network.named_children())[:-2]))
        self.requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True) -> Self:
        """Stay in eval mode; `mode` is ignored on purpose."""
        return super().train(False)

    @contextlib.contextmanager
    def drifting(self) -> Iterator[None]:
        """Normalize each batch by its own statistics, and update the running ones in place.

        This is what `model.train()` does to a backbone whose weights are frozen.
        """
        self.layers.train()
        try:
            yield
        finally:
            self.eval()

    def statistics(self) -> StateDict:
        """Return a copy of BatchNorm's running statistics on the CPU, under torchvision's names."""
        return {name: buffer.cpu().clone() for name, buffer in self.layers.named_buffers()}

    def forward(self, pixels: Tensor) -> Tensor:
        """Map normalized pixels (n, 3, 256, 256) to features (n, 512, 8, 8)."""
        features: Tensor = self.layers(pixels)
        return features


@dataclasses.dataclass(frozen=True)
class BackboneWeights:
    """Validated weights for a `Backbone`, and their facts for records.

    Attributes:
        source: `embedded`, `random`, `imagenet` or `file`.
        description: One line on the origin of the weights.
        sha256: Of the file, or of everything that determines random weights.
        state: torchvision's names to float32 tensors; `fc` may be absent.
    """

    source: Literal["embedded", "random", "imagenet", "file"]
    description: str
    sha256: str
    state: StateDict = dataclasses.field(repr=False)

    @property
    def facts(self) -> dict[str, str]:
        """The facts that records and checkpoints keep."""
        return {
            "source": self.source,
            "description": self.description,
            "sha256": self.sha256,
        }


def find_weights(choice: str, *, seed: int = 0) -> BackboneWeights:
    """Load and validate the weights named by `model.weights`.

    Args:
        choice: `embedded` (the package's own, trained on drawn animals), `random`, `imagenet`
            (torchvision's, downloaded once into the torch hub cache, see `TORCH_HOME`), or the path
            of a state dict with torchvision's names, written by torch.save or as .safetensors.
        seed: Of the random weights.

    Raises:
        UserError: If the file is absent, cannot be downloaded, or is not a ResNet-18.
    """
    if choice == "embedded":
        return _embedded_weights()
    if choice == "random":
        return _random_weights(seed)
    if choice == "imagenet":
        path = _download_imagenet()
        description = "torchvision's IMAGENET1K_V1 weights of ResNet-18"
        return BackboneWeights("imagenet", description, *_read_hashed(path))
    path = expanded(Path(choice), "model.weights")
    if not path.is_file():
        raise UserError(
            f"model.weights={choice}: no such file; "
            "give embedded, random, imagenet or the path of a ResNet-18 state dict"
        )
    return BackboneWeights("file", f"the state dict {path.name}", *_read_hashed(path))


def _embedded_weights() -> BackboneWeights:
    folder = files("catsdogs.weights")
    expected = json.loads((folder / "embedded.json").read_text(encoding="utf-8"))["sha256"]
    description = (
        "the embedded weights: learned from drawn animals, none a cat or a dog; no ImageNet"
    )
    with as_file(folder / "embedded.safetensors") as path:
        if checksum(path) != expected:
            raise UserError(f"model.weights=embedded: {path} is damaged; reinstall catsdogs")
        return BackboneWeights("embedded", description, expected, _read(path))


def _random_weights(seed: int) -> BackboneWeights:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        state = resnet18(weights=None).state_dict()
    origin = f"random seed={seed} torch={torch.__version__} torchvision={torchvision.__version__}"
    description = f"random weights (torchvision's initialisation, seed {seed}), not trained"
    sha256 = hashlib.sha256(origin.encode()).hexdigest()
    return BackboneWeights("random", description, sha256, state)


def _download_imagenet() -> Path:
    weights = ResNet18_Weights.IMAGENET1K_V1
    path = Path(torch.hub.get_dir()) / "checkpoints" / Path(weights.url).name
    if not path.exists():
        try:
            weights.get_state_dict(progress=True, check_hash=True)
        except (urllib.error.URLError, OSError, RuntimeError) as error:
            raise UserError(
                f"model.weights=imagenet: cannot download {weights.url} ({error}); "
                f"copy that file to {path}, or use model.weights=random or a path"
            ) from error
    return path


def _read_hashed(path: Path) -> tuple[str, StateDict]:
    """Return the SHA-256 of a file, and the state dict that the same bytes hold."""
    digest = checksum(path)
    state = _read(path)
    if checksum(path) != digest:
        raise UserError(f"model.weights={path}: changed while it was read; run the command again")
    return digest, state


def _read(path: Path) -> StateDict:
    """Read a state dict and validate it against ResNet-18's names and shapes."""
    setting = f"model.weights={path}"
    loaded = load_torch_file(path, f"{setting}: not a readable PyTorch state dict")
    if not isinstance(loaded, dict) or not all(isinstance(v, Tensor) for v in loaded.values()):
        raise UserError(f"{setting}: not a state dict (a dict of names to tensors)")
    with torch.device("meta"):
        expected = resnet18(weights=None).state_dict()
    expected = {name: tensor for name, tensor in expected.items() if not name.startswith("fc.")}
    for name, tensor in expected.items():
        if name not in loaded:
            raise UserError(f"{setting}: not a ResNet-18: {name} is missing")
        if loaded[name].shape != tensor.shape:
            raise UserError(
                f"{setting}: not a ResNet-18: {name} has shape "
                f"{tuple(loaded[name].shape)} instead of {tuple(tensor.shape)}"
            )
        if not _is_plain(loaded[name]):
            raise UserError(f"{setting}: {name} holds values that are not finite real numbers")
    for name in loaded:
        if name not in expected and not name.startswith("fc."):
            raise UserError(f"{setting}: not a ResNet-18: {name} is unknown")
    return {name: loaded[name].to(tensor.dtype) for name, tensor in expected.items()}


def _is_plain(tensor: Tensor) -> bool:
    """Return whether a tensor is a dense array of finite real numbers in memory."""
    unusual = tensor.is_complex() or tensor.is_quantized or tensor.is_meta
    return not unusual and tensor.layout == torch.strided and bool(tensor.isfinite().all())
