"""Reader of run directories: every number of a report comes through this module."""

import csv
import dataclasses
import functools
import io
import itertools
import json
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file

from catsdogs.errors import UserError
from catsdogs.runs.checksums import is_intact, require_intact
from catsdogs.runs.comparison import FILE, Comparison, PlannedRun, read_comparison
from catsdogs.runs.contenders import sort_by_method
from catsdogs.runs.schema import (
    DAMAGE,
    EPOCH_COLUMNS,
    EPOCHS,
    FINITE,
    LAST_WEIGHTS,
    PREDICTION_COLUMNS,
    PREDICTIONS,
    RECORD,
    REDO,
    STATUSES,
    STEP_COLUMNS,
    STEPS,
    check_facts,
)

Floats = NDArray[np.float64]
Item = TypeVar("Item")
Key = TypeVar("Key", bound=Hashable)
COUNTS = ("iteration", "epoch")  # columns of whole numbers, from 0
CHUNK = 10_000  # rows of a series in memory as text


@dataclasses.dataclass(frozen=True)
class Predictions:
    """The best checkpoint's predictions for one split, in the split's order.

    Attributes:
        paths: As the manifest names the images.
        labels: Shape (images,), 1 for a cat and 0 for a dog.
        logits: Shape (images,), above 0 means cat.
    """

    paths: tuple[str, ...]
    labels: NDArray[np.int64]
    logits: Floats

    def right(self) -> NDArray[np.bool_]:
        """Return for each image whether the prediction is right."""
        right: NDArray[np.bool_] = (self.logits > 0) == (self.labels == 1)
        return right

    def accuracy(self) -> float:
        """Return the share of right predictions, 0 to 1."""
        return float(self.right().mean())


@dataclasses.dataclass(frozen=True)
class Run:
    """The records of one run.

    Attributes:
        directory: The run directory.
        label: The contender.
        seed: The run's `seed`.
        learning_rate: The configured `optimizer.lr`; None for an optimizer without one.
        status: `finished`, `diverged`, `failed` (with the reason in `facts["error"]`) or `running`
            (unfinished or interrupted).
        facts: The content of `record.json`.
        costs: Shape (iterations,), the cost of each iteration's batch before its update.
        epochs: Columns of `epochs.csv` by name, each of shape (epochs + 1,); row 0 is the untrained
            head.
        val: Predictions for the validation images; None if the run has none.
        test: Predictions for the test images; None if the run has none.
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
        """Return the head's tensors after the last step; None if the run has none.

        Raises:
            UserError: If the file is damaged.
        """
        path = self.directory / LAST_WEIGHTS
        if not path.exists():
            return None
        require_intact(path, self.facts)
        try:
            return load_file(path)
        except (OSError, SafetensorError) as error:
            raise UserError(f"{path}: not readable ({error}); {REDO}") from error


@dataclasses.dataclass(frozen=True)
class Runs:
    """The runs of a folder.

    Attributes:
        directory: The folder.
        comparison: The plan; derived from the runs themselves if the folder has none.
        found: The existing runs in the order of the plan, one for each contender, seed and learning
            rate.
        missing: The planned runs that do not exist.
        repeated: Further runs of a contender, seed and learning rate. `found` has the finished run
            rather than an unfinished one, and the later one rather than the earlier.
    """

    directory: Path
    comparison: Comparison
    found: tuple[Run, ...]
    missing: tuple[PlannedRun, ...]
    repeated: tuple[Run, ...] = ()

    def of(self, label: str) -> tuple[Run, ...]:
        """Return the runs of one contender."""
        return self._of_label.get(label, ())

    def finished(self, label: str) -> tuple[Run, ...]:
        """Return the finished runs of one contender."""
        return tuple(run for run in self.of(label) if run.status == "finished")

    def get(self, label: str, seed: int, learning_rate: float | None = None) -> Run | None:
        """Return one contender's run of a seed, and of a learning rate if given; None if absent."""
        for run in self._of_seed.get((label, seed), ()):
            if learning_rate in (None, run.learning_rate):
                return run
        return None

    @functools.cached_property
    def _of_label(self) -> dict[str, tuple[Run, ...]]:
        return grouped(self.found, lambda run: run.label)

    @functools.cached_property
    def _of_seed(self) -> dict[tuple[str, int], tuple[Run, ...]]:
        return grouped(self.found, lambda run: (run.label, run.seed))


