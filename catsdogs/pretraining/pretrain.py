"""Train a backbone from scratch to name the parts of drawn creatures.

The package needs weights that have learned something and that no network has to deliver. The zoo
gives as many labelled pictures as wanted, none of a cat or a dog; whoever names a creature's ears,
nose, eyes, markings and head has features that also tell cats from dogs.
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

log = logging.getLogger(__name__)

# Small pictures teach the coarse shapes several times as fast as large ones; the large ones at the
# end bring the animals near the size in pixels at which the backbone will be used.
STAGES = ((64, 0.0), (96, 0.34), (128, 0.66))
FURTHER_STAGES = ((128, 0.0), (160, 0.6))
EVALUATION_BATCH = 100


@dataclasses.dataclass(frozen=True)
class Pretraining:
    """All that decides the weights, apart from the machine's rounding.

    Attributes:
        pictures: Creatures to learn from.
        held_out: Creatures drawn after those, never learned from.
        size: Side in pixels at which each creature is drawn, once.
        resolutions: Side in pixels of what the network sees, one per epoch.
        further: So many of the last epochs are a second round, in which the learning rate rises to
            half its peak and falls once more.
        seed: Decides the creatures, the initial weights, the order and the crops.
        batch_size: Pictures per step; a last, smaller batch of an epoch is left out.
        parts: Each batch is computed in so many parts at the same time, each normalised on its
            own; divides `batch_size`.
        peak_rate: Highest learning rate of AdamW, reached after a tenth of the first round.
        weight_decay: Of AdamW.
        least_crop: Smallest side of a crop, as a part of the picture's side, in (0, 1].
        bfloat16: Compute in bfloat16 where that is safe; 2.4 times as fast at 128 pixels on a
            CPU with AMX.
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
        """Sixteen hexadecimal digits; equal plans on equal versions have equal keys."""
        decisive = [dataclasses.asdict(self), EDITION, _versions()]
        return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()[:16]


def progressive_resolutions(epochs: int, further: int = 0) -> tuple[int, ...]:
    """Return the resolution of each epoch: from 64 to 128 pixels, and in a second round to 160."""
    return _staged(STAGES, epochs) + _staged(FURTHER_STAGES, further)


def pretrain(plan: Pretraining, folder: Path, device: torch.device) -> Pretrained:
    """Train on the zoo, going on from the last finished epoch of the same plan if there is one.

    Args:
        plan: What to train on and how.
        folder: Keeps the drawn zoo and, under the plan's key, what the last finished epoch left.
        device: Where the network computes; the recipe is the same on all of them.

    Raises:
        UserError: If the folder cannot be written, or what the last epoch left is damaged.
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
    """Train for one epoch and return its mean cost; its randomness is of (seed, epoch) alone."""
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
    """Return a network with the same parameters, not copies, but BatchNorm statistics of its own.

    Threads of one operation wait for one another many times per step by spinning, which on a
    machine with other work costs several times the work itself; replicas wait once per step.
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
    """Rise linearly over the first tenth of a round, then fall to zero as a cosine does."""
    first = len(plan.resolutions) - plan.further
    if epochs <= first:
        peak, done = plan.peak_rate, epochs / first
    else:
        peak, done = plan.peak_rate / 2, (epochs - first) / plan.further
    return peak * min(done / 0.1, 0.5 + 0.5 * math.cos(math.pi * max(0.0, done - 0.1) / 0.9))


def _random_view(
    picture: npt.NDArray[np.uint8], plan: Pretraining, epoch: int, rng: np.random.Generator
) -> Tensor:
    """Crop, shrink and perhaps mirror a picture: uint8 (1, 3, side, side)."""
    size = len(picture)
    side = round(size * rng.uniform(plan.least_crop, 1))
    # Heads are in the upper half: a crop that starts lower would cut off the ears to be named.
    top, left = rng.integers(0, (size - side) // 2 + 1), rng.integers(0, size - side + 1)
    crop = picture[top : top + side, left : left + side]
    if rng.random() < 0.5:
        crop = crop[:, ::-1]
    return _resize(torch.from_numpy(crop.copy())[None], plan.resolutions[epoch])


def _resize(pictures: Tensor, side: int) -> Tensor:
    """Turn uint8 (n, h, h, 3) into uint8 (n, 3, side, side)."""
    planes = pictures.permute(0, 3, 1, 2)
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
    """Return the cost on the held-out creatures, seen whole, and the accuracy per attribute."""
    network.eval()
    held_out = range(plan.pictures, plan.pictures + plan.held_out)
    with torch.no_grad():
        outputs = torch.cat(
            [
                _outputs(network, _resize(pictures, resolution).to(device), plan)
                for pictures in _batches(zoo, held_out)
            ]
        )
    labels = zoo.labels[held_out.start : held_out.stop].to(device)
    named = [part.argmax(1) for part in outputs.split(list(ZOO_CLASSES), dim=1)]
    right = (torch.stack(named, dim=1) == labels).float().mean(0).tolist()
    accuracies = {
        name: round(share, 4) for name, share in zip(ZooLabels._fields, right, strict=True)
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
    """Load what the last finished epoch left, if any, and return the epochs so far."""
    if not path.exists():
        return []
    content = load_torch_file(path, f"{path}: damaged; delete it to start the training anew")
    network.load_state_dict(content["network"])
    optimizer.load_state_dict(content["optimizer"])
    epochs: list[dict[str, Any]] = content["epochs"]
    log.info("going on after epoch %d", len(epochs))
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
