"""Arrays on disk in shards of 256 rows, each of which appears whole or not at all.

`000003-5f2c0a81c0ffee42.npy` holds rows 768 to 1,023, and its name the start of the SHA-256 of its
bytes. So several processes can write to one folder at the same time, an interruption costs at most
one shard, and a damaged file is detected.

Files are not memory-mapped: writing to a map on a full disk kills the process, and the pages of a
map that is read count as the process's own memory.
"""

import contextlib
import errno
import hashlib
import io
import logging
import os
import weakref
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from catsdogs.io.cache import mark_in_use
from catsdogs.io.files import atomic_file, checksum, deletions_named, quarantine
from catsdogs.io.progress import progress

ROWS_PER_SHARD = 256
MOST_OPEN = 128  # files, of the 256 that macOS permits a process
DIGITS = 16  # of the checksum in a file's name
log = logging.getLogger(__name__)


class Shards:
    """The rows of a folder: `shards[rows]` returns copies of the rows with these numbers, in order.

    Args:
        folder: May be absent until the first write.
        count: Number of rows when all are written.
        shape: Of one row.
        dtype: Of the values.
    """

    def __init__(self, folder: Path, count: int, shape: tuple[int, ...], dtype: str) -> None:
        self.folder = folder
        self.count = count
        self.shape = shape
        self.dtype = np.dtype(dtype)
        self._row_bytes = int(np.prod(shape)) * self.dtype.itemsize
        self._found: dict[int, Path] = {}
        self._opened: dict[int, int] = {}
        weakref.finalize(self, _close_all, self._opened)

    @property
    def numbers(self) -> range:
        """The numbers of all shards."""
        return range(-(-self.count // ROWS_PER_SHARD))

    def rows_of(self, shard: int) -> range:
        """Return the numbers of the rows in a shard."""
        return range(shard * ROWS_PER_SHARD, min((shard + 1) * ROWS_PER_SHARD, self.count))

    def absent(self) -> list[int]:
        """Return the shards without a file; files are not checked for damage."""
        self._found = {
            int(file.name.partition("-")[0]): file
            for file in sorted(self.folder.glob("[0-9]*-*.npy"), reverse=True)
        }
        return [shard for shard in self.numbers if shard not in self._found]

    def open_files(self) -> None:
        """Open the files, at most `MOST_OPEN`, so that deleting them does not stop their use.

        The command `cache` does not remove the folder as long as this object exists.
        """
        mark_in_use(self.folder, self)
        for shard in set(self.numbers).difference(self.absent()):
            if len(self._opened) < MOST_OPEN:
                self._descriptor(shard)

    def missing(self, wanted: Iterable[int]) -> list[int]:
        """Return those of the wanted shards that have no undamaged file.

        A damaged file is quarantined, with a warning that names it.
        """
        wanted, absent = list(wanted), set(self.absent())
        with progress(total=len(wanted), description="checking stored rows", unit="file") as bar:
            for shard in wanted:
                if shard not in absent and not self._is_intact(shard):
                    with contextlib.suppress(FileNotFoundError):  # another process renamed it
                        aside = quarantine(self._found.pop(shard))
                        log.warning("%s was damaged; computing it again", aside)
                    absent.add(shard)
                bar.update()
        return [shard for shard in wanted if shard in absent]

    def write(self, shard: int, values: npt.NDArray[Any]) -> None:
        """Write all rows of a shard, in order."""
        values = np.ascontiguousarray(values, self.dtype)
        parts = (_header(len(values), self), values.data.cast("B"))
        digest = hashlib.sha256()
        for part in parts:
            digest.update(part)
        self.folder.mkdir(parents=True, exist_ok=True)  # the cache may have been deleted meanwhile
        self._found[shard] = self.folder / _name(shard, digest.hexdigest())
        if shard in self._opened:
            os.close(self._opened.pop(shard))
        with atomic_file(self._found[shard]) as partial:
            _write(partial, parts)

    def __getitem__(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
        """Return copies of the rows with the given numbers, shape (n, *shape).

        Raises:
            IndexError: For a number below 0 or from `count` on.
            OSError: If a file is shorter than it was.
            UserError: If a file was deleted.
        """
        values = np.empty((len(rows), *self.shape), self.dtype)
        for shard, positions in _by_shard(rows):
            with open(self._descriptor(shard), "rb", buffering=0, closefd=False) as file:
                for position in positions:
                    row = int(rows[position])
                    if not 0 <= row < self.count:
                        raise IndexError(row)
                    file.seek(self.offset(row))
                    if file.readinto(values[position].data) != self._row_bytes:
                        raise OSError(f"{self._found[shard]}: row {row} cannot be read")
        return values

    def offset(self, row: int) -> int:
        """Return the position in bytes of a row in its file."""
        rows_in_file = len(self.rows_of(row // ROWS_PER_SHARD))
        return len(_header(rows_in_file, self)) + row % ROWS_PER_SHARD * self._row_bytes

    def _descriptor(self, shard: int) -> int:
        """Return the descriptor of a shard's file, which stays open."""
        if shard not in self.numbers:
            raise IndexError(shard)
        if shard not in self._opened:
            if len(self._opened) == MOST_OPEN:
                os.close(self._opened.pop(next(iter(self._opened))))
            if shard not in self._found:
                self.absent()
            with deletions_named():
                if shard not in self._found:
                    raise FileNotFoundError(errno.ENOENT, "", str(self.folder))
                flags = os.O_RDONLY | getattr(os, "O_BINARY", 0)
                self._opened[shard] = os.open(self._found[shard], flags)
        return self._opened[shard]

    def _is_intact(self, shard: int) -> bool:
        path = self._found[shard]
        try:
            return path.name == _name(shard, checksum(path))
        except OSError:
            return False


class ScatteredWriter:
    """Write the rows of an empty folder in any order; none can be read before `finish`."""

    def __init__(self, shards: Shards) -> None:
        self._shards = shards
        for shard in shards.numbers:
            self._partial(shard).write_bytes(_header(len(shards.rows_of(shard)), shards))

    def write(self, rows: npt.NDArray[np.int64], values: npt.NDArray[Any]) -> None:
        """Write values (n, *shape) to the n rows given."""
        values = np.ascontiguousarray(values, self._shards.dtype)
        for shard, positions in _by_shard(rows):
            with self._partial(shard).open("r+b", buffering=0) as file:
                for position in positions:
                    file.seek(self._shards.offset(int(rows[position])))
                    file.write(values[position].data)

    def finish(self) -> None:
        """Rename every file to its final name."""
        for shard in self._shards.numbers:
            partial = self._partial(shard)
            partial.replace(partial.with_name(_name(shard, checksum(partial))))

    def _partial(self, shard: int) -> Path:
        return self._shards.folder / f".{shard:06}.partial"


def _close_all(descriptors: dict[int, int]) -> None:
    for descriptor in descriptors.values():
        os.close(descriptor)


def _write(file: Path, parts: Iterable[bytes | memoryview]) -> None:
    with file.open("wb") as opened:
        opened.writelines(parts)


def _name(shard: int, digest: str) -> str:
    return f"{shard:06}-{digest[:DIGITS]}.npy"


def _header(rows: int, shards: Shards) -> bytes:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header,
        {
            "descr": np.lib.format.dtype_to_descr(shards.dtype),
            "fortran_order": False,
            "shape": (rows, *shards.shape),
        },
    )
    return header.getvalue()


def _by_shard(rows: npt.NDArray[np.int64]) -> Iterator[tuple[int, list[int]]]:
    """Yield each shard that holds some of the rows, with the positions of these in `rows`."""
    positions: dict[int, list[int]] = {}
    for position, row in enumerate(rows.tolist()):
        positions.setdefault(row // ROWS_PER_SHARD, []).append(position)
    yield from positions.items()
