"""Logging of a run's events to its records, TensorBoard, checkpoints and the terminal."""

import math
import signal
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from tqdm import tqdm

from catsdogs.io.progress import progress
from catsdogs.runs.schema import BEST_CHECKPOINT, LAST_CHECKPOINT
from catsdogs.runs.writer import RunRecord
from catsdogs.training.checkpoint import TrainState, save_checkpoint
from catsdogs.training.events import DivergedError, EpochDone, LoopPosition, StepDone
from catsdogs.training.resume import RunProgress
from catsdogs.training.signals import Interrupted, Interruption
from catsdogs.training.tensorboard import Status, TensorBoardTracker

LINE = "{:>5}  {:>10}  {:>10}  {:>12}  {:>7}"
HEADER = LINE.format("epoch", "train cost", "val cost", "val accuracy", "seconds")


class RunLogger:
    """Log every event of `fit`, and keep the best and the last checkpoint.

    The best epoch is the first with the highest validation accuracy; the untrained head counts as
    epoch 0, so `best.pt` always exists. The series are written before the checkpoint that counts
    their rows, and `last.pt` comes last: the run can be resumed from it after any interruption.

    Args:
        record: Records of the run, with the steps and epochs of an earlier process.
        tracker: A new tracker; these steps and epochs are added to it again.
        train_state: Saved in the checkpoints.
        run_progress: Progress of the run; updated in place.
        checkpoint_facts: Returns the further entries of an epoch's checkpoint.
        started: `time.perf_counter()` when this process started the run.
    """

    def __init__(
        self,
        record: RunRecord,
        tracker: TensorBoardTracker,
        train_state: TrainState,
        run_progress: RunProgress,
        checkpoint_facts: Callable[[int], dict[str, Any]],
        started: float,
    ) -> None:
        self.directory = record.directory
        self.run_progress = run_progress
        self._record = record
        self._tracker = tracker
        self._train_state = train_state
        self._checkpoint_facts = checkpoint_facts
        self._since = started
        self._best_accuracy = -math.inf
        self._replay()

    def follow(
        self, events: Iterable[StepDone | EpochDone], *, iterations: int, interruption: Interruption
    ) -> Status:
        """Consume the events of a run and return its status.

        Args:
            events: From `fit`.
            iterations: Total iterations of the run, for the progress bar.
            interruption: Defers a signal until the current step is done.

        Raises:
            Interrupted: On a signal, after the current step and once everything is saved.
        """
        status: Status = "finished"
        before = self.run_progress.position.iteration if self.run_progress.position else 0
        with (
            progress(total=iterations, initial=before, description="training", unit="step") as bar,
            interruption.defer(),
        ):
            try:
                for event in events:
                    if isinstance(event, StepDone):
                        self._record.add_step(event.iteration, event.cost)
                        self._tracker.add_step(event.iteration, event.cost)
                        bar.update()
                        if event.is_last_before_stop:
                            self._stop(event.position, interruption)
                    else:
                        self._add_epoch(event)
            except DivergedError as error:
                self._record.update(diverged=error.facts)
                tqdm.write(f"stopped: {error}. Try a smaller optimizer.lr.")
                status = "diverged"
            if interruption.received:  # after the last step
                raise Interrupted(interruption.received)
        return status

    @property
    def total_seconds(self) -> float:
        """Seconds spent on the run so far, including earlier processes."""
        return self.run_progress.seconds + time.perf_counter() - self._since

    def _replay(self) -> None:
        """Show an earlier process's steps and epochs in TensorBoard and the terminal."""
        tqdm.write(HEADER)
        for iteration, cost in self._record.kept_steps:
            self._tracker.add_step(int(iteration), cost)
        for row in self._record.kept_epochs:
            self._show_epoch(row)
        if self._record.kept_epochs:
            self._record_progress()

    def _add_epoch(self, done: EpochDone) -> None:
        last = {
            "epoch": done.epoch,
            "train_cost": done.train_cost,
            "val_cost": done.val.cost,
            "val_accuracy": done.val.accuracy,
        }
        better = self.run_progress.add_epoch(last, done.position, done.seconds)
        row = (*last.values(), done.learning_rate, done.seconds)
        self._record.add_epoch(row)
        if better:
            self._save(BEST_CHECKPOINT)
        self._save(LAST_CHECKPOINT)
        self._record_progress()
        self._show_epoch(row)

    def _record_progress(self) -> None:
        run_progress = self.run_progress
        self._record.update(
            best=run_progress.best, best_cost=run_progress.best_cost, last=run_progress.last
        )

    def _show_epoch(self, row: Sequence[float]) -> None:
        """Show a row of `EPOCH_COLUMNS` in TensorBoard and the terminal."""
        epoch, train_cost, val_cost, val_accuracy, learning_rate, seconds = row
        epoch = int(epoch)
        self._best_accuracy, before = max(self._best_accuracy, val_accuracy), self._best_accuracy
        self._tracker.add_epoch(
            epoch, val_cost=val_cost, val_accuracy=val_accuracy, learning_rate=learning_rate
        )
        line = LINE.format(
            epoch, f"{train_cost:.4f}", f"{val_cost:.4f}", f"{val_accuracy:.1%}", f"{seconds:.1f}"
        )
        tqdm.write(f"{line}  best" if self._best_accuracy > before else line)

    def _stop(self, position: LoopPosition, interruption: Interruption) -> None:
        self.run_progress.position = position
        self._record.flush()
        self._save(LAST_CHECKPOINT)
        raise Interrupted(
            interruption.received or signal.SIGTERM,
            f"interrupted; saved after iteration {position.iteration}",
        )

    def _save(self, name: str) -> None:
        run_progress = self.run_progress
        run_progress.seconds, self._since = self.total_seconds, time.perf_counter()
        assert run_progress.position is not None
        facts = {
            **self._checkpoint_facts(run_progress.last["epoch"]),
            **run_progress.last,
            "iteration": run_progress.position.iteration,
            **run_progress.facts(),
            "file": name,
            "series": self._record.digests,
        }
        save_checkpoint(self.directory / name, self._train_state, facts)
