"""The frozen backbone: torchvision's ResNet-18 up to its last feature map, and its weights."""

import contextlib
import dataclasses
import hashlib
import json
import urllib.error
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, Self

import torch
import torchvision
from torch import Tensor, nn
from torchvision.models import ResNet18_Weights, resnet18

import catsdogs
from catsdogs.errors import UserError
from catsdogs.io.files import checksum, expanded
from catsdogs.io.torch_file import load_torch_file

CHANNELS, SIDE = 512, 8
StateDict = dict[str, Tensor]


class Backbone(nn.Module):
    """ResNet-18 without its last two children: (n, 3, 256, 256) to (n, 512, 8, 8).

    Its parameters want no gradient, and it stays in eval mode whatever `train()` asks, so its
    BatchNorm statistics move within `drifting` only.
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
        """Normalise each batch by its own statistics meanwhile, and let the running ones drift.

        This is what `model.train()` does to a backbone whose weights are frozen.
        """
        self.layers.train()
        try:
            yield
        finally:
            self.eval()

    def statistics(self) -> StateDict:
        """Return a copy of BatchNorm's running statistics on the CPU, by torchvision's names."""
        return {name: buffer.cpu().clone() for name, buffer in self.layers.named_buffers()}

    def forward(self, pixels: Tensor) -> Tensor:
        """Map normalised pixels (n, 3, 256, 256) to features (n, 512, 8, 8)."""
        features: Tensor = self.layers(pixels)
        return features


@dataclasses.dataclass(frozen=True)
class BackboneWeights:
    """Checked weights for a `Backbone`, and what the records say of them.

    Attributes:
        source: `embedded`, `random`, `imagenet` or `file`.
        description: One sentence on what these weights are.
        sha256: Of the file, or of what determines random weights.
        state: torchvision's names to float32 tensors; `fc` may be absent.
    """

    source: Literal["embedded", "random", "imagenet", "file"]
    description: str
    sha256: str
    state: StateDict = dataclasses.field(repr=False)

    @property
    def facts(self) -> dict[str, str]:
        """What a record or a checkpoint says of them."""
        return {
            "source": self.source,
            "description": self.description,
            "sha256": self.sha256,
        }


def find_weights(choice: str, *, seed: int = 0) -> BackboneWeights:
    """Load and check the weights named by `model.weights`.

    Args:
        choice: `embedded` (the package's own, trained on drawn animals), `random`, `imagenet`
            (torchvision's, downloaded once into the torch hub cache, which `TORCH_HOME` moves), or
            the path of a state dict with torchvision's names, of torch.save or .safetensors.
        seed: Decides the random weights.

    Raises:
        UserError: If the file is absent, cannot be downloaded, or is no ResNet-18.
    """
    if choice == "embedded":
        return _embedded_weights()
    if choice == "random":
        return _random_weights(seed)
    if choice == "imagenet":
        path = _download_imagenet()
        described = "torchvision's IMAGENET1K_V1 weights of ResNet-18"
        return BackboneWeights("imagenet", described, checksum(path), _read(path))
    path = expanded(Path(choice), "model.weights")
    if not path.is_file():
        raise UserError(
            f"model.weights={choice}: there is no such file; "
            "give embedded, random, imagenet or the path of a ResNet-18 state dict"
        )
    return BackboneWeights("file", f"the state dict {path.name}", checksum(path), _read(path))


def _embedded_weights() -> BackboneWeights:
    folder = Path(catsdogs.__file__).parent / "weights"
    path = folder / "embedded.safetensors"
    expected = json.loads((folder / "embedded.json").read_text(encoding="utf-8"))["sha256"]
    if checksum(path) != expected:
        raise UserError(f"model.weights=embedded: {path} is damaged; install catsdogs again")
    described = "the embedded weights: learned from drawn animals, none a cat or a dog; no ImageNet"
    return BackboneWeights("embedded", described, expected, _read(path))


def _random_weights(seed: int) -> BackboneWeights:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        state = resnet18(weights=None).state_dict()
    origin = f"random seed={seed} torch={torch.__version__} torchvision={torchvision.__version__}"
    described = f"random weights (torchvision's initialisation, seed {seed}): nothing was learned"
    return BackboneWeights("random", described, hashlib.sha256(origin.encode()).hexdigest(), state)


def _download_imagenet() -> Path:
    weights = ResNet18_Weights.IMAGENET1K_V1
    path = Path(torch.hub.get_dir()) / "checkpoints" / Path(weights.url).name
    if not path.exists():
        try:
            weights.get_state_dict(progress=True, check_hash=True)
        except (urllib.error.URLError, OSError, RuntimeError) as error:
            raise UserError(
                f"model.weights=imagenet: could not download {weights.url} ({error}); "
                f"place that file at {path}, or use model.weights=random or a path"
            ) from error
    return path


def _read(path: Path) -> StateDict:
    """Read a state dict and hold it against ResNet-18's names and shapes."""
    loaded = load_torch_file(path, f"model.weights={path}: not a readable PyTorch state dict")
    if not isinstance(loaded, dict) or not all(isinstance(v, Tensor) for v in loaded.values()):
        raise UserError(f"model.weights={path}: not a state dict (a dict of names to tensors)")
    with torch.device("meta"):
        expected = resnet18(weights=None).state_dict()
    expected = {name: tensor for name, tensor in expected.items() if not name.startswith("fc.")}
    for name, tensor in expected.items():
        if name not in loaded:
            raise UserError(f"model.weights={path}: not a ResNet-18: {name} is missing")
        if loaded[name].shape != tensor.shape:
            raise UserError(
                f"model.weights={path}: not a ResNet-18: {name} has shape "
                f"{tuple(loaded[name].shape)} instead of {tuple(tensor.shape)}"
            )
        if not _is_plain(loaded[name]):
            raise UserError(f"model.weights={path}: {name} holds what is no finite real number")
    for name in loaded:
        if name not in expected and not name.startswith("fc."):
            raise UserError(f"model.weights={path}: not a ResNet-18: {name} is unknown")
    return {name: loaded[name].to(tensor.dtype) for name, tensor in expected.items()}


def _is_plain(tensor: Tensor) -> bool:
    """Tell whether a tensor is an array of finite real numbers, here and now."""
    unusual = tensor.is_complex() or tensor.is_quantized or tensor.is_meta
    return not unusual and tensor.layout == torch.strided and bool(tensor.isfinite().all())