def grouped(items: Sequence[Item], key: Callable[[Item], Key]) -> dict[Key, tuple[Item, ...]]:
    """Return the items of each key, both in their order."""
    groups: defaultdict[Key, list[Item]] = defaultdict(list)
    for item in items:
        groups[key(item)].append(item)
    return {name: tuple(group) for name, group in groups.items()}


def read_runs(directory: Path) -> Runs:
    """Read every run of a comparison, or of any folder with run directories at any depth.

    Raises:
        UserError: If there are none, or a record is damaged.
    """
    if not directory.is_dir():
        raise UserError(f"runs={directory}: no such folder; give the folder of the runs")
    planned = (directory / FILE).exists()
    comparison = read_comparison(directory) if planned else None
    names = (
        [run.directory for run in comparison.runs]
        if comparison
        else [path.parent.relative_to(directory) for path in sorted(directory.rglob(RECORD))]
    )
    there = [directory / name for name in names if (directory / name / RECORD).is_file()]
    if not there:
        raise UserError(f"runs={directory}: no runs found; give the output_dir of train or compare")
    names_of_images: dict[tuple[str, ...], tuple[str, ...]] = {}
    runs = [_sharing(read_run(path), names_of_images) for path in there]
    found, repeated = _separate_repeated(runs)
    existing = set(there)
    return Runs(
        directory,
        comparison or _unplanned(directory, found),
        found,
        missing=tuple(
            run
            for run in (comparison.runs if comparison else ())
            if directory / run.directory not in existing
        ),
        repeated=repeated,
    )


def read_run(directory: Path) -> Run:
    """Read one run directory.

    Raises:
        UserError: If a file is damaged, or absent though the run is finished.
    """
    path = directory / RECORD
    for name in (RECORD, STEPS, EPOCHS, PREDICTIONS):
        _require_file(directory / name)
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        check_facts(facts)
        status, learning_rate = facts["status"], facts["config"]["optimizer"].get("lr")
        for name in (STEPS, EPOCHS, PREDICTIONS):
            require_intact(directory / name, facts)
        run = Run(
            directory=directory,
            label=facts["label"],
            seed=facts["seed"],
            learning_rate=None if learning_rate is None else float(learning_rate),
            status=status,
            facts=facts,
            costs=_read_series(directory / STEPS, STEP_COLUMNS, status, keep=("cost",))["cost"],
            epochs=_read_series(directory / EPOCHS, EPOCH_COLUMNS, status),
            **_read_predictions(directory / PREDICTIONS, status),
        )
    except DAMAGE as error:
        raise UserError(
            f"{path}: not a readable record ({type(error).__name__}: {error}); {REDO}"
        ) from error
    if run.status not in STATUSES:
        raise UserError(f"{path}: unknown status {run.status!r}; {REDO}")
    if not is_intact(facts):
        raise UserError(f"{path}: differs from its own checksum (edited or damaged); {REDO}")
    return run


def _require_file(path: Path) -> None:
    """Refuse what may be endless, such as a pipe; reading tells whether the file is absent."""
    if path.exists() and not path.is_file():
        raise UserError(f"{path}: not a regular file; {REDO}")


def _sharing(run: Run, names: dict[tuple[str, ...], tuple[str, ...]]) -> Run:
    """Return a run that shares its images' names with earlier runs: they are most of its memory."""

    def shared(predictions: Predictions | None) -> Predictions | None:
        if predictions is None:
            return None
        paths = names.setdefault(predictions.paths, predictions.paths)
        return dataclasses.replace(predictions, paths=paths)

    return dataclasses.replace(run, val=shared(run.val), test=shared(run.test))


