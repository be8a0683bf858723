"""Read what runs left behind: every number of a report comes through this file."""

import csv
import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file

from catsdogs.comparison import FILE, Comparison, PlannedRun, read_comparison
from catsdogs.errors import UserError
from catsdogs.records import EPOCH_COLUMNS, PREDICTION_COLUMNS, STEP_COLUMNS

Floats = NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class Predictions:
    """The best checkpoint's answers to one split, all in the split's order.

    Attributes:
        paths: As the manifest names the pictures.
        labels: (pictures,), 1 for cat and 0 for dog.
        logits: (pictures,), above 0 says cat.
    """

    paths: tuple[str, ...]
    labels: NDArray[np.int64]
    logits: Floats

    def right(self) -> NDArray[np.bool_]:
        """Return for each picture whether the answer is right."""
        right: NDArray[np.bool_] = (self.logits > 0) == (self.labels == 1)
        return right

    def accuracy(self) -> float:
        """Return the share of right answers, 0 to 1."""
        return float(self.right().mean())


@dataclasses.dataclass(frozen=True)
class Run:
    """One run as its records tell it.

    Attributes:
        directory: Where they lie.
        label: The contender.
        seed: Of the run.
        learning_rate: The configured `optimizer.lr`; None for an optimizer without one.
        status: `finished`, `diverged`, `failed` (an error stopped it; `facts["error"]` says which)
            or `running` (it was cut off, or is not done yet).
        facts: All of `record.json`.
        costs: (iterations,), the cost of each iteration's batch before its update.
        epochs: Columns of `epochs.csv` by name, each (epochs + 1,); row 0 is the untrained head.
        val: Answers to the validation pictures; None where the run did not get so far.
        test: Answers to the test pictures; None where the run did not get so far.
    """

    directory: Path
    label: str
    seed: int
    learning_rate: float | None
    status: str
    facts: dict[str, Any]
    costs: Floats
    epochs: dict[str, Floats]
    val: Predictions | None
    test: Predictions | None

    def weights(self) -> dict[str, NDArray[Any]] | None:
        """Return the head's tensors after the last step; None where the run left none.

        Raises:
            UserError: If the file is damaged.
        """
        path = self.directory / "last.safetensors"
        if not path.exists():
            return None
        try:
            return load_file(path)
        except (OSError, SafetensorError) as error:
            raise UserError(
                f"{path}: not readable ({error}); delete the run and redo it"
            ) from error


@dataclasses.dataclass(frozen=True)
class Runs:
    """A folder's runs.

    Attributes:
        directory: The folder.
        comparison: What was planned; made up from the runs themselves where there is no plan.
        found: The runs that are there, in the order of the plan.
        missing: Those that the plan names and that are not there.
    """

    directory: Path
    comparison: Comparison
    found: tuple[Run, ...]
    missing: tuple[PlannedRun, ...]

    def of(self, label: str) -> tuple[Run, ...]:
        """Return the runs of one contender that are there."""
        return tuple(run for run in self.found if run.label == label)

    def get(self, label: str, seed: int, learning_rate: float | None = None) -> Run | None:
        """Return one contender's run of a seed; with a grid, also of a learning rate."""
        for run in self.of(label):
            if run.seed == seed and learning_rate in (None, run.learning_rate):
                return run
        return None


def read_runs(directory: Path) -> Runs:
    """Read every run of a comparison, or of any folder that holds run directories.

    Raises:
        UserError: If there are none, or a record is damaged.
    """
    if not directory.is_dir():
        raise UserError(f"runs={directory}: there is no such folder; give the folder of the runs")
    if (directory / FILE).exists():
        comparison = read_comparison(directory)
    else:
        comparison = _unplanned(directory)
    present = [
        run for run in comparison.runs if (directory / run.directory / "record.json").exists()
    ]
    if not present:
        raise UserError(f"runs={directory}: holds no runs; train or compare writes some")
    missing = tuple(run for run in comparison.runs if run not in present)
    return Runs(
        directory,
        comparison,
        found=tuple(read_run(directory / run.directory) for run in present),
        missing=missing,
    )


