"""The one training loop. It knows a head, an optimizer and features, and tells what happens."""

import dataclasses
import math
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.nn.utils import clip_grad_norm_, clip_grad_value_
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from catsdogs.data.manifest import Split
from catsdogs.optim.saga import block_sizes
from catsdogs.training.feature_store import Features
from catsdogs.training.finite_sum import require_finite_sum

FeaturesOf = Callable[[int], Mapping[Split, Features]]


@dataclasses.dataclass(frozen=True)
class Course:
    """How long and in which portions a head is trained.

    Attributes:
        epochs: At most so many.
        batch_size: Pictures per training step; the last batch of an epoch may be smaller.
        val_batch_size: Pictures per evaluation step.
        seed: Decides the order of the pictures.
        clip_value: Every gradient entry is cut to this absolute value, if given.
        clip_norm: The gradient of all parameters together is shortened to this norm, if given.
        stop_when_flat: Stop after an epoch whose training cost differs from the one before by less
            than this, if given.
    """

    epochs: int
    batch_size: int
    val_batch_size: int
    seed: int
    clip_value: float | None = None
    clip_norm: float | None = None
    stop_when_flat: float | None = None


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
    features: FeaturesOf,
    course: Course,
    scheduler: LRScheduler | None = None,
) -> Iterator[StepDone | EpochDone]:
    """Train `head` in place, yielding each iteration and each epoch when it is done.

    While the caller holds an event nothing runs, so at an `EpochDone` the head, the optimizer and
    the scheduler can be saved as they stand.

    Args:
        head: What is trained.
        optimizer: Over its parameters.
        features: Returns the splits that an epoch trains on and is judged on; asked once for each
            epoch, in order.
        course: How long and in which portions.
        scheduler: Of the learning rate, from epoch to epoch.

    Raises:
        DivergedError: If a training batch or the validation has a cost that is not finite.
        ValueError: If the optimizer `wants` to know its pictures and the head's answer to one does
            not depend on its weights alone.
    """
    if wants(optimizer) is not None:
        require_finite_sum(head, type(optimizer).__name__)
    iteration = 0
    splits = features(0)
    train_cost = evaluate(head, splits["train"], course.val_batch_size).cost
    yield EpochDone(
        epoch=0,
        iteration=0,
        train_cost=train_cost,
        val=evaluate(head, splits["val"], course.val_batch_size),
        learning_rate=_learning_rate(optimizer),
        seconds=0.0,
    )
    for epoch in range(1, course.epochs + 1):
        splits = features(epoch)
        train = splits["train"]
        learning_rate, total, seconds = _learning_rate(optimizer), 0.0, 0.0
        for block, rows in batches(optimizer, len(train), course, epoch):
            started = time.perf_counter()
            cost = train_step(head, optimizer, train, block, rows, course)
            seconds += time.perf_counter() - started
            iteration += 1
            total += cost * len(rows)
            yield StepDone(iteration, cost)
            if not math.isfinite(cost):
                raise DivergedError("training cost", cost, epoch, iteration)
        if scheduler is not None:
            scheduler.step()
        change, train_cost = abs(total / len(train) - train_cost), total / len(train)
        evaluation = evaluate(head, splits["val"], course.val_batch_size)
        yield EpochDone(epoch, iteration, train_cost, evaluation, learning_rate, seconds)
        if not math.isfinite(evaluation.cost):
            raise DivergedError("validation cost", evaluation.cost, epoch, iteration)
        # The cost of epoch 0 is of another kind, see EpochDone.
        if epoch > 1 and course.stop_when_flat is not None and change < course.stop_when_flat:
            return


def train_step(
    head: nn.Module,
    optimizer: Optimizer,
    train: Features,
    block: int,
    rows: Tensor,
    course: Course,
) -> float:
    """Update the head once and return the batch's cost; one that is not finite updates nothing."""
    features, labels = train.batch(rows)
    logits = head(features)
    logits.retain_grad()  # one number per picture, for an optimizer that wants it
    cost = binary_cross_entropy_with_logits(logits, labels)
    value = cost.item()
    if math.isfinite(value):
        optimizer.zero_grad()
        cost.backward()
        if course.clip_value is not None:
            clip_grad_value_(head.parameters(), course.clip_value)
        if course.clip_norm is not None:
            clip_grad_norm_(head.parameters(), course.clip_norm)
        wanted: dict[str | None, dict[str, Any]] = {
            None: {},
            "block": {"block": block},
            "samples": {"samples": rows, "features": features, "logit_grad": logits.grad},
        }
        optimizer.step(**wanted[wants(optimizer)])
    return value


def wants(optimizer: Optimizer | type[Optimizer]) -> str | None:
    """Return what an optimizer declares that every step must tell it: `block`, `samples` or None.

    It does so by an attribute of that name. `block` also asks for batches that keep their members.
    """
    return getattr(optimizer, "wants", None)


def what_it_must_know(optimizer: type[Optimizer], count: int, batch_size: int) -> dict[str, Any]:
    """Return the arguments that an optimizer needs to be built because of what it `wants`.

    Args:
        optimizer: Its class.
        count: The number of training pictures.
        batch_size: Of the training steps.
    """
    known: dict[str | None, dict[str, Any]] = {
        None: {},
        "block": {"block_sizes": block_sizes(count, batch_size)},
        "samples": {"num_samples": count},
    }
    return known[wants(optimizer)]


def batches(
    optimizer: Optimizer, count: int, course: Course, epoch: int
) -> Iterator[tuple[int, Tensor]]:
    """Yield the number and the rows of each batch of an epoch, in the order of the epoch.

    Batches are dealt anew in every epoch, unless the optimizer keeps one gradient for each: then
    they are dealt once, and only their order changes.
    """
    if wants(optimizer) != "block":
        yield from enumerate(shuffled(count, course.seed, epoch).split(course.batch_size))
        return
    blocks = shuffled(count, course.seed, 0).split(course.batch_size)
    for block in shuffled(len(blocks), course.seed, epoch).tolist():
        yield block, blocks[block]


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
