"""The training loop, as a generator of step and epoch events."""

import dataclasses
import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.nn.utils import clip_grad_norm_, clip_grad_value_
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from catsdogs.compute.distributed import ALONE, ProcessGroup
from catsdogs.data.manifest import Split
from catsdogs.data.order import epoch_permutation
from catsdogs.features.feature_store import Features
from catsdogs.optim.step_inputs import declared_step_inputs, step_inputs
from catsdogs.training.blame import blaming
from catsdogs.training.events import (
    DivergedError,
    EpochDone,
    Evaluation,
    LoopPosition,
    StepDone,
    TrainConfig,
)
from catsdogs.training.finite_sum import require_finite_sum

log = logging.getLogger(__name__)

FeaturesOf = Callable[[int], Mapping[Split, Features]]


def fit(
    head: nn.Module,
    optimizer: Optimizer,
    features: FeaturesOf,
    train_config: TrainConfig,
    scheduler: LRScheduler | None = None,
    *,
    start: LoopPosition | None = None,
    stop_requested: Callable[[], bool] = lambda: False,
    process_group: ProcessGroup = ALONE,
) -> Iterator[StepDone | EpochDone]:
    """Train `head` in place and yield an event after every iteration and epoch.

    The loop is suspended while the caller handles an event, so head, optimizer and scheduler can
    be saved then. From this state and the event's position, `fit` resumes with identical bits.

    Args:
        head: Changed in place.
        optimizer: Optimizer of the head's parameters.
        features: Returns the training and validation split of an epoch; called once for each epoch,
            in order.
        train_config: Length, batch sizes and gradient clipping.
        scheduler: Stepped after every epoch.
        start: Position to resume from; None evaluates the untrained head first.
        stop_requested: Called in every step. The step's event has the result, combined over all
            processes; the caller decides whether to stop.
        process_group: The processes that train together, each on its own images of a batch; with
            several, `head` is a `SharedHead`. All processes get the same events.

    Yields:
        `StepDone` after each iteration, `EpochDone` after each epoch.

    Raises:
        DivergedError: If the cost of a training batch or of the validation is not finite.
        ValueError: If the optimizer keeps a table of gradients and the head's output for an image
            does not depend on its weights alone.
    """
    if declared_step_inputs(optimizer) is not None:
        require_finite_sum(head, type(optimizer).__name__)
    if start is None:
        untrained = _evaluate_untrained(head, optimizer, features(0), train_config, process_group)
        yield untrained
        start = untrained.position
    still_said = False
    while start.epoch <= train_config.epochs and not start.flat:
        _require_finite(start)
        splits = features(start.epoch)
        train = splits["train"]
        learning_rate = _learning_rate(optimizer)
        # Of a whole epoch only: the rest of an interrupted one may be a single step.
        before = [] if start.batch else [weight.detach().clone() for weight in head.parameters()]
        for block, rows in batches(optimizer, len(train), train_config, start.epoch, start.batch):
            started = time.perf_counter()
            cost = train_step(head, optimizer, train, block, rows, train_config, process_group)
            stop = bool(process_group.all_reduce_number(float(stop_requested())))
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
        if before and learning_rate and not still_said and _are_equal(before, head):
            still_said = True
            if process_group.is_main:
                name = type(optimizer).__name__
                log.warning("%s: no weight changed in epoch %d; check its step", name, start.epoch)
        if scheduler is not None:
            with blaming("scheduler", scheduler, "step"):
                scheduler.step()
        train_cost = start.total / len(train)
        change = abs(train_cost - start.train_cost)
        # Epoch 0 has the cost of the untrained head instead, see EpochDone.
        compared = start.epoch > 1 and train_config.stop_when_flat is not None
        done = EpochDone(
            epoch=start.epoch,
            iteration=start.iteration,
            train_cost=train_cost,
            val=evaluate(head, splits["val"], train_config.val_batch_size, process_group),
            learning_rate=learning_rate,
            seconds=start.seconds,
            flat=compared and change < (train_config.stop_when_flat or 0.0),
        )
        yield done
        start = done.position
    _require_finite(start)


