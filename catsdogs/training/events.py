"""Configuration, position and events of the training loop."""

import dataclasses
import math

from torch import Tensor


@dataclasses.dataclass(frozen=True)
class TrainConfig:
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
class LoopPosition:
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
    position: LoopPosition
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
    def position(self) -> LoopPosition:
        """The start of the next epoch."""
        return LoopPosition(
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
