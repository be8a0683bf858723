"""What a run leaves behind: plain files, from which any table or figure can be made again.

A run directory holds `record.json` (all facts but the series), `steps.csv` (cost of every
iteration), `epochs.csv` (epoch 0 is the untrained head), `predictions.csv` (the best checkpoint's
logit for every validation and test picture) and `mistakes.csv` (its most confident mistakes, with
their thumbnails). Needs no torch.
"""

import csv
import io
import itertools
import json
import math
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Self, TextIO

from catsdogs.io.files import atomic_write_text

STEP_COLUMNS = ("iteration", "cost")
EPOCH_COLUMNS = ("epoch", "train_cost", "val_cost", "val_accuracy", "learning_rate", "seconds")
PREDICTION_COLUMNS = ("split", "path", "label", "logit")
MISTAKE_COLUMNS = ("rank", "path", "label", "logit", "file")


class DamagedRecords(Exception):
    """A series does not hold what it must; the message names the file.

    Attributes:
        path: The file.
    """

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path} is damaged ({reason})")
        self.path = path


class RunRecord:
    """The records of one run, valid on disk whenever nothing is being written.

    Use as a context manager; the series are synced at every `flush` and closed at the end.

    Args:
        directory: Of the run.
        facts: What `record.json` says so far.
        steps: Rows of `steps.csv` to go on from, of an earlier process; later ones are cut off.
        epochs: The same of `epochs.csv`.

    Raises:
        DamagedRecords: If there are fewer such rows.
    """

    def __init__(
        self, directory: Path, facts: dict[str, Any], *, steps: int = 0, epochs: int = 0
    ) -> None:
        self.directory = directory
        self.facts = facts
        self.kept_steps = _cut(directory / "steps.csv", STEP_COLUMNS, steps)
        self.kept_epochs = _cut(directory / "epochs.csv", EPOCH_COLUMNS, epochs)
        self._steps = _Series(directory / "steps.csv")
        self._epochs = _Series(directory / "epochs.csv")
        self._write_facts()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._steps.close()
        self._epochs.close()

    def add_step(self, iteration: int, cost: float) -> None:
        """Append one iteration's cost; it is safe on disk after the next `flush`."""
        self._steps.add((iteration, cost))

    def add_epoch(self, row: Sequence[float]) -> None:
        """Append one epoch in the order of `EPOCH_COLUMNS` and flush both series."""
        self._epochs.add(row)
        self.flush()

    def flush(self) -> None:
        """Bring what was appended safely onto the disk."""
        self._steps.flush()
        self._epochs.flush()

    def update(self, **facts: Any) -> None:
        """Add facts to `record.json` and write it whole."""
        self.facts |= facts
        self._write_facts()

    def write_predictions(self, rows: Iterable[tuple[str, str, int, float]]) -> None:
        """Write `predictions.csv`: split, path, label and logit of every picture."""
        self._write_table("predictions.csv", PREDICTION_COLUMNS, rows)

    def write_mistakes(self, rows: Iterable[tuple[int, str, int, float, str]]) -> None:
        """Write `mistakes.csv`: rank, path, label, logit and thumbnail, which may be empty."""
        self._write_table("mistakes.csv", MISTAKE_COLUMNS, rows)

    def _write_table(
        self, name: str, columns: Sequence[str], rows: Iterable[Sequence[str | float]]
    ) -> None:
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)
        atomic_write_text(self.directory / name, text.getvalue())

    def _write_facts(self) -> None:
        write_facts(self.directory, self.facts)


def write_facts(directory: Path, facts: dict[str, Any]) -> None:
    """Write `record.json` whole."""
    atomic_write_text(directory / "record.json", strict_json(facts))


def recorded_facts(directory: Path) -> dict[str, Any]:
    """Return what `record.json` says; nothing where there is none or it cannot be read."""
    try:
        facts = json.loads((directory / "record.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return facts if isinstance(facts, dict) else {}


class _Series:
    """A CSV file that grows; floats are written so that they read back to the same bits."""

    def __init__(self, path: Path) -> None:
        self._file: TextIO = path.open("a", encoding="utf-8", newline="")
        self._writer = csv.writer(self._file, lineterminator="\n")

    def add(self, row: Sequence[float]) -> None:
        self._writer.writerow(row)

    def flush(self) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        self._file.close()


def _cut(path: Path, columns: Sequence[str], count: int) -> list[list[float]]:
    """Leave the header and the first rows of a CSV file, and return these rows."""
    rows: list[list[str]] = []
    if count:
        try:
            with path.open(encoding="utf-8", newline="") as file:
                rows = list(itertools.islice(csv.reader(file), 1, count + 1))
            kept = [[float(value) for value in row] for row in rows]
        except (OSError, ValueError, csv.Error) as error:
            raise DamagedRecords(path, str(error)) from error
        if len(kept) < count or any(len(row) != len(columns) for row in kept):
            raise DamagedRecords(path, f"{count} rows were written to it")
        if any(row[0] != kept[0][0] + number for number, row in enumerate(kept)):
            raise DamagedRecords(path, "its rows do not follow each other")
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([columns, *rows])
    atomic_write_text(path, text.getvalue())
    return [[float(value) for value in row] for row in rows]


def strict_json(facts: dict[str, Any]) -> str:
    """Return facts as the text of a JSON file; numbers it cannot hold become "nan" and "inf"."""
    return json.dumps(_json_ready(facts), indent=2, allow_nan=False, ensure_ascii=False) + "\n"


def _json_ready(value: Any) -> Any:
    """Replace numbers that JSON cannot hold (nan, inf) by their names."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {key: _json_ready(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_json_ready(item) for item in value]
    return value
