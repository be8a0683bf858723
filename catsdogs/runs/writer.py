"""Writer of a run directory: plain files, from which every table and figure can be rebuilt."""

import contextlib
import csv
import hashlib
import io
import itertools
import json
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self, TextIO

from catsdogs.io.files import atomic_write_text
from catsdogs.io.text import csv_path
from catsdogs.runs.checksums import OWN, is_intact, record_checksum
from catsdogs.runs.schema import (
    EPOCH_COLUMNS,
    EPOCHS,
    MISTAKE_COLUMNS,
    MISTAKES,
    PREDICTION_COLUMNS,
    PREDICTIONS,
    RECORD,
    STEP_COLUMNS,
    STEPS,
)

NO_FILE = (FileNotFoundError, NotADirectoryError, IsADirectoryError)


class DamagedRecords(Exception):
    """A series lacks rows that were written to it, or has others; the message names the file.

    Attributes:
        path: The file.
    """

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path} is damaged ({reason})")
        self.path = path


class RunRecord:
    """The records of one run; the files are valid between any two calls.

    Use as a context manager. Every `flush` syncs the series, and the exit closes them.

    Args:
        directory: The run directory.
        facts: The facts of `record.json` so far.
        steps: Rows of `steps.csv` to keep when resuming; later ones are removed.
        epochs: Rows of `epochs.csv` to keep when resuming; later ones are removed.
        digests: `RunRecord.digests` of these rows; a series without one is not compared.

    Attributes:
        directory: The run directory.
        facts: The facts of `record.json`.
        kept_steps: The rows of `steps.csv` that were kept.
        kept_epochs: The rows of `epochs.csv` that were kept.

    Raises:
        DamagedRecords: If a series has fewer rows, or other ones.
    """

    def __init__(
        self,
        directory: Path,
        facts: dict[str, Any],
        *,
        steps: int = 0,
        epochs: int = 0,
        digests: Mapping[str, str] | None = None,
    ) -> None:
        self.directory = directory
        self.facts = facts
        write_facts(directory, facts)  # first, so that a run that ends here is found again
        expected = digests or {}
        with contextlib.ExitStack() as stack:
            self._steps = _Series(directory / STEPS, STEP_COLUMNS, steps, expected.get(STEPS))
            stack.callback(self._steps.close)
            self._epochs = _Series(directory / EPOCHS, EPOCH_COLUMNS, epochs, expected.get(EPOCHS))
            stack.pop_all()
        self.kept_steps, self.kept_epochs = self._steps.kept, self._epochs.kept

    @property
    def digests(self) -> dict[str, str]:
        """SHA-256 of each series so far, header included."""
        return {STEPS: self._steps.digest(), EPOCHS: self._epochs.digest()}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._steps.close()
        self._epochs.close()

    def add_step(self, iteration: int, cost: float) -> None:
        """Append one iteration's cost; the next `flush` makes it durable."""
        self._steps.add((iteration, cost))

    def add_epoch(self, row: Sequence[float]) -> None:
        """Append one epoch in the order of `EPOCH_COLUMNS`, and flush both series."""
        self._epochs.add(row)
        self.flush()

    def flush(self) -> None:
        """Sync both series to the disk."""
        self._steps.flush()
        self._epochs.flush()

    def update(self, **facts: Any) -> None:
        """Add facts to `record.json` and write it atomically."""
        self.facts |= facts
        write_facts(self.directory, self.facts)

    def write_predictions(self, rows: Iterable[tuple[str, str, int, float]]) -> None:
        """Write `predictions.csv`: split, path, label and logit of every image."""
        named = ((split, csv_path(path), label, logit) for split, path, label, logit in rows)
        self._write_table(PREDICTIONS, PREDICTION_COLUMNS, named)

    def write_mistakes(self, rows: Iterable[tuple[int, str, int, float, str]]) -> None:
        """Write `mistakes.csv`: rank, path, label, logit and thumbnail, which may be empty."""
        named = ((row[0], csv_path(row[1]), *row[2:]) for row in rows)
        self._write_table(MISTAKES, MISTAKE_COLUMNS, named)

    def _write_table(
        self, name: str, columns: Sequence[str], rows: Iterable[Sequence[str | float]]
    ) -> None:
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)
        atomic_write_text(self.directory / name, text.getvalue())


def write_facts(directory: Path, facts: dict[str, Any]) -> None:
    """Write `record.json` atomically."""
    plain = json.loads(strict_json({name: facts[name] for name in facts if name != OWN}))
    atomic_write_text(directory / RECORD, strict_json(plain | {OWN: record_checksum(plain)}))


def recorded_facts(directory: Path) -> dict[str, Any]:
    """Return the facts of `record.json`; empty if it is absent or damaged.

    Raises:
        OSError: If the disk fails: a run whose record cannot be read now is not one without any.
    """
    try:
        facts = json.loads((directory / RECORD).read_text(encoding="utf-8"))
        if not isinstance(facts, dict) or not is_intact(facts):
            return {}
    except (*NO_FILE, PermissionError, ValueError, RecursionError):
        return {}
    facts.pop(OWN, None)
    return facts


def strict_json(facts: dict[str, Any]) -> str:
    """Return facts as JSON text; nan and infinities, which JSON lacks, become strings."""
    return json.dumps(_json_ready(facts), indent=2, allow_nan=False, ensure_ascii=False) + "\n"


class _Series:
    """A growing CSV file; floats read back to the same bits.

    Attributes:
        kept: The rows that an earlier process wrote.
    """

    def __init__(self, path: Path, columns: Sequence[str], count: int, digest: str | None) -> None:
        rows = _first_rows(path, columns, count) if count else []
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([columns, *rows])
        self.kept = [[float(value) for value in row] for row in rows]
        self._hash = hashlib.sha256(text.getvalue().encode())
        if digest is not None and self.digest() != digest:
            raise DamagedRecords(path, "its rows are not those that were written to it")
        atomic_write_text(path, text.getvalue())
        self._file: TextIO = path.open("a", encoding="utf-8", newline="")
        self._writer = csv.writer(self, lineterminator="\n")

    def add(self, row: Sequence[float]) -> None:
        self._writer.writerow(row)

    def write(self, text: str) -> None:
        """Append the text of a row; called by the CSV writer."""
        self._file.write(text)
        self._hash.update(text.encode())

    def digest(self) -> str:
        return self._hash.hexdigest()

    def flush(self) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        self._file.close()


def _first_rows(path: Path, columns: Sequence[str], count: int) -> list[list[str]]:
    """Return the first `count` rows of a series after its header.

    Raises:
        DamagedRecords: If there are fewer, or if they are not consecutive.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(itertools.islice(csv.reader(file), 1, count + 1))
        numbers = [[float(value) for value in row] for row in rows]
    except (OSError, ValueError, csv.Error) as error:
        raise DamagedRecords(path, str(error)) from error
    if len(rows) < count or any(len(row) != len(columns) for row in rows):
        raise DamagedRecords(path, f"{count} rows were written to it")
    if any(row[0] != numbers[0][0] + number for number, row in enumerate(numbers)):
        raise DamagedRecords(path, "its rows are not consecutive")
    return rows


def _json_ready(value: Any) -> Any:
    """Replace nan and infinities by strings."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {key: _json_ready(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_json_ready(item) for item in value]
    return value
