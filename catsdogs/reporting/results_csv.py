"""`results.csv`: a row for each run with every scalar, for whoever wants to calculate on."""

import csv
import io
import math
from dataclasses import asdict
from typing import Any

from catsdogs.reporting.run_summary import outcome
from catsdogs.reporting.sections.calibration import calibration
from catsdogs.reporting.sections.incomplete_runs import reason
from catsdogs.reporting.sections.learning_rates import chosen_runs
from catsdogs.runs.comparison import PlannedRun
from catsdogs.runs.reader import Run, Runs

# What each column means, in their order.
COLUMNS = {
    "optimizer": "the contender, a file of conf/optimizer",
    "seed": "of the run",
    "learning_rate": "configured; empty for an optimizer without one",
    "chosen": "true at the contender's chosen learning rate, which tables and verdicts are made at",
    "status": "finished, diverged, failed, running, missing, or repeated",
    "reason": "why it did not finish",
    "directory": "of the run, inside the folder of the runs",
    "iterations": "training steps done",
    "best_epoch": "the first with the highest validation accuracy; 0 is the untrained head",
    "best_val_accuracy": "of that epoch, 0 to 1",
    "best_epoch_val_cost": "of that epoch",
    "lowest_val_cost": "over the epochs",
    "lowest_val_cost_epoch": "the epoch that has it",
    "last_epoch": "the last one done",
    "last_train_cost": "mean training cost of the last epoch",
    "last_val_accuracy": "after the last epoch, 0 to 1",
    "last_val_cost": "after the last epoch",
    "test_accuracy": "of the best epoch's checkpoint, 0 to 1",
    "test_cost": "of the best epoch's checkpoint",
    "test_pictures": "how many the test accuracy is from",
    "test_brier": "Brier score of the best epoch's checkpoint, 0 to 1",
    "test_calibration_error": "expected calibration error of it, 10 bins of confidence, 0 to 1",
    "training_seconds": "of all training steps together; evaluation is left out",
    "state_bytes": "what the optimizer keeps, without its table",
    "table_bytes": "SAGA's table of past gradients",
}


def results_csv(runs: Runs) -> str:
    """Return the text of `results.csv`, its columns as `COLUMNS` explains them.

    Floats read back to the same bits; a cell is empty where a run did not get so far.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for row in result_rows(runs):
        writer.writerow({name: _cell(value) for name, value in row.items()})
    return text.getvalue()


def result_rows(runs: Runs) -> list[dict[str, Any]]:
    """Return a row per run, missing ones included, with a value for each of `COLUMNS`.

    A value is None where a run did not get so far.
    """
    chosen = chosen_runs(runs)
    used = {run.directory for run in chosen.found}
    rows = [_row(runs, run, run.status, run.directory in used) for run in runs.found]
    rows += [_missing_row(run, run in chosen.missing) for run in runs.missing]
    rows += [_row(runs, run, "repeated", False) for run in runs.repeated]
    return [{name: _known(row.get(name)) for name in COLUMNS} for row in rows]


def _row(runs: Runs, run: Run, status: str, chosen: bool) -> dict[str, Any]:
    numbers = asdict(outcome(run))
    for name in ("best_epoch", "lowest_val_cost_epoch", "last_epoch"):
        numbers[name] = None if math.isnan(numbers[name]) else int(numbers[name])
    judged = calibration(run.test) if run.test else None
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
        "test_brier": judged.brier if judged else None,
        "test_calibration_error": judged.expected_error if judged else None,
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
    return str(value).lower() if isinstance(value, bool) else str(value)
