"""What one run came to: every number that a table of results shows of it."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from catsdogs.runs.reader import Floats, Run


@dataclass(frozen=True)
class RunSummary:
    """The scalars of a run; nan where it did not get so far. Accuracies are shares of 0 to 1.

    Attributes:
        best_epoch: The first with the highest validation accuracy, whose checkpoint is judged on
            test; 0 is the untrained head.
        best_val_accuracy: The highest over the epochs.
        best_epoch_val_cost: The validation cost of that same epoch.
        lowest_val_cost: The lowest over the epochs, maybe of another epoch.
        lowest_val_cost_epoch: Its epoch.
        last_epoch: The last one done.
        last_train_cost: Its mean training cost.
        last_val_accuracy: After it.
        last_val_cost: After it.
        test_accuracy: Of the best epoch's checkpoint.
        test_cost: Of the best epoch's checkpoint.
        training_seconds: All epochs together, evaluation left out.
    """

    best_epoch: float
    best_val_accuracy: float
    best_epoch_val_cost: float
    lowest_val_cost: float
    lowest_val_cost_epoch: float
    last_epoch: float
    last_train_cost: float
    last_val_accuracy: float
    last_val_cost: float
    test_accuracy: float
    test_cost: float
    training_seconds: float


def outcome(run: Run) -> RunSummary:
    """Return what a run came to."""
    epochs = run.epochs
    accuracies, costs = epochs["val_accuracy"], epochs["val_cost"]
    best, lowest, last = _row(np.argmax, accuracies), _row(np.argmin, costs), len(accuracies) - 1

    def at(row: int, column: str) -> float:
        return float(epochs[column][row]) if row >= 0 else math.nan

    return RunSummary(
        best_epoch=at(best, "epoch"),
        best_val_accuracy=at(best, "val_accuracy"),
        best_epoch_val_cost=at(best, "val_cost"),
        lowest_val_cost=at(lowest, "val_cost"),
        lowest_val_cost_epoch=at(lowest, "epoch"),
        last_epoch=at(last, "epoch"),
        last_train_cost=at(last, "train_cost"),
        last_val_accuracy=at(last, "val_accuracy"),
        last_val_cost=at(last, "val_cost"),
        test_accuracy=run.test.accuracy() if run.test else math.nan,
        test_cost=float(run.facts.get("test_cost", math.nan)) if run.test else math.nan,
        training_seconds=float(epochs["seconds"].sum()),
    )


def _row(first: Callable[[Floats], np.intp], values: Floats) -> int:
    """Return the row of the first extreme among the finite values; -1 without any."""
    rows = np.flatnonzero(np.isfinite(values))
    return int(rows[first(values[rows])]) if len(rows) else -1