def read_run(directory: Path) -> Run:
    """Read one run directory.

    Raises:
        UserError: If a file is damaged; the message names it.
    """
    path = directory / "record.json"
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        learning_rate = facts["config"]["optimizer"].get("lr")
        run = Run(
            directory=directory,
            label=str(facts["label"]),
            seed=int(facts["seed"]),
            learning_rate=None if learning_rate is None else float(learning_rate),
            status=str(facts["status"]),
            facts=facts,
            costs=_read_columns(directory / "steps.csv", STEP_COLUMNS)["cost"],
            epochs=_read_columns(directory / "epochs.csv", EPOCH_COLUMNS),
            **_read_predictions(directory / "predictions.csv"),
        )
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise UserError(
            f"{path}: not a readable record ({type(error).__name__}: {error}); "
            "delete the run and redo it"
        ) from error
    return run


def _unplanned(directory: Path) -> Comparison:
    """Take the runs of a folder, at any depth, for a comparison without a plan."""
    runs = []
    for path in sorted(directory.rglob("record.json")):
        run = read_run(path.parent)
        name = path.parent.relative_to(directory).as_posix()
        runs.append(PlannedRun(run.label, run.seed, run.learning_rate, name))
    return Comparison(
        command="",
        contenders=tuple(dict.fromkeys(run.label for run in runs)),
        seeds=tuple(sorted({run.seed for run in runs})),
        learning_rates=(),
        runs=tuple(runs),
    )


def _read_columns(path: Path, columns: Sequence[str]) -> dict[str, Floats]:
    """Read a series as float64 columns.

    Raises:
        UserError: For a missing column or a cell that is no number.
    """
    header, rows = _read_csv(path, columns)
    try:
        table = np.array([[float(cell) for cell in row] for row in rows], dtype=np.float64)
    except ValueError as error:
        raise UserError(f"{path}: {error}; delete the run and redo it") from error
    table = table.reshape(len(rows), len(header))
    return {name: table[:, header.index(name)] for name in columns}


def _read_predictions(path: Path) -> dict[str, Predictions | None]:
    """Read both splits' answers; a run that was cut off or failed has none."""
    if not path.exists():
        return {"val": None, "test": None}
    header, rows = _read_csv(path, PREDICTION_COLUMNS)
    split, name, label, logit = (header.index(column) for column in PREDICTION_COLUMNS)
    answers: dict[str, Predictions | None] = {}
    for wanted in ("val", "test"):
        chosen = [row for row in rows if row[split] == wanted]
        logits = np.array([float(row[logit]) for row in chosen])
        labels = np.array([int(row[label]) for row in chosen], dtype=np.int64)
        if not chosen or not set(labels.tolist()) <= {0, 1} or np.isnan(logits).any():
            raise UserError(f"{path}: no usable {wanted} answers; delete the run and redo it")
        answers[wanted] = Predictions(tuple(row[name] for row in chosen), labels, logits)
    return answers


def _read_csv(path: Path, columns: Sequence[str]) -> tuple[list[str], list[list[str]]]:
    """Read a CSV file; a line that a crash cut short at the end is left out."""
    with path.open(encoding="utf-8", newline="") as file:
        header, *rows = list(csv.reader(file)) or [[]]
    absent = [column for column in columns if column not in header]
    if absent:
        raise UserError(f"{path}: has no column {absent[0]}; delete the run and redo it")
    if rows and len(rows[-1]) != len(header):
        rows.pop()
    if any(len(row) != len(header) for row in rows):
        raise UserError(f"{path}: a line has too many or too few cells; delete the run and redo it")
    return header, rows


def finite(values: Floats) -> Floats:
    """Return the values that are finite numbers; a diverged run's last cost is not."""
    return values[np.isfinite(values)]