def _evaluate_untrained(
    head: nn.Module,
    optimizer: Optimizer,
    splits: Mapping[Split, Features],
    train_config: TrainConfig,
    process_group: ProcessGroup,
) -> EpochDone:
    return EpochDone(
        epoch=0,
        iteration=0,
        train_cost=evaluate(head, splits["train"], train_config.val_batch_size, process_group).cost,
        val=evaluate(head, splits["val"], train_config.val_batch_size, process_group),
        learning_rate=_learning_rate(optimizer),
        seconds=0.0,
    )


def _are_equal(before: list[Tensor], head: nn.Module) -> bool:
    return all(map(torch.equal, before, head.parameters()))


def _require_finite(position: LoopPosition) -> None:
    """Stop after a trained epoch whose validation cost is not finite."""
    if position.epoch > 1 and not math.isfinite(position.val_cost):
        epoch, iteration = position.epoch - 1, position.iteration
        raise DivergedError("validation cost", position.val_cost, epoch, iteration)


def train_step(
    head: nn.Module,
    optimizer: Optimizer,
    train: Features,
    block: int,
    rows: Tensor,
    train_config: TrainConfig,
    process_group: ProcessGroup = ALONE,
) -> float:
    """Update the head in place on one batch and return the batch's cost.

    A cost that is not finite leaves head and optimizer unchanged.

    Args:
        head: Changed in place.
        optimizer: Changed in place.
        train: The training split.
        block: Number of the batch, for an optimizer with a table of one gradient per batch.
        rows: Rows of the batch in the split.
        train_config: Gradient clipping.
        process_group: The processes that train together.
    """
    features, labels = train.batch(train.held(rows))
    logits = head(features)
    logits.retain_grad()  # one number per picture, for an optimizer that takes samples
    cost = binary_cross_entropy_with_logits(logits, labels, reduction="sum") / len(rows)
    value = process_group.all_reduce_number(cost.item())
    if math.isfinite(value):
        optimizer.zero_grad()
        cost.backward()
        if train_config.clip_value is not None:
            clip_grad_value_(head.parameters(), train_config.clip_value)
        if train_config.clip_norm is not None:
            clip_grad_norm_(head.parameters(), train_config.clip_norm)
        inputs = step_inputs(
            optimizer, block=block, samples=rows, features=features, logit_grad=logits.grad
        )
        with blaming("optimizer", optimizer, "step"):
            optimizer.step(**inputs)
    return value


def batches(
    optimizer: Optimizer, count: int, train_config: TrainConfig, epoch: int, done: int = 0
) -> Iterator[tuple[int, Tensor]]:
    """Yield the number and the rows of each batch of an epoch, in the epoch's order.

    The images are shuffled into new batches in every epoch. For an optimizer with a table of one
    gradient per batch, the batches stay the same and only their order is shuffled.

    Args:
        optimizer: The optimizer of the run.
        count: Number of training images.
        train_config: Batch size and seed.
        epoch: From 1.
        done: Number of batches to skip.
    """
    recurring = declared_step_inputs(optimizer) == "block"
    blocks = epoch_permutation(count, train_config.seed, 0 if recurring else epoch).split(
        train_config.batch_size
    )
    order = (
        epoch_permutation(len(blocks), train_config.seed, epoch).tolist()
        if recurring
        else range(len(blocks))
    )
    for block in order[done:]:
        yield block, blocks[block]


@torch.no_grad()
def evaluate(
    head: nn.Module, features: Features, batch_size: int, process_group: ProcessGroup = ALONE
) -> Evaluation:
    """Return the predictions for every image; batches and processes do not affect the means.

    Args:
        head: The head, in the mode it is given.
        features: The split.
        batch_size: Images per forward pass.
        process_group: The processes that share the images; all get the whole evaluation.
    """
    logits = torch.zeros(len(features))
    for rows in features.held(torch.arange(len(features))).split(batch_size):
        logits[rows] = head(features.batch(rows)[0]).cpu()
    process_group.all_reduce(logits)  # zero in every process but the one that has the image
    return Evaluation(
        cost=binary_cross_entropy_with_logits(logits, features.labels).item(),
        accuracy=((logits > 0) == (features.labels > 0.5)).double().mean().item(),
        logits=logits,
    )


def _learning_rate(optimizer: Optimizer) -> float:
    return float(optimizer.param_groups[0]["lr"])
