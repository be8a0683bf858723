"""Follow a run while it trains: to the records, TensorBoard, the checkpoints and the terminal."""

import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from torch import nn
from torch.optim import Optimizer
from tqdm import tqdm

from catsdogs.progress import progress
from catsdogs.records import RunRecord
from catsdogs.training.checkpoint import save_checkpoint
from catsdogs.training.engine import DivergedError, EpochDone, StepDone
from catsdogs.training.tracking import Status, TensorBoardTracker

LINE = "{:>5}  {:>10}  {:>10}  {:>12}  {:>7}"
HEADER = LINE.format("epoch", "train cost", "val cost", "val accuracy", "seconds")


class Journal:
    """Write down every event of `fit`, and keep the best and the last checkpoint.

    The best epoch is the first with the highest validation accuracy; the untrained head counts as
    epoch 0, so `best.pt` always exists. `checkpoint_facts` tells what the
    checkpoint of an epoch holds besides head, optimizer and results.
    """

    def __init__(
        self,
        directory: Path,
        record: RunRecord,
        tracker: TensorBoardTracker,
        head: nn.Module,
        optimizer: Optimizer,
        checkpoint_facts: Callable[[int], dict[str, Any]],
    ) -> None:
        self.directory = directory
        self.best: dict[str, Any] = {"val_accuracy": -math.inf}
        self.best_cost: dict[str, Any] = {"val_cost": math.inf}
        self.last: dict[str, Any] = {}
        self.training_seconds = 0.0
        self._record = record
        self._tracker = tracker
        self._head = head
        self._optimizer = optimizer
        self._checkpoint_facts = checkpoint_facts

    def follow(self, events: Iterable[StepDone | EpochDone], *, iterations: int) -> Status:
        """Consume the events of a run of that many iterations and tell how it ended."""
        tqdm.write(HEADER)
        with progress(total=iterations, description="training", unit="step") as bar:
            try:
                for event in events:
                    if isinstance(event, StepDone):
                        self._record.add_step(event.iteration, event.cost)
                        self._tracker.add_step(event)
                        bar.update()
                    else:
                        self._add_epoch(event)
            except DivergedError as error:
                self._record.update(status="diverged", diverged=error.facts)
                tqdm.write(f"stopped: {error}. Try a smaller optimizer.lr.")
                return "diverged"
        return "finished"

    def _add_epoch(self, done: EpochDone) -> None:
        self.training_seconds += done.seconds
        self.last = {
            "epoch": done.epoch,
            "train_cost": done.train_cost,
            "val_cost": done.val.cost,
            "val_accuracy": done.val.accuracy,
        }
        better = done.val.accuracy > self.best["val_accuracy"]
        if better:
            self.best = self.last
        if done.val.cost < self.best_cost["val_cost"]:
            self.best_cost = self.last
        self._save("last.pt", done)
        if better:
            self._save("best.pt", done)
        self._record.add_epoch((*self.last.values(), done.learning_rate, done.seconds))
        self._record.update(best=self.best, best_cost=self.best_cost, last=self.last)
        self._tracker.add_epoch(done)
        line = LINE.format(
            done.epoch,
            f"{done.train_cost:.4f}",
            f"{done.val.cost:.4f}",
            f"{done.val.accuracy:.1%}",
            f"{done.seconds:.1f}",
        )
        tqdm.write(f"{line}  best" if better else line)

    def _save(self, name: str, done: EpochDone) -> None:
        facts = {**self._checkpoint_facts(done.epoch), **self.last, "iteration": done.iteration}
        save_checkpoint(self.directory / name, self._head, self._optimizer, facts)
