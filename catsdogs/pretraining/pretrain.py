"""Train a backbone from scratch to classify the parts of drawn creatures.

The package needs trained weights that do not have to be downloaded. The zoo provides any number of
labelled images without a cat or a dog. Features that classify a creature's ears, nose, eyes,
markings and head also separate cats from dogs.
"""

import copy
import dataclasses
import hashlib
import json
import logging
import math
import platform
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import PIL
import torch
import torch.nn.functional as F
import torchvision
from filelock import FileLock
from torch import Tensor, nn
from torchvision.models import resnet18

from catsdogs._version import __version__
from catsdogs.compute.device import describe_device
from catsdogs.data.images import normalise
from catsdogs.data.sources import EDITION
from catsdogs.io.files import atomic_file, make_directory
from catsdogs.io.progress import progress
from catsdogs.io.torch_file import load_torch_file
from catsdogs.pretraining.weights_file import FEATURE_SCALE, Pretrained, enlarge_features
from catsdogs.pretraining.zoo import ZOO_CLASSES, ZooLabels
from catsdogs.pretraining.zoo_set import Zoo, draw_zoo

# Side in pixels, and the share of the epochs after which it starts. Small images teach coarse
# shapes several times as fast; the last ones are near the size at which the backbone is used.
STAGES = ((64, 0.0), (96, 0.34), (128, 0.66))
FURTHER_STAGES = ((128, 0.0), (160, 0.6))
EVALUATION_BATCH = 100
log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Pretraining:
    """Everything that determines the weights, apart from the machine's rounding.

    Attributes:
        pictures: Number of creatures in the training set.
        held_out: Number of creatures in the held-out set, drawn after those.
        size: Side in pixels at which each creature is drawn, once.
        resolutions: Side in pixels of the network's input in each epoch.
        further: Number of epochs, the last ones, that form a second round, in which the learning
            rate rises to half its peak and falls again.
        seed: Determines the creatures, the initial weights, the order and the crops.
        batch_size: Images per step; a smaller last batch of an epoch is dropped.
        parts: Number of parts of a batch that are computed concurrently, each normalized by its own
            statistics; divides `batch_size`.
        peak_rate: Highest learning rate of AdamW, reached after a tenth of the first round.
        weight_decay: Of AdamW.
        least_crop: Smallest side of a crop, as a share of the image's side, in (0, 1].
        bfloat16: Whether to use autocast to bfloat16; 2.4 times as fast at 128 pixels on a CPU with
            AMX.
    """

    pictures: int = 8_000
    held_out: int = 500
    size: int = 160
    resolutions: tuple[int, ...] = ()
    further: int = 0
    seed: int = 0
    batch_size: int = 64
    parts: int = 2
    peak_rate: float = 2e-3
    weight_decay: float = 0.05
    least_crop: float = 0.65
    bfloat16: bool = True

    @property
    def key(self) -> str:
        """Sixteen hexadecimal digits, equal for equal plans and versions."""
        facts = [dataclasses.asdict(self), EDITION, _versions()]
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]


def progressive_resolutions(epochs: int, further: int = 0) -> tuple[int, ...]:
    """Return the resolution of each epoch: from 64 to 128 pixels, in a second round to 160."""
    return _staged(STAGES, epochs) + _staged(FURTHER_STAGES, further)


def pretrain(plan: Pretraining, folder: Path, device: torch.device) -> Pretrained:
    """Train on the zoo; resume after the last finished epoch of the same plan.

    Args:
        plan: Data and hyperparameters.
        folder: Stores the drawn zoo and, under the plan's key, the state after each epoch.
        device: Of the network.

    Raises:
        UserError: If the folder cannot be written, or the stored state is damaged.
    """
    make_directory(folder, "CATSDOGS_CACHE")
    zoo = draw_zoo(folder, plan.pictures + plan.held_out, plan.size, seed=plan.seed)
    work = make_directory(folder / f"pretraining-{plan.key}", "CATSDOGS_CACHE")
    with FileLock(work / "lock"):
        network = _new_network(plan.seed).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        optimizer = torch.optim.AdamW(network.parameters(), weight_decay=plan.weight_decay)
        epochs = _resume(work / "state.pt", network, optimizer)
        for epoch in range(len(epochs), len(plan.resolutions)):
            start = time.perf_counter()
            train_cost = _train_epoch(network, optimizer, plan, zoo, epoch, device)
            resolution = plan.resolutions[epoch]
            held_out_cost, accuracies = _evaluate(network, plan, zoo, resolution, device)
            epochs.append(
                {
                    "resolution": resolution,
                    "train_cost": train_cost,
                    "held_out_cost": held_out_cost,
                    "accuracies": accuracies,
                    "seconds": round(time.perf_counter() - start, 1),
                }
            )
            log.info("epoch %d of %d: %s", epoch + 1, len(plan.resolutions), epochs[-1])
            _save(work / "state.pt", network, optimizer, epochs)
    state = {name: value for name, value in network.state_dict().items() if name[:3] != "fc."}
    return Pretrained(enlarge_features(state, FEATURE_SCALE), _facts(plan, zoo, device, epochs))


