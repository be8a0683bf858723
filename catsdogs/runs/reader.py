"""Read what runs left behind: every number of a report comes through this file."""

import csv
import dataclasses
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file

from catsdogs.errors import UserError
from catsdogs.runs.comparison import FILE, Comparison, PlannedRun, read_comparison
from catsdogs.runs.contenders import sort_by_method
from catsdogs.runs.schema import FINITE, check_facts
from catsdogs.runs.writer import EPOCH_COLUMNS, PREDICTION_COLUMNS, STEP_COLUMNS

Floats = NDArray[np.float64]
STATUSES = ("finished", "diverged", "failed", "running")
REDO = "delete the run and redo it"
# What reading a file can raise that holds anything at all.
DAMAGE = (OSError, ValueError, TypeError, KeyError, OverflowError, RecursionError, csv.Error)
# Columns of whole numbers, from 0.
COUNTS = ("iteration", "epoch")


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
            raise UserError(f"{path}: not readable ({error}); {REDO}") from error


@dataclasses.dataclass(frozen=True)
class Runs:
    """A folder's runs.

    Attributes:
        directory: The folder.
        comparison: What was planned; made up from the runs themselves where there is no plan.
        found: The runs that are there, at most one of a contender, seed and learning rate, in the
            order of the plan.
        missing: Those that the plan names and that are not there.
        repeated: Runs of a contender, seed and learning rate that `found` has already: a finished
            one stands there before any other, and a later one before an earlier.
    """

    directory: Path
    comparison: Comparison
    found: tuple[Run, ...]
    missing: tuple[PlannedRun, ...]
    repeated: tuple[Run, ...] = ()

    def of(self, label: str) -> tuple[Run, ...]:
        """Return the runs of one contender that are there."""
        return tuple(run for run in self.found if run.label == label)

    def finished(self, label: str) -> tuple[Run, ...]:
        """Return the runs of one contender that finished."""
        return tuple(run for run in self.of(label) if run.status == "finished")

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
    planned = (directory / FILE).exists()
    comparison = read_comparison(directory) if planned else None
    names = (
        [run.directory for run in comparison.runs]
        if comparison
        else [path.parent.relative_to(directory) for path in sorted(directory.rglob("record.json"))]
    )
    there = [directory / name for name in names if (directory / name / "record.json").is_file()]
    if not there:
        raise UserError(f"runs={directory}: holds no runs; train or compare writes some")
    found, repeated = _part_repeated([read_run(path) for path in there])
    return Runs(
        directory,
        comparison or _unplanned(directory, found),
        found,
        missing=tuple(
            run
            for run in (comparison.runs if comparison else ())
            if directory / run.directory not in there
        ),
        repeated=repeated,
    )


def read_run(directory: Path) -> Run:
    """Read one run directory.

    Raises:
        UserError: If a file is damaged or a finished run lacks one; the message names it.
    """
    path = directory / "record.json"
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        check_facts(facts)
        status, learning_rate = facts["status"], facts["config"]["optimizer"].get("lr")
        run = Run(
            directory=directory,
            label=facts["label"],
            seed=facts["seed"],
            learning_rate=None if learning_rate is None else float(learning_rate),
            status=status,
            facts=facts,
            costs=_read_series(directory / "steps.csv", STEP_COLUMNS, status)["cost"],
            epochs=_read_series(directory / "epochs.csv", EPOCH_COLUMNS, status),
            **_read_predictions(directory / "predictions.csv", status),
        )
    except DAMAGE as error:
        raise UserError(
            f"{path}: not a readable record ({type(error).__name__}: {error}); {REDO}"
        ) from error
    if run.status not in STATUSES:
        raise UserError(f"{path}: the status {run.status!r} is none of {STATUSES}; {REDO}")
    return run


def _part_repeated(runs: Sequence[Run]) -> tuple[tuple[Run, ...], tuple[Run, ...]]:
    """Return one run of each contender, seed and learning rate, and the others."""
    best: dict[tuple[str, int, float | None], Run] = {}
    for run in sorted(
        runs, key=lambda run: (run.status == "finished", run.facts.get("started", ""))
    ):
        best[run.label, run.seed, run.learning_rate] = run
    kept = {run.directory for run in best.values()}
    return (
        tuple(run for run in runs if run.directory in kept),
        tuple(run for run in runs if run.directory not in kept),
    )


