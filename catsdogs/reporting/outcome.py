"""What one run came to: every number that a table of results shows of it."""

from dataclasses import dataclass

from catsdogs.reporting.runs import Run


@dataclass(frozen=True)
class Outcome:
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


def outcome(run: Run) -> Outcome:
    """Return what a run came to."""
    raise NotImplementedError
