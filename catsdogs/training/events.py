"""Configuration, position and events of the training loop."""

import dataclasses
import math

from torch import Tensor


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """Length, batch sizes and gradient clipping of a training.

    Attributes:
        epochs: Maximum number of epochs.
        batch_size: Images per training step; the last batch of an epoch may be smaller.
        val_batch_size: Images per evaluation step.
        seed: Seed of the order of the images.
        clip_value: Clip every gradient entry to this absolute value; None for no clipping.
        clip_norm: Clip the norm of all gradients together to this value; None for no clipping.
        stop_when_flat: Stop after an epoch that changes the training cost by less than this; None
            to run every epoch.
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
    """A head's predictions for a split; means are over images.

    Attributes:
        cost: Mean binary cross-entropy, in nats.
        accuracy: Share of images whose logit has the right sign, 0 to 1.
        logits: Shape (images,), in the split's order, on the CPU.
    """

    cost: float
    accuracy: float
    logits: Tensor


@dataclasses.dataclass(frozen=True)
class LoopPosition:
    """Progress of the loop; with head, optimizer and scheduler it suffices to resume.

    Attributes:
        epoch: Current epoch, from 1; one more than the last epoch at the end.
        batch: Number of its batches that are done.
        iteration: Last iteration that is done.
        total: Sum of the training costs of the images in these batches, each when it was used.
        train_cost: Training cost of the previous epoch.
        val_cost: Validation cost after the previous epoch.
        seconds: Time spent in the training steps of these batches.
        flat: Whether training has stopped because of `stop_when_flat`.
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
    """Event of one iteration.

    Attributes:
        iteration: From 1.
        cost: Mean cost of its batch, before the update.
        position: Position after it.
        stop_requested: Whether any process has received a signal during this step.
    """

    iteration: int
    cost: float
    position: LoopPosition
    stop_requested: bool = False

    @property
    def is_last_before_stop(self) -> bool:
        """Whether to stop here; a cost that is not finite ends the run anyway."""
        return self.stop_requested and math.isfinite(self.cost)


@dataclasses.dataclass(frozen=True)
class EpochDone:
    """Event of one epoch; epoch 0 is the untrained head.

    Attributes:
        epoch: From 0.
        iteration: Last iteration that is done.
        train_cost: Mean cost of the training images, each when it was used; for epoch 0, with the
            untrained head.
        val: Evaluation on the validation split after the epoch.
        learning_rate: Learning rate of the first parameter group during the epoch.
        seconds: Time spent in training steps, without evaluation and records.
        flat: Whether it is the last epoch because of `stop_when_flat`.
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
        """Start of the next epoch."""
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
    """The training or validation cost is not finite; no update was made with it.

    Attributes:
        facts: What diverged, its value, and the epoch and iteration, for the record.
    """

    def __init__(self, what: str, cost: float, epoch: int, iteration: int) -> None:
        super().__init__(f"the {what} became {cost} in epoch {epoch}, iteration {iteration}")
        self.facts = {"what": what, "cost": cost, "epoch": epoch, "iteration": iteration}