def _unplanned(directory: Path, runs: Sequence[Run]) -> Comparison:
    """Take the runs of a folder for a comparison without a plan.

    Their learning rates are a grid if any contender has more than one.
    """
    rates = {(run.label, run.learning_rate) for run in runs}
    labels = sort_by_method({run.label for run in runs})
    grid = {rate for _, rate in rates if rate is not None} if len(rates) > len(labels) else set()
    return Comparison(
        command="",
        contenders=labels,
        seeds=tuple(sorted({run.seed for run in runs})),
        learning_rates=tuple(sorted(grid)),
        runs=tuple(
            PlannedRun(
                run.label,
                run.seed,
                run.learning_rate,
                run.directory.relative_to(directory).as_posix(),
            )
            for run in runs
        ),
    )


def _read_series(path: Path, columns: Sequence[str], status: str) -> dict[str, Floats]:
    """Read a series as float64 columns; one that failed before it began has none.

    Raises:
        UserError: For a missing column, a cell that is no number, and a finished run without rows.
    """
    if status == "failed" and not path.exists():
        return {name: np.empty(0) for name in columns}
    text = path.read_bytes().decode()
    # Lines are appended while a run goes on: one without its end was cut short by a crash.
    header, rows = _parse(path, text[: text.rfind("\n") + 1], columns)
    try:
        table = np.array([[float(cell) for cell in row] for row in rows], dtype=np.float64)
    except ValueError as error:
        raise UserError(f"{path}: {error}; {REDO}") from error
    if status == "finished" and not rows:
        raise UserError(f"{path}: the run is finished and there are no numbers; {REDO}")
    table = table.reshape(len(rows), len(header))
    series = {name: table[:, header.index(name)] for name in columns}
    wrong = _wrong_numbers(series, status)
    if wrong:
        raise UserError(f"{path}: {wrong}; {REDO}")
    return series


def _wrong_numbers(series: dict[str, Floats], status: str) -> str:
    """Say which column holds what no run writes there; empty if none does."""
    for name, values in series.items():
        finite = np.abs(values[np.isfinite(values)])
        if (finite > FINITE).any():
            return f"{name} holds a number that is too large"
        if name in COUNTS and not np.array_equal(values, np.floor(finite)):
            return f"{name} holds what is no whole number"
        if name == "seconds" and not np.array_equal(values, finite):
            return f"{name} holds what is no time"
        if "cost" in name and status == "finished" and len(finite) < len(values):
            return f"the run is finished, and {name} holds what is no number"
    return ""


def _read_predictions(path: Path, status: str) -> dict[str, Predictions | None]:
    """Read both splits' answers; a run that did not finish may have none, or none that are numbers.

    Raises:
        UserError: For a missing column, and for a finished run without answers.
    """
    if status != "finished" and not path.exists():
        return {"val": None, "test": None}
    header, rows = _parse(path, path.read_bytes().decode(), PREDICTION_COLUMNS)
    split, name, label, logit = (header.index(column) for column in PREDICTION_COLUMNS)
    answers: dict[str, Predictions | None] = {}
    for wanted in ("val", "test"):
        chosen = [row for row in rows if row[split] == wanted]
        logits = np.array([float(row[logit]) for row in chosen])
        labels = np.array([int(row[label]) for row in chosen], dtype=np.int64)
        usable = chosen and set(labels.tolist()) <= {0, 1} and not np.isnan(logits).any()
        if not usable and status == "finished":
            raise UserError(f"{path}: no usable {wanted} answers; {REDO}")
        paths = tuple(row[name] for row in chosen)
        answers[wanted] = Predictions(paths, labels, logits) if usable else None
    return answers


def _parse(path: Path, text: str, columns: Sequence[str]) -> tuple[list[str], list[list[str]]]:
    header, *rows = list(csv.reader(io.StringIO(text, newline=""))) or [[]]
    absent = [column for column in columns if column not in header]
    if absent:
        raise UserError(f"{path}: has no column {absent[0]}; {REDO}")
    if any(len(row) != len(header) for row in rows):
        raise UserError(f"{path}: a line has too many or too few cells; {REDO}")
    return header, rows