def _separate_repeated(runs: Sequence[Run]) -> tuple[tuple[Run, ...], tuple[Run, ...]]:
    """Return one run for each contender, seed and learning rate, and the other runs."""
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
    """Derive a comparison from the runs of a folder.

    Their learning rates form a grid if any contender has more than one.
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


def _read_series(
    path: Path, columns: Sequence[str], status: str, keep: Sequence[str] = ()
) -> dict[str, Floats]:
    """Read a series as float64 columns; empty for a run that failed before it started.

    Args:
        path: Of the file, which may be large: its text is never in memory as a whole.
        columns: The columns it must have.
        status: Of the run.
        keep: The columns to return; empty for all.

    Raises:
        UserError: For a missing column, a cell that is not a number, or a finished run without
            rows.
    """
    if status == "failed" and not path.exists():
        return {name: np.empty(0) for name in columns}
    parts: dict[str, list[Floats]] = {name: [] for name in keep or columns}
    with path.open(encoding="utf-8", newline="") as file:
        rows = csv.reader(_complete_lines(file))
        header = _header(path, next(rows, []), columns)
        while chunk := list(itertools.islice(rows, CHUNK)):
            _check_lengths(path, header, chunk)
            series = {name: _floats(path, chunk, header.index(name)) for name in columns}
            wrong = _wrong_numbers(series, status)
            if wrong:
                raise UserError(f"{path}: {wrong}; {REDO}")
            for name, values in parts.items():
                values.append(series[name])
    if status == "finished" and not all(parts.values()):
        raise UserError(f"{path}: no rows, though the run is finished; {REDO}")
    return {name: np.concatenate([np.empty(0), *values]) for name, values in parts.items()}


def _complete_lines(file: Iterable[str]) -> Iterator[str]:
    """Yield the lines but an incomplete last one, which is left from a crash."""
    for line, following in itertools.pairwise(itertools.chain(file, [None])):
        if line is not None and (following is not None or line.endswith("\n")):
            yield line


def _floats(path: Path, rows: Sequence[Sequence[str]], column: int) -> Floats:
    try:
        return np.array([float(row[column]) for row in rows])
    except ValueError as error:
        raise UserError(f"{path}: {error}; {REDO}") from error


def _wrong_numbers(series: dict[str, Floats], status: str) -> str:
    """Return the first column with a value that no run writes, and why; empty if there is none."""
    for name, values in series.items():
        finite = np.abs(values[np.isfinite(values)])
        if (finite > FINITE).any():
            return f"{name} has a number that is too large"
        if name in COUNTS and not np.array_equal(values, np.floor(finite)):
            return f"{name} has a value that is not a whole number from 0"
        if name == "seconds" and not np.array_equal(values, finite):
            return f"{name} has a value that is not a time"
        if "cost" in name and status == "finished" and len(finite) < len(values):
            return f"{name} has a value that is not finite, though the run is finished"
    return ""


def _read_predictions(path: Path, status: str) -> dict[str, Predictions | None]:
    """Read the predictions of both splits; an unfinished run may lack them or have nan.

    Raises:
        UserError: For a missing column, or a finished run without usable predictions.
    """
    if status != "finished" and not path.exists():
        return {"val": None, "test": None}
    header, rows = _parse(path, path.read_bytes().decode(), PREDICTION_COLUMNS)
    split, name, label, logit = (header.index(column) for column in PREDICTION_COLUMNS)
    predictions: dict[str, Predictions | None] = {}
    for wanted in ("val", "test"):
        chosen = [row for row in rows if row[split] == wanted]
        logits = np.array([float(row[logit]) for row in chosen])
        labels = np.array([int(row[label]) for row in chosen], dtype=np.int64)
        usable = chosen and set(labels.tolist()) <= {0, 1} and not np.isnan(logits).any()
        if not usable and status == "finished":
            raise UserError(f"{path}: no usable {wanted} predictions; {REDO}")
        paths = tuple(row[name] for row in chosen)
        predictions[wanted] = Predictions(paths, labels, logits) if usable else None
    return predictions


def _parse(path: Path, text: str, columns: Sequence[str]) -> tuple[list[str], list[list[str]]]:
    header, *rows = list(csv.reader(io.StringIO(text, newline=""))) or [[]]
    _check_lengths(path, _header(path, header, columns), rows)
    return header, rows


def _header(path: Path, header: list[str], columns: Sequence[str]) -> list[str]:
    absent = [column for column in columns if column not in header]
    if absent:
        raise UserError(f"{path}: no column {absent[0]}; {REDO}")
    return header


def _check_lengths(path: Path, header: list[str], rows: Iterable[Sequence[str]]) -> None:
    if any(len(row) != len(header) for row in rows):
        raise UserError(f"{path}: a line has too many or too few cells; {REDO}")