def _staged(stages: tuple[tuple[int, float], ...], epochs: int) -> tuple[int, ...]:
    return tuple(
        max(resolution for resolution, start in stages if epoch >= round(start * epochs))
        for epoch in range(epochs)
    )


def _new_network(seed: int) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network: nn.Module = resnet18(weights=None, num_classes=sum(ZOO_CLASSES))
    return network


def _train_epoch(
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    plan: Pretraining,
    zoo: Zoo,
    epoch: int,
    device: torch.device,
) -> float:
    """Train for one epoch, with randomness from seed and epoch only; return the mean cost."""
    steps = plan.pictures // plan.batch_size
    rows = np.random.default_rng([plan.seed, epoch]).permutation(plan.pictures)
    batches = rows[: steps * plan.batch_size].reshape(steps, plan.parts, -1)
    network.train()
    replicas = [network, *(_replica(network) for _ in range(1, plan.parts))]
    description, total = f"epoch {epoch + 1}/{len(plan.resolutions)}", 0.0
    with ThreadPoolExecutor(plan.parts) as pool:
        for step, batch in enumerate(
            progress(batches, total=steps, description=description, unit="batch")
        ):
            for group in optimizer.param_groups:
                group["lr"] = _rate(plan, epoch + (step + 1) / steps)
            rngs = [np.random.default_rng([plan.seed, epoch, step, n]) for n in range(plan.parts)]
            compute = partial(_cost_and_gradients, plan=plan, zoo=zoo, epoch=epoch, device=device)
            costs, gradients = zip(*pool.map(compute, replicas, batch, rngs), strict=True)
            for parameter, *shares in zip(network.parameters(), *gradients, strict=True):
                parameter.grad = torch.stack(shares).mean(0)
            optimizer.step()
            total += sum(cost.item() for cost in costs) / plan.parts
    return total / steps


def _replica(network: nn.Module) -> nn.Module:
    """Return a network that shares the parameters but has its own BatchNorm statistics.

    The threads of one operation wait for each other by spinning, many times per step, which on a
    busy machine costs several times the work itself. Replicas wait once per step.
    """
    return copy.deepcopy(network, {id(parameter): parameter for parameter in network.parameters()})


def _cost_and_gradients(
    network: nn.Module,
    rows: npt.NDArray[np.int64],
    rng: np.random.Generator,
    *,
    plan: Pretraining,
    zoo: Zoo,
    epoch: int,
    device: torch.device,
) -> tuple[Tensor, tuple[Tensor, ...]]:
    pixels = torch.cat([_random_view(zoo.pixels[row], plan, epoch, rng) for row in rows])
    cost = _cost(_outputs(network, pixels.to(device), plan), zoo.labels[rows].to(device))
    return cost.detach(), torch.autograd.grad(cost, list(network.parameters()))


def _rate(plan: Pretraining, epochs: float) -> float:
    """Return the learning rate: a linear warm-up over a tenth of a round, then a cosine to zero."""
    first = len(plan.resolutions) - plan.further
    if epochs <= first:
        peak, done = plan.peak_rate, epochs / first
    else:
        peak, done = plan.peak_rate / 2, (epochs - first) / plan.further
    return peak * min(done / 0.1, 0.5 + 0.5 * math.cos(math.pi * max(0.0, done - 0.1) / 0.9))


