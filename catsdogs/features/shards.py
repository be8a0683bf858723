"""Rows of one shape on disk, 256 to a file, each of which appears whole or not at all.

`000003-5f2c0a81c0ffee42.npy` holds rows 768 to 1,023, and its name the start of the SHA-256 of its
bytes. So several processes can write one folder at the same time, an interruption costs the file
in hand, and nothing that was damaged is taken for sound.

Files are not mapped into memory: on a full disk a map that is written kills the process, and the
pages of one that is read count as the process's own.
"""

import hashlib
import io
import logging
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from catsdogs.io.files import atomic_file, checksum, quarantine
from catsdogs.io.progress import progress

log = logging.getLogger(__name__)
SEGMENT = 256  # rows in a file
DIGITS = 16  # of a checksum that a file's name holds


class RowFiles:
    """The rows of a folder: `rows[numbers]` are copies of those, in that order.

    Args:
        folder: Need not be there yet.
        count: How many rows there are when all are written.
        shape: Of one row.
        dtype: Of its numbers.
    """

    def __init__(self, folder: Path, count: int, shape: tuple[int, ...], dtype: str) -> None:
        self.folder = folder
        self.count = count
        self.shape = shape
        self.dtype = np.dtype(dtype)
        self._row_bytes = int(np.prod(shape)) * self.dtype.itemsize
        self._found: dict[int, Path] = {}

    @property
    def segments(self) -> range:
        """The numbers of the files."""
        return range(-(-self.count // SEGMENT))

    def rows_of(self, segment: int) -> range:
        """Return the numbers of the rows in a file."""
        return range(segment * SEGMENT, min((segment + 1) * SEGMENT, self.count))

    def absent(self) -> list[int]:
        """Return the segments that have no file, whatever the state of the others."""
        self._found = {
            int(file.name.partition("-")[0]): file
            for file in sorted(self.folder.glob("[0-9]*-*.npy"), reverse=True)
        }
        return [segment for segment in self.segments if segment not in self._found]

    def missing(self, wanted: Iterable[int]) -> list[int]:
        """Return those of the wanted segments that have no sound file.

        A damaged file is set aside and named in a warning.
        """
        wanted, absent = list(wanted), set(self.absent())
        with progress(total=len(wanted), description="checking stored rows", unit="file") as bar:
            for segment in wanted:
                if segment not in absent and not self._is_sound(segment):
                    aside = quarantine(self._found.pop(segment))
                    log.warning("%s was damaged, so it is computed again", aside)
                    absent.add(segment)
                bar.update()
        return [segment for segment in wanted if segment in absent]

    def write(self, segment: int, values: npt.NDArray[Any]) -> None:
        """Write the rows of a segment, in order."""
        values = np.ascontiguousarray(values, self.dtype)
        parts = (_header(len(values), self), values.data.cast("B"))
        digest = hashlib.sha256()
        for part in parts:
            digest.update(part)
        self._found[segment] = self.folder / _name(segment, digest.hexdigest())
        with atomic_file(self._found[segment]) as partial:
            _write(partial, parts)

    def __getitem__(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
        """Return copies of the rows of the given numbers, shape (n, *shape).

        Raises:
            IndexError: For a number that is no row's.
            OSError: If a file is no longer as it was.
        """
        values = np.empty((len(rows), *self.shape), self.dtype)
        for segment, places in _by_segment(rows):
            with self._path(segment).open("rb", buffering=0) as file:
                for place in places:
                    row = int(rows[place])
                    if not 0 <= row < self.count:
                        raise IndexError(row)
                    file.seek(self.offset(row))
                    if file.readinto(values[place].data) != self._row_bytes:
                        raise OSError(f"{file.name}: row {row} cannot be read")
        return values

    def offset(self, row: int) -> int:
        """Return where a row begins in its file."""
        beside = len(self.rows_of(row // SEGMENT))
        return len(_header(beside, self)) + row % SEGMENT * self._row_bytes

    def _path(self, segment: int) -> Path:
        if segment not in self._found:
            self.absent()
        return self._found[segment]

    def _is_sound(self, segment: int) -> bool:
        path = self._found[segment]
        try:
            return path.name == _name(segment, checksum(path))
        except OSError:
            return False


class ScatteredWriter:
    """Writes the rows of an empty folder in any order; none can be read before `finish`."""

    def __init__(self, files: RowFiles) -> None:
        self._files = files
        for segment in files.segments:
            self._partial(segment).write_bytes(_header(len(files.rows_of(segment)), files))

    def write(self, rows: npt.NDArray[np.int64], values: npt.NDArray[Any]) -> None:
        """Write values (n, *shape) to the n rows given."""
        values = np.ascontiguousarray(values, self._files.dtype)
        for segment, places in _by_segment(rows):
            with self._partial(segment).open("r+b", buffering=0) as file:
                for place in places:
                    file.seek(self._files.offset(int(rows[place])))
                    file.write(values[place].data)

    def finish(self) -> None:
        """Give every file its name."""
        for segment in self._files.segments:
            partial = self._partial(segment)
            partial.replace(partial.with_name(_name(segment, checksum(partial))))

    def _partial(self, segment: int) -> Path:
        return self._files.folder / f".{segment:06}.partial"


def _write(file: Path, parts: Iterable[bytes | memoryview]) -> None:
    with file.open("wb") as opened:
        opened.writelines(parts)


def _name(segment: int, digest: str) -> str:
    return f"{segment:06}-{digest[:DIGITS]}.npy"


def _header(rows: int, files: RowFiles) -> bytes:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header,
        {
            "descr": np.lib.format.dtype_to_descr(files.dtype),
            "fortran_order": False,
            "shape": (rows, *files.shape),
        },
    )
    return header.getvalue()


def _by_segment(rows: npt.NDArray[np.int64]) -> Iterator[tuple[int, list[int]]]:
    """Yield each segment that the rows lie in, and the places of those among them."""
    places: dict[int, list[int]] = {}
    for place, row in enumerate(rows.tolist()):
        places.setdefault(row // SEGMENT, []).append(place)
    yield from places.items()
