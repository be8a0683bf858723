"""Scalar results of one run, as the tables of results show them."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from catsdogs.runs.reader import Floats, Run


@dataclass(frozen=True)
class RunSummary:
    """Scalar results of a run; nan where the run ended before them. Accuracies are from 0 to 1.

    Attributes:
        best_epoch: First epoch with the highest validation accuracy; its checkpoint is tested.
            Epoch 0 is the untrained head.
        best_val_accuracy: Highest validation accuracy over the epochs.
        best_epoch_val_cost: Validation cost of the best epoch.
        lowest_val_cost: Lowest validation cost over the epochs.
        lowest_val_cost_epoch: Epoch of the lowest validation cost.
        last_epoch: Last completed epoch.
        last_train_cost: Mean training cost of the last epoch.
        last_val_accuracy: Validation accuracy after the last epoch.
        last_val_cost: Validation cost after the last epoch.
        test_accuracy: Test accuracy of the best epoch's checkpoint.
        test_cost: Test cost of the best epoch's checkpoint.
        training_seconds: Duration of all epochs, excluding evaluation.
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


def summarize(run: Run) -> RunSummary:
    """Return the scalar results of a run."""
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
    """Return the index of the first extreme of the finite values; -1 without finite values."""
    rows = np.flatnonzero(np.isfinite(values))
    return int(rows[first(values[rows])]) if len(rows) else -1