def _random_view(
    image: npt.NDArray[np.uint8], plan: Pretraining, epoch: int, rng: np.random.Generator
) -> Tensor:
    """Randomly crop and mirror an image and shrink it: uint8 (1, 3, side, side)."""
    size = len(image)
    side = round(size * rng.uniform(plan.least_crop, 1))
    # Heads are in the upper half: a crop that starts lower could cut off the ears.
    top, left = rng.integers(0, (size - side) // 2 + 1), rng.integers(0, size - side + 1)
    crop = image[top : top + side, left : left + side]
    if rng.random() < 0.5:
        crop = crop[:, ::-1]
    return _resize(torch.from_numpy(crop.copy())[None], plan.resolutions[epoch])


def _resize(images: Tensor, side: int) -> Tensor:
    """Resize uint8 (n, h, h, 3) to uint8 (n, 3, side, side)."""
    planes = images.permute(0, 3, 1, 2)
    return F.interpolate(planes, (side, side), mode="bilinear", antialias=True)


def _outputs(network: nn.Module, pixels: Tensor, plan: Pretraining) -> Tensor:
    inputs = normalise(pixels).contiguous(memory_format=torch.channels_last)
    with torch.autocast(pixels.device.type, torch.bfloat16, enabled=plan.bfloat16):
        outputs: Tensor = network(inputs)
    return outputs.float()


def _cost(outputs: Tensor, labels: Tensor) -> Tensor:
    parts = outputs.split(list(ZOO_CLASSES), dim=1)
    costs = [F.cross_entropy(part, labels[:, number]) for number, part in enumerate(parts)]
    return torch.stack(costs).sum()


def _evaluate(
    network: nn.Module, plan: Pretraining, zoo: Zoo, resolution: int, device: torch.device
) -> tuple[float, dict[str, float]]:
    """Return the cost and the accuracy per attribute on the held-out creatures, without crops."""
    network.eval()
    held_out = range(plan.pictures, plan.pictures + plan.held_out)
    with torch.no_grad():
        outputs = torch.cat(
            [
                _outputs(network, _resize(images, resolution).to(device), plan)
                for images in _batches(zoo, held_out)
            ]
        )
    labels = zoo.labels[held_out.start : held_out.stop].to(device)
    predicted = [part.argmax(1) for part in outputs.split(list(ZOO_CLASSES), dim=1)]
    correct = (torch.stack(predicted, dim=1) == labels).float().mean(0).tolist()
    accuracies = {
        name: round(share, 4) for name, share in zip(ZooLabels._fields, correct, strict=True)
    }
    return _cost(outputs, labels).item(), accuracies


def _batches(zoo: Zoo, rows: range) -> Iterator[Tensor]:
    bounds = [*range(rows.start, rows.stop, EVALUATION_BATCH), rows.stop]
    for start, stop in pairwise(bounds):
        yield torch.from_numpy(zoo.pixels[start:stop].copy())


def _save(
    path: Path,
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    epochs: list[dict[str, Any]],
) -> None:
    content = {
        "network": network.state_dict(),
        "optimizer": optimizer.state_dict(),
        "epochs": epochs,
    }
    with atomic_file(path) as partial_file:
        torch.save(content, partial_file)


def _resume(
    path: Path, network: nn.Module, optimizer: torch.optim.Optimizer
) -> list[dict[str, Any]]:
    """Load the state after the last finished epoch, if any, and return the facts of all epochs."""
    if not path.exists():
        return []
    content = load_torch_file(path, f"{path}: damaged; delete it to restart the training")
    network.load_state_dict(content["network"])
    optimizer.load_state_dict(content["optimizer"])
    epochs: list[dict[str, Any]] = content["epochs"]
    log.info("resuming after epoch %d", len(epochs))
    return epochs


def _facts(
    plan: Pretraining, zoo: Zoo, device: torch.device, epochs: list[dict[str, Any]]
) -> dict[str, Any]:
    return {
        "what": "ResNet-18 trained on drawn creatures, none a cat or a dog; not ImageNet",
        "seed": plan.seed,
        "plan": {**dataclasses.asdict(plan), "resolutions": list(plan.resolutions)},
        "feature_scale": FEATURE_SCALE,
        "drawings_edition": EDITION,
        "data_sha256": zoo.sha256,
        "versions": _versions(),
        "hardware": _hardware(device),
        "accuracies": epochs[-1]["accuracies"] if epochs else {},
        "epochs": epochs,
    }


def _versions() -> dict[str, str]:
    return {
        "catsdogs": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
        "numpy": np.__version__,
        "pillow": PIL.__version__,
    }


def _hardware(device: torch.device) -> str:
    capability = torch.backends.cpu.get_cpu_capability()
    return f"{describe_device(device)} on {platform.machine()}, {capability}"
