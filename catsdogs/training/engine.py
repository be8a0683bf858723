"""The one training loop. It knows a head, an optimizer and features, and tells what happens."""

import dataclasses
import math
import time
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.optim import Optimizer

from catsdogs.training.feature_store import Features


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """A head's answers to every picture of a split; means are over pictures.

    Attributes:
        cost: Mean binary cross-entropy, in nats.
        accuracy: Share of pictures whose logit has the right sign, 0 to 1.
        logits: One per picture, in the split's order, on the CPU.
    """

    cost: float
    accuracy: float
    logits: Tensor


@dataclasses.dataclass(frozen=True)
class StepDone:
    """One iteration: its number from 1, and its batch's mean cost before the update."""

    iteration: int
    cost: float


@dataclasses.dataclass(frozen=True)
class EpochDone:
    """One epoch; epoch 0 is the untrained head.

    Attributes:
        epoch: From 0.
        iteration: The last one done.
        train_cost: Mean over the epoch's pictures of the cost at the moment each was used; for
            epoch 0, of the untrained head.
        val: On the validation split, after the epoch.
        learning_rate: Of the first parameter group, during the epoch.
        seconds: Spent in training steps; evaluation and records are not in it.
    """

    epoch: int
    iteration: int
    train_cost: float
    val: Evaluation
    learning_rate: float
    seconds: float


class DivergedError(Exception):
    """The cost is no longer a finite number; no update was made with it."""

    def __init__(self, what: str, cost: float, epoch: int, iteration: int) -> None:
        super().__init__(f"the {what} became {cost} in epoch {epoch}, iteration {iteration}")
        self.facts = {"what": what, "cost": cost, "epoch": epoch, "iteration": iteration}


def fit(
    head: nn.Module,
    optimizer: Optimizer,
    train: Features,
    val: Features,
    *,
    epochs: int,
    batch_size: int,
    val_batch_size: int,
    seed: int,
) -> Iterator[StepDone | EpochDone]:
    """Train `head` in place, yielding each iteration and each epoch when it is done.

    While the caller holds an event nothing runs, so at an `EpochDone` the head and the optimizer
    can be saved as they stand.

    Raises:
        DivergedError: If a training batch or the validation has a cost that is not finite.
    """
    iteration = 0
    yield EpochDone(
        epoch=0,
        iteration=0,
        train_cost=evaluate(head, train, val_batch_size).cost,
        val=evaluate(head, val, val_batch_size),
        learning_rate=_learning_rate(optimizer),
        seconds=0.0,
    )
    for epoch in range(1, epochs + 1):
        learning_rate, total, seconds = _learning_rate(optimizer), 0.0, 0.0
        for rows in shuffled(len(train), seed, epoch).split(batch_size):
            started = time.perf_counter()
            cost = train_step(head, optimizer, *train.batch(rows))
            seconds += time.perf_counter() - started
            iteration += 1
            total += cost * len(rows)
            yield StepDone(iteration, cost)
            if not math.isfinite(cost):
                raise DivergedError("training cost", cost, epoch, iteration)
        evaluation = evaluate(head, val, val_batch_size)
        yield EpochDone(epoch, iteration, total / len(train), evaluation, learning_rate, seconds)
        if not math.isfinite(evaluation.cost):
            raise DivergedError("validation cost", evaluation.cost, epoch, iteration)


def train_step(head: nn.Module, optimizer: Optimizer, features: Tensor, labels: Tensor) -> float:
    """Update the head once and return the batch's cost; one that is not finite updates nothing."""
    cost = binary_cross_entropy_with_logits(head(features), labels)
    value = cost.item()
    if math.isfinite(value):
        optimizer.zero_grad()
        cost.backward()
        optimizer.step()
    return value


@torch.no_grad()
def evaluate(head: nn.Module, features: Features, batch_size: int) -> Evaluation:
    """Answer every picture and weigh each the same, whatever batch it fell in."""
    batches = torch.arange(len(features)).split(batch_size)
    logits = torch.cat([head(features.batch(rows)[0]).cpu() for rows in batches])
    return Evaluation(
        cost=binary_cross_entropy_with_logits(logits, features.labels).item(),
        accuracy=((logits > 0) == (features.labels > 0.5)).double().mean().item(),
        logits=logits,
    )


def shuffled(count: int, seed: int, epoch: int) -> Tensor:
    """Return the order of an epoch: a permutation that (seed, epoch) alone decides."""
    return torch.from_numpy(np.random.default_rng([seed, epoch]).permutation(count))


def _learning_rate(optimizer: Optimizer) -> float:
    return float(optimizer.param_groups[0]["lr"])
