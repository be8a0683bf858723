"""TensorBoard's view of a run: the same numbers as in the records, under the same few tags."""

from pathlib import Path
from typing import Self

from torch.utils.tensorboard import SummaryWriter

from catsdogs.training.engine import EpochDone, StepDone


class TensorBoardTracker:
    """Write `train/cost` per iteration and `val/cost`, `val/accuracy` per epoch.

    Every run uses the same tags, so runs overlay. Use as a context manager.
    """

    def __init__(self, directory: Path) -> None:
        self._writer = SummaryWriter(str(directory))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._writer.close()

    def add_step(self, step: StepDone) -> None:
        """Add one iteration's training cost."""
        self._writer.add_scalar("train/cost", step.cost, step.iteration)

    def add_epoch(self, done: EpochDone) -> None:
        """Add one epoch's validation and flush, so that a watcher sees it now."""
        self._writer.add_scalar("val/cost", done.val.cost, done.epoch)
        self._writer.add_scalar("val/accuracy", done.val.accuracy, done.epoch)
        self._writer.add_scalar("train/learning_rate", done.learning_rate, done.epoch)
        self._writer.flush()
