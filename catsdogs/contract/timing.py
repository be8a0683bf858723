"""Timing of optimizer steps, compared within one run, so that noise affects all optimizers."""

import dataclasses
import random
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from catsdogs.contract.harness import OptimizerHarness, gradient
from catsdogs.contract.subject import Factory, Shape, Subject
from catsdogs.optim.step_inputs import declared_step_inputs

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
    shapes: Sequence[Shape],
    *,
    device: torch.device | str = "cpu",
    needs: Subject | None = None,
    builds: int = 5,
    repeats: int = 10,
    steps: int = 3,
    seconds: float | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Timing]:
    """Time the steps of several optimizers, repeat by repeat, after two warm-up steps.

    Each repeat times all optimizers, in random order. The addresses of the tensors change the time
    of a step by several percent, so everything is built several times.

    Args:
        factories: Optimizers by name.
        shapes: Shapes of the parameters; all are float32 with random gradients.
        device: Device of the parameters; it is synchronized before the clock is read.
        needs: A known optimizer. All are driven as it needs to be, such as with a closure, which
            leaves the gradients as they are; None for plain steps.
        builds: Number of times that parameters and optimizers are built.
        repeats: Measurements of each optimizer in each build.
        steps: Steps in one measurement.
        seconds: Time that the measurements should take together, above 0: slow optimizers get fewer
            of them, two at least. None for no limit.
        progress: Called after each repeat with (done, total).
    """
    measured: dict[str, list[float]] = {name: [] for name in factories}
    order = random.Random(0)
    started = time.perf_counter()
    for build in range(builds):
        built = {
            name: _Stepper(_driven(factory, shapes, device, needs))
            for name, factory in factories.items()
        }
        if seconds is not None:
            of_all, share = sum(one.seconds for one in built.values()), seconds / builds
            steps = max(1, min(steps, int(share / of_all / repeats)))
            repeats = max(2, min(repeats, int(share / of_all / steps)))
        for repeat in range(repeats):
            # Caches and allocator depend on the optimizer timed before, so the order varies.
            for name in order.sample(list(built), len(built)):
                measured[name].append(built[name].time(steps))
            progress(build * repeats + repeat + 1, builds * repeats)
        if seconds is not None and time.perf_counter() - started > seconds:
            break
    return {name: Timing(tuple(values)) for name, values in measured.items()}


def _driven(
    factory: Factory, shapes: Sequence[Shape], device: torch.device | str, needs: Subject | None
) -> Subject:
    """Return an optimizer that is driven as another one needs to be."""
    known = needs or Subject(factory)
    return dataclasses.replace(
        known,
        factory=factory,
        build_from=known.build_from if factory is known.factory else "parameters",
        shapes=tuple(shapes),
        dtype=torch.float32,
        device=torch.device(device),
    )


class _Stepper:
    """An optimizer whose steps are timed, with all of their inputs prepared.

    Attributes:
        seconds: Time of its second step.
    """

    def __init__(self, subject: Subject) -> None:
        self._harness = OptimizerHarness(subject)
        self._weights = self._harness.weights()
        self._grads = [gradient(weight, 0, place) for place, weight in enumerate(self._weights)]
        for weight, grad in zip(self._weights, self._grads, strict=True):
            weight.grad = grad
        self._optimizer = self._harness.build(self._weights)
        self._batch: dict[str, Tensor] = {}
        if declared_step_inputs(self._optimizer) == "samples":
            self._batch = _batch(self._optimizer, self._weights)
        cost = torch.zeros((), device=subject.device)
        self._closure = (lambda: cost) if subject.closure else None
        self.time(1)
        self.seconds = self.time(1)

    def time(self, steps: int) -> float:
        """Take steps and return the seconds of one."""
        if not self._harness.subject.create_graph:
            return self._clock(range(steps)) / steps
        seconds = 0.0
        for number in range(steps):  # a graph serves one step
            self._harness.provide(self._weights, self._grads)
            seconds += self._clock([number])
        return seconds / steps

    def _clock(self, numbers: Iterable[int]) -> float:
        device = self._harness.subject.device
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        start = time.perf_counter()
        for number in numbers:
            self._take(number)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return time.perf_counter() - start

    def _take(self, number: int) -> None:
        if self._batch:
            step: Callable[..., Any] = self._optimizer.step  # torch's has no further keywords
            step(**self._batch)
        else:
            self._harness.take(self._optimizer, number, self._closure)


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
