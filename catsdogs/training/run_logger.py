"""Follow a run while it trains: to the records, TensorBoard, the checkpoints and the terminal."""

import math
import signal
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from tqdm import tqdm

from catsdogs.io.progress import progress
from catsdogs.runs.writer import RunRecord
from catsdogs.training.checkpoint import TrainState, save_checkpoint
from catsdogs.training.events import DivergedError, EpochDone, LoopPosition, StepDone
from catsdogs.training.resume import RunProgress
from catsdogs.training.signals import Interrupted, Interruption
from catsdogs.training.tensorboard import Status, TensorBoardTracker

LINE = "{:>5}  {:>10}  {:>10}  {:>12}  {:>7}"
HEADER = LINE.format("epoch", "train cost", "val cost", "val accuracy", "seconds")


class RunLogger:
    """Write down every event of `fit`, and keep the best and the last checkpoint.

    The best epoch is the first with the highest validation accuracy; the untrained head counts as
    epoch 0, so `best.pt` always exists. What a checkpoint says has been done is in the series by
    then, and `last.pt` is written last: from it the run goes on, whenever it was cut off.

    Args:
        record: Of the run; it holds the steps and epochs of an earlier process.
        tracker: New; it is told these too.
        train_state: What is saved.
        run_progress: How far the run has come; kept up to date.
        checkpoint_facts: Tells what the checkpoint of an epoch holds besides.
        started: When this process began with the run, by `time.perf_counter`.
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
        self._repeat()

    def follow(
        self, events: Iterable[StepDone | EpochDone], *, iterations: int, interruption: Interruption
    ) -> Status:
        """Consume the events of a run of that many iterations and tell how it ended.

        Raises:
            Interrupted: After the step in which that was asked for, once all is saved.
        """
        status: Status = "finished"
        before = self.run_progress.position.iteration if self.run_progress.position else 0
        with (
            progress(total=iterations, initial=before, description="training", unit="step") as bar,
            interruption.put_off(),
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
            if interruption.asked:  # too late for a step to see it
                raise Interrupted(interruption.asked)
        return status

    @property
    def total_seconds(self) -> float:
        """Seconds spent on the run so far, by all processes in turn."""
        return self.run_progress.seconds + time.perf_counter() - self._since

    def _repeat(self) -> None:
        """Tell the tracker and the terminal what an earlier process has done."""
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
            self._save("best.pt")
        self._save("last.pt")
        self._record_progress()
        self._show_epoch(row)

    def _record_progress(self) -> None:
        run_progress = self.run_progress
        self._record.update(
            best=run_progress.best, best_cost=run_progress.best_cost, last=run_progress.last
        )

    def _show_epoch(self, row: Sequence[float]) -> None:
        """Show a row of `EPOCH_COLUMNS`."""
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
        self._save("last.pt")
        raise Interrupted(
            interruption.asked or signal.SIGTERM,
            f"interrupted, and saved after iteration {position.iteration}",
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
        }
        save_checkpoint(self.directory / name, self._train_state, facts)
