"""`results.csv`: one row for each run with all of its scalar results."""

import csv
import io
import math
from dataclasses import asdict
from typing import Any

from catsdogs.io.text import csv_text
from catsdogs.reporting.run_summary import summarize
from catsdogs.reporting.sections.calibration import calibration
from catsdogs.reporting.sections.incomplete_runs import reason
from catsdogs.reporting.sections.learning_rates import chosen_runs
from catsdogs.runs.comparison import PlannedRun
from catsdogs.runs.reader import Run, Runs

# The columns in order, with their meaning.
COLUMNS = {
    "optimizer": "label of the contender, a file of conf/optimizer",
    "seed": "seed of the run",
    "learning_rate": "configured learning rate; empty for an optimizer without one",
    "chosen": "true if the run has the learning rate that tables and verdicts use",
    "status": "finished, diverged, failed, running, missing or repeated",
    "reason": "why the run did not finish",
    "directory": "run directory, relative to the folder of the runs",
    "iterations": "number of training steps done",
    "best_epoch": "first epoch with the highest validation accuracy; 0 is the untrained head",
    "best_val_accuracy": "validation accuracy of the best epoch, 0 to 1",
    "best_epoch_val_cost": "validation cost of the best epoch",
    "lowest_val_cost": "lowest validation cost over the epochs",
    "lowest_val_cost_epoch": "epoch of the lowest validation cost",
    "last_epoch": "last completed epoch",
    "last_train_cost": "mean training cost of the last epoch",
    "last_val_accuracy": "validation accuracy after the last epoch, 0 to 1",
    "last_val_cost": "validation cost after the last epoch",
    "test_accuracy": "test accuracy of the best epoch's checkpoint, 0 to 1",
    "test_cost": "test cost of the best epoch's checkpoint",
    "test_pictures": "number of test images",
    "test_brier": "Brier score of the best epoch's checkpoint, 0 to 1",
    "test_calibration_error": "its expected calibration error, 10 bins of confidence, 0 to 1",
    "training_seconds": "duration of all training steps, excluding evaluation",
    "state_bytes": "size of the optimizer's state, without SAGA's table",
    "table_bytes": "size of SAGA's table of past gradients",
}


def results_csv(runs: Runs) -> str:
    """Return the text of `results.csv`, with the columns of `COLUMNS`.

    Floats are written so that they read back to the same bits. A cell is empty if the run ended
    before the value was known.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for row in result_rows(runs):
        writer.writerow({name: _cell(value) for name, value in row.items()})
    return text.getvalue()


def result_rows(runs: Runs) -> list[dict[str, Any]]:
    """Return a row per run, missing ones included, with a value for each of `COLUMNS`.

    A value is None if the run ended before it was known.

    Args:
        runs: All runs; a missing run gets a row too.
    """
    chosen = chosen_runs(runs)
    chosen_directories = {run.directory for run in chosen.found}
    rows = [_row(runs, run, run.status, run.directory in chosen_directories) for run in runs.found]
    rows += [_missing_row(run, run in chosen.missing) for run in runs.missing]
    rows += [_row(runs, run, "repeated", False) for run in runs.repeated]
    return [{name: _known(row.get(name)) for name in COLUMNS} for row in rows]


def _row(runs: Runs, run: Run, status: str, chosen: bool) -> dict[str, Any]:
    numbers = asdict(summarize(run))
    for name in ("best_epoch", "lowest_val_cost_epoch", "last_epoch"):
        numbers[name] = None if math.isnan(numbers[name]) else int(numbers[name])
    calibrated = calibration(run.test) if run.test else None
    return numbers | {
        "optimizer": run.label,
        "seed": run.seed,
        "learning_rate": run.learning_rate,
        "chosen": chosen,
        "status": status,
        "reason": reason(run),
        "directory": run.directory.relative_to(runs.directory).as_posix(),
        "iterations": len(run.costs),
        "test_pictures": len(run.test.labels) if run.test else None,
        "test_brier": calibrated.brier if calibrated else None,
        "test_calibration_error": calibrated.expected_error if calibrated else None,
        "state_bytes": _nbytes(run, "state"),
        "table_bytes": _nbytes(run, "table"),
    }


def _missing_row(run: PlannedRun, chosen: bool) -> dict[str, Any]:
    return {
        "optimizer": run.label,
        "seed": run.seed,
        "learning_rate": run.learning_rate,
        "chosen": chosen,
        "status": "missing",
        "directory": run.directory,
    }


def _nbytes(run: Run, name: str) -> int | None:
    if not run.facts.get("memory"):
        return None
    return sum(int(part["nbytes"]) for part in run.facts["memory"] if part["name"] == name)


def _known(value: Any) -> Any:
    return None if isinstance(value, float) and math.isnan(value) else value


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return csv_text(value)
    return str(value).lower() if isinstance(value, bool) else str(value)
