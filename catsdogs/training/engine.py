"""The one training loop. It knows a head, an optimizer and features, and tells what happens."""

import dataclasses
import math
import time
from collections.abc import Callable, Iterator, Mapping

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.nn.utils import clip_grad_norm_, clip_grad_value_
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from catsdogs.data.manifest import Split
from catsdogs.optim.step_inputs import declared_step_inputs, step_inputs
from catsdogs.training.feature_store import Features
from catsdogs.training.finite_sum import require_finite_sum
from catsdogs.training.ranks import ALONE, Ranks

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
class Position:
    """How far a course has come; with head, optimizer and scheduler, all that goes on from there.

    Attributes:
        epoch: The one in hand, from 1; beyond the last one at the end.
        batch: How many of its batches are done.
        iteration: The last one done.
        total: Sum over the pictures of those batches of their cost when they were used.
        train_cost: Of the epoch before.
        val_cost: After the epoch before.
        seconds: Spent in the training steps of those batches.
        flat: Whether the course has ended because its training cost stood still.
    """

    epoch: int
    batch: int
    iteration: int
    total: float
    train_cost: float
    val_cost: float
    seconds: float
    flat: bool = False


@dataclasses.dataclass(frozen=True)
class StepDone:
    """One iteration.

    Attributes:
        iteration: From 1.
        cost: The mean of its batch, before the update.
        position: To which it led.
        asked_to_stop: Whether one of the processes was, during this step.
    """

    iteration: int
    cost: float
    position: Position
    asked_to_stop: bool = False

    @property
    def is_last_before_stop(self) -> bool:
        """Whether to stop here; a cost that is no number ends the run by itself."""
        return self.asked_to_stop and math.isfinite(self.cost)


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
        flat: Whether it is the last because the training cost stood still.
    """

    epoch: int
    iteration: int
    train_cost: float
    val: Evaluation
    learning_rate: float
    seconds: float
    flat: bool = False

    @property
    def position(self) -> Position:
        """The start of the next epoch."""
        return Position(
            epoch=self.epoch + 1,
            batch=0,
            iteration=self.iteration,
            total=0.0,
            train_cost=self.train_cost,
            val_cost=self.val.cost,
            seconds=0.0,
            flat=self.flat,
        )


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
    *,
    start: Position | None = None,
    asked_to_stop: Callable[[], bool] = lambda: False,
    ranks: Ranks = ALONE,
) -> Iterator[StepDone | EpochDone]:
    """Train `head` in place, yielding each iteration and each epoch when it is done.

    While the caller holds an event nothing runs, so the head, the optimizer and the scheduler can
    be saved as they stand; from there and the event's position another `fit` goes on, to the bit.

    Args:
        head: What is trained.
        optimizer: Over its parameters.
        features: Returns the splits that an epoch trains on and is judged on; asked once for each
            epoch, in order.
        course: How long and in which portions.
        scheduler: Of the learning rate, from epoch to epoch.
        start: Where to go on; from the untrained head without it.
        asked_to_stop: Asked in every step, and passed on in its event to all processes. To stop is
            for the caller.
        ranks: The processes that train together, each on those pictures of a batch that it has;
            then `head` is a `SharedHead`. All of them see the same events.

    Raises:
        DivergedError: If a training batch or the validation has a cost that is not finite.
        ValueError: If the optimizer declares step inputs and the head's logit for a picture does
            not depend on its weights alone.
    """
    if declared_step_inputs(optimizer) is not None:
        require_finite_sum(head, type(optimizer).__name__)
    if start is None:
        untrained = _judge_untrained(head, optimizer, features(0), course, ranks)
        yield untrained
        start = untrained.position
    while start.epoch <= course.epochs and not start.flat:
        _require_finite(start)
        splits = features(start.epoch)
        train = splits["train"]
        learning_rate = _learning_rate(optimizer)
        for block, rows in batches(optimizer, len(train), course, start.epoch, start.batch):
            started = time.perf_counter()
            cost = train_step(head, optimizer, train, block, rows, course, ranks)
            stop = bool(ranks.add_number(float(asked_to_stop())))
            start = dataclasses.replace(
                start,
                batch=start.batch + 1,
                iteration=start.iteration + 1,
                total=start.total + cost * len(rows),
                seconds=start.seconds + time.perf_counter() - started,
            )
            yield StepDone(start.iteration, cost, start, stop)
            if not math.isfinite(cost):
                raise DivergedError("training cost", cost, start.epoch, start.iteration)
        if scheduler is not None:
            scheduler.step()
        train_cost = start.total / len(train)
        change = abs(train_cost - start.train_cost)
        # The cost of epoch 0 is of another kind, see EpochDone.
        compared = start.epoch > 1 and course.stop_when_flat is not None
        done = EpochDone(
            epoch=start.epoch,
            iteration=start.iteration,
            train_cost=train_cost,
            val=evaluate(head, splits["val"], course.val_batch_size, ranks),
            learning_rate=learning_rate,
            seconds=start.seconds,
            flat=compared and change < (course.stop_when_flat or 0.0),
        )
        yield done
        start = done.position
    _require_finite(start)


def _judge_untrained(
    head: nn.Module,
    optimizer: Optimizer,
    splits: Mapping[Split, Features],
    course: Course,
    ranks: Ranks,
) -> EpochDone:
    return EpochDone(
        epoch=0,
        iteration=0,
        train_cost=evaluate(head, splits["train"], course.val_batch_size, ranks).cost,
        val=evaluate(head, splits["val"], course.val_batch_size, ranks),
        learning_rate=_learning_rate(optimizer),
        seconds=0.0,
    )


def _require_finite(position: Position) -> None:
    """Stop after an epoch, not the untrained one, whose validation is no number."""
    if position.epoch > 1 and not math.isfinite(position.val_cost):
        epoch, iteration = position.epoch - 1, position.iteration
        raise DivergedError("validation cost", position.val_cost, epoch, iteration)


def train_step(
    head: nn.Module,
    optimizer: Optimizer,
    train: Features,
    block: int,
    rows: Tensor,
    course: Course,
    ranks: Ranks = ALONE,
) -> float:
    """Update the head once and return the batch's cost; one that is not finite updates nothing."""
    features, labels = train.batch(train.held(rows))
    logits = head(features)
    logits.retain_grad()  # one number per picture, for an optimizer that takes samples
    cost = binary_cross_entropy_with_logits(logits, labels, reduction="sum") / len(rows)
    value = ranks.add_number(cost.item())
    if math.isfinite(value):
        optimizer.zero_grad()
        cost.backward()
        if course.clip_value is not None:
            clip_grad_value_(head.parameters(), course.clip_value)
        if course.clip_norm is not None:
            clip_grad_norm_(head.parameters(), course.clip_norm)
        inputs = step_inputs(
            optimizer, block=block, samples=rows, features=features, logit_grad=logits.grad
        )
        optimizer.step(**inputs)
    return value


def batches(
    optimizer: Optimizer, count: int, course: Course, epoch: int, done: int = 0
) -> Iterator[tuple[int, Tensor]]:
    """Yield the number and the rows of each batch of an epoch, in the order of the epoch.

    Batches are dealt anew in every epoch, unless the optimizer keeps one gradient for each: then
    they are dealt once, and only their order changes. The first `done` of them are left out.
    """
    recurring = declared_step_inputs(optimizer) == "block"
    blocks = shuffled(count, course.seed, 0 if recurring else epoch).split(course.batch_size)
    order = shuffled(len(blocks), course.seed, epoch).tolist() if recurring else range(len(blocks))
    for block in order[done:]:
        yield block, blocks[block]


@torch.no_grad()
def evaluate(
    head: nn.Module, features: Features, batch_size: int, ranks: Ranks = ALONE
) -> Evaluation:
    """Answer every picture and weigh each the same, whatever batch or process it fell to."""
    logits = torch.zeros(len(features))
    for rows in features.held(torch.arange(len(features))).split(batch_size):
        logits[rows] = head(features.batch(rows)[0]).cpu()
    ranks.add(logits)  # each picture is another's zero
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
