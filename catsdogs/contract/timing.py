"""Timing of optimizer steps, compared within one run, so that noise affects all optimizers."""

import random
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from catsdogs.contract.harness import origin
from catsdogs.contract.subject import Factory
from catsdogs.optim.step_inputs import declared_step_inputs

TakeStep = Callable[[int], Any]
BATCH = 32  # samples in a step of an optimizer of a linear model


@dataclass(frozen=True)
class Timing:
    """Seconds per step, one entry per repeat."""

    seconds: tuple[float, ...]

    def median(self) -> float:
        """Return the median time of a step."""
        return statistics.median(self.seconds)

    def quartiles(self) -> tuple[float, float]:
        """Return the first and the third quartile."""
        first, _, third = statistics.quantiles(self.seconds, n=4)
        return first, third

    def ratio_to(self, other: "Timing") -> float:
        """Return the median ratio of repeats that ran right after each other."""
        pairs = zip(self.seconds, other.seconds, strict=True)
        return statistics.median(mine / its for mine, its in pairs)


def time_steps(
    factories: Mapping[str, Factory],
    shapes: Sequence[tuple[int, ...]],
    *,
    device: torch.device | str = "cpu",
    builds: int = 5,
    repeats: int = 10,
    steps: int = 3,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Timing]:
    """Time the steps of several optimizers, repeat by repeat, after two warm-up steps.

    Each repeat times all optimizers, in random order. The addresses of the tensors change the time
    of a step by several percent, so everything is built several times.

    Args:
        factories: Optimizers by name.
        shapes: Shapes of the parameters; all are float32 with random gradients.
        device: Device of the parameters; it is synchronized before the clock is read.
        builds: Number of times that parameters and optimizers are built.
        repeats: Measurements of each optimizer in each build.
        steps: Steps in one measurement.
        progress: Called after each repeat with (done, total).
    """
    seconds: dict[str, list[float]] = {name: [] for name in factories}
    order = random.Random(0)
    for build in range(builds):
        built = {name: _build(factory, shapes, device) for name, factory in factories.items()}
        for repeat in range(repeats):
            # Caches and allocator depend on the optimizer timed before, so the order varies.
            for name in order.sample(list(built), len(built)):
                seconds[name].append(_time(built[name], steps, device))
            progress(build * repeats + repeat + 1, builds * repeats)
    return {name: Timing(tuple(values)) for name, values in seconds.items()}


def _build(
    factory: Factory, shapes: Sequence[tuple[int, ...]], device: torch.device | str
) -> TakeStep:
    """Return a function that takes a numbered step, with all of its inputs prepared."""
    params = [torch.randn(shape, device=device, requires_grad=True) for shape in shapes]
    for param in params:
        param.grad = torch.randn_like(param)
    optimizer = factory(params)
    bare_step: Callable[..., Any] = optimizer.step
    take_step: TakeStep = lambda number: bare_step(**origin(optimizer, number))  # noqa: E731
    if declared_step_inputs(optimizer) == "samples":
        batch = _batch(optimizer, params)
        take_step = lambda _: bare_step(**batch)  # noqa: E731
    _time(take_step, 2, device)
    return take_step


def _batch(optimizer: Optimizer, params: Sequence[Tensor]) -> dict[str, Tensor]:
    """Return a random batch of a linear model and set the gradients of weight and bias to its."""
    size = min(BATCH, optimizer.param_groups[0]["num_samples"])
    weight = max(params, key=Tensor.numel)
    features = torch.randn(size, weight.numel(), device=weight.device)
    slopes = torch.randn(size, device=weight.device)
    for param in params:
        gradient = slopes @ features if param is weight else slopes.sum()
        param.grad = gradient.view_as(param)
    return {"samples": torch.arange(size), "features": features, "logit_grad": slopes}


def _time(take_step: TakeStep, steps: int, device: torch.device | str) -> float:
    on_gpu = torch.device(device).type == "cuda"
    if on_gpu:
        torch.cuda.synchronize(device)
    start = time.perf_counter()
    for number in range(steps):
        take_step(number)
    if on_gpu:
        torch.cuda.synchronize(device)
    return (time.perf_counter() - start) / steps
