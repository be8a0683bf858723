"""Fit the line with an optimizer of torch's kind, one small batch after the other."""

import dataclasses
import itertools
import math
import time
from collections.abc import Callable
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import StepLR

from catsdogs.regression.data import Floats, Line, Problem, epochs, start

MakeOptimizer = Callable[[list[Tensor]], Optimizer]
Stopped = Literal["flat", "epochs", "diverged"]

FLAT = 1e-6  # a change of the cost between two epochs that ends a fit


@dataclasses.dataclass(frozen=True)
class Fit:
    """What an optimizer came to.

    Attributes:
        line: At the end.
        costs: Mean squared error on all training rows, after each epoch.
        stopped: Why: the cost went `flat`, the `epochs` were used up, or it `diverged`, which says
            that the last cost is no finite number.
        seconds: From the first draw to the last cost.
    """

    line: Line
    costs: list[float]
    stopped: Stopped
    seconds: float


def fit(
    problem: Problem,
    make_optimizer: MakeOptimizer,
    *,
    clip_value: float | None,
    max_epochs: int,
    lr_step: int | None,
    after_epoch: Callable[[], object] = lambda: None,
) -> Fit:
    """Fit the line, from the same start and with the same batches for every optimizer.

    Args:
        problem: Its training rows are used.
        make_optimizer: Builds the optimizer of one tensor, slope and intercept in float64.
        clip_value: Every gradient entry is cut to this absolute value, if given.
        max_epochs: At most so many.
        lr_step: Epochs after which the learning rate falls to a tenth; None keeps it constant.
        after_epoch: Is called when an epoch is done.
    """
    started = time.perf_counter()
    random = problem.random()
    weight = torch.tensor(start(random), dtype=torch.float64)
    weight.grad = torch.zeros_like(weight)
    optimizer = make_optimizer([weight])
    schedule = None if lr_step is None else StepLR(optimizer, lr_step)
    costs: list[float] = []
    for batches in itertools.islice(epochs(problem.train, random), max_epochs):
        _take_steps(optimizer, weight, weight.grad, batches, clip_value)
        if schedule is not None:
            schedule.step()
        costs.append(problem.train.cost(_line(weight)))
        after_epoch()
        if stop_reason(costs):
            break
    seconds = time.perf_counter() - started
    return Fit(_line(weight), costs, stop_reason(costs) or "epochs", seconds)


def stop_reason(costs: list[float]) -> Stopped | None:
    """Return why a fit with these costs goes no further, or None where it does."""
    if not math.isfinite(costs[-1]):
        return "diverged"
    return "flat" if len(costs) > 1 and abs(costs[-2] - costs[-1]) < FLAT else None


def gradient_terms(batches: Floats) -> tuple[Tensor, Tensor]:
    """Return what the gradient of each batch's mean squared error is made of.

    It is `matrix @ weight + offset`. Autograd gives the same in seven times the time, on tensors
    of two numbers.

    Args:
        batches: (batches, 4), see `catsdogs.regression.data.epochs`.

    Returns:
        The matrices, (batches, 2, 2), and the offsets, (batches, 2).
    """
    squares, carats, products, prices = batches.T
    ones = np.ones_like(carats)
    matrices = np.array([[squares, carats], [carats, ones]]).transpose(2, 0, 1)
    offsets = np.array([products, prices]).T
    return torch.from_numpy(2 * matrices), torch.from_numpy(-2 * offsets)


def _take_steps(
    optimizer: Optimizer, weight: Tensor, grad: Tensor, batches: Floats, clip_value: float | None
) -> None:
    matrices, offsets = gradient_terms(batches)
    for matrix, offset in zip(matrices.unbind(), offsets.unbind(), strict=True):
        torch.addmv(offset, matrix, weight, out=grad)
        if clip_value is not None:
            grad.clamp_(-clip_value, clip_value)
        optimizer.step()


def _line(weight: Tensor) -> Line:
    return Line(*weight.tolist())
