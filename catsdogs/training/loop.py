"""The one training loop. It knows a head, an optimizer and features, and tells what happens."""

import dataclasses
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
from catsdogs.training.events import (
    DivergedError,
    EpochDone,
    Evaluation,
    LoopPosition,
    StepDone,
    TrainConfig,
)
from catsdogs.training.finite_sum import require_finite_sum

FeaturesOf = Callable[[int], Mapping[Split, Features]]


def fit(
    head: nn.Module,
    optimizer: Optimizer,
    features: FeaturesOf,
    train_config: TrainConfig,
    scheduler: LRScheduler | None = None,
    *,
    start: LoopPosition | None = None,
    asked_to_stop: Callable[[], bool] = lambda: False,
    process_group: ProcessGroup = ALONE,
) -> Iterator[StepDone | EpochDone]:
    """Train `head` in place, yielding each iteration and each epoch when it is done.

    While the caller holds an event nothing runs, so the head, the optimizer and the scheduler can
    be saved as they stand; from there and the event's position another `fit` goes on, to the bit.

    Args:
        head: What is trained.
        optimizer: Over its parameters.
        features: Returns the splits that an epoch trains on and is judged on; asked once for each
            epoch, in order.
        train_config: How long and in which portions.
        scheduler: Of the learning rate, from epoch to epoch.
        start: Where to go on; from the untrained head without it.
        asked_to_stop: Called in every step; its answer is in the step's event, in all processes.
            Stopping is up to the caller.
        process_group: The processes that train together, each on its own images of a batch; then
            `head` is a `SharedHead`. All of them see the same events.

    Raises:
        DivergedError: If a training batch or the validation has a cost that is not finite.
        ValueError: If the optimizer declares step inputs and the head's logit for a picture does
            not depend on its weights alone.
    """
    if declared_step_inputs(optimizer) is not None:
        require_finite_sum(head, type(optimizer).__name__)
    if start is None:
        untrained = _judge_untrained(head, optimizer, features(0), train_config, process_group)
        yield untrained
        start = untrained.position
    while start.epoch <= train_config.epochs and not start.flat:
        _require_finite(start)
        splits = features(start.epoch)
        train = splits["train"]
        learning_rate = _learning_rate(optimizer)
        for block, rows in batches(optimizer, len(train), train_config, start.epoch, start.batch):
            started = time.perf_counter()
            cost = train_step(head, optimizer, train, block, rows, train_config, process_group)
            stop = bool(process_group.all_reduce_number(float(asked_to_stop())))
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


def _judge_untrained(
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


def _require_finite(position: LoopPosition) -> None:
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
    train_config: TrainConfig,
    process_group: ProcessGroup = ALONE,
) -> float:
    """Update the head once and return the batch's cost; one that is not finite updates nothing."""
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
        optimizer.step(**inputs)
    return value


def batches(
    optimizer: Optimizer, count: int, train_config: TrainConfig, epoch: int, done: int = 0
) -> Iterator[tuple[int, Tensor]]:
    """Yield the number and the rows of each batch of an epoch, in the order of the epoch.

    Batches are dealt anew in every epoch, unless the optimizer keeps one gradient for each: then
    they are dealt once, and only their order changes. The first `done` of them are left out.
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
    """Answer every picture and weigh each the same, whatever batch or process it fell to."""
    logits = torch.zeros(len(features))
    for rows in features.held(torch.arange(len(features))).split(batch_size):
        logits[rows] = head(features.batch(rows)[0]).cpu()
    process_group.all_reduce(logits)  # each picture is another's zero
    return Evaluation(
        cost=binary_cross_entropy_with_logits(logits, features.labels).item(),
        accuracy=((logits > 0) == (features.labels > 0.5)).double().mean().item(),
        logits=logits,
    )


def _learning_rate(optimizer: Optimizer) -> float:
    return float(optimizer.param_groups[0]["lr"])
