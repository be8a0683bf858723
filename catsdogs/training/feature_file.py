"""`features.npy`: written in order, taken up again after an interruption, read row by row.

Neither writer nor reader maps the file into memory: on a full disk a map that is written kills the
process, and the pages of one that is read count as the process's own.
"""

import hashlib
import json
import logging
import os
from pathlib import Path
from typing import Any, BinaryIO, Self

import numpy as np
import numpy.typing as npt

from catsdogs.files import write_whole
from catsdogs.training.backbone import CHANNELS, SIDE

log = logging.getLogger(__name__)
ROW = (CHANNELS, SIDE, SIDE)
SAVE_EVERY = 256  # rows; what an interruption can cost


class FeatureRows:
    """Rows of a finished file, read from disk whenever they are asked for."""

    def __init__(self, path: Path, start: int, count: int) -> None:
        with path.open("rb") as file:
            np.lib.format.read_magic(file)
            _, _, self._dtype = np.lib.format.read_array_header_1_0(file)
            self._row_bytes = int(np.prod(ROW)) * self._dtype.itemsize
            self._offset = file.tell() + start * self._row_bytes
        self._path = path
        self._count = count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
        """Return copies of the rows of the given numbers, shape (n, 512, 8, 8).

        Raises:
            OSError: If the file is no longer as it was.
        """
        values = np.empty((len(rows), *ROW), self._dtype)
        with self._path.open("rb", buffering=0) as file:
            for row, place in zip(rows.tolist(), values, strict=True):
                if not 0 <= row < self._count:
                    raise IndexError(row)
                file.seek(self._offset + row * self._row_bytes)
                if file.readinto(place.data) != self._row_bytes:
                    raise OSError(f"{self._path}: row {row} cannot be read")
        return values


class FeatureWriter:
    """Writes the rows in order, and knows how many are safely on disk.

    Every `SAVE_EVERY` rows the file is synced and its checksum so far is put down beside it, so
    that after an interruption the next writer in the same folder goes on from there. Use as a
    context manager.

    Attributes:
        rows: How many are written, those of an earlier writer included.
    """

    def __init__(self, folder: Path, count: int, dtype: str) -> None:
        self._path = folder / "features.npy"
        self._saved = folder / "saved.json"
        self._dtype = dtype
        self.rows, self._hash = self._take_up()
        self._file: BinaryIO = self._path.open("r+b" if self.rows else "wb")
        if self.rows:
            self._file.seek(0, os.SEEK_END)
            return
        header = {
            "descr": np.lib.format.dtype_to_descr(np.dtype(dtype)),
            "fortran_order": False,
            "shape": (count, *ROW),
        }
        np.lib.format.write_array_header_1_0(self._file, header)
        self._file.flush()
        self._hash.update(self._path.read_bytes())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def append(self, features: npt.NDArray[Any]) -> None:
        """Write the next rows, shape (n, 512, 8, 8)."""
        data = features.astype(self._dtype).tobytes()
        self._file.write(data)
        self._hash.update(data)
        before, self.rows = self.rows, self.rows + len(features)
        if before // SAVE_EVERY < self.rows // SAVE_EVERY:
            self._save()

    def finish(self) -> str:
        """Sync the file, which is whole now, and return its SHA-256."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._saved.unlink(missing_ok=True)
        return self._hash.hexdigest()

    def _save(self) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())
        facts = {"rows": self.rows, "bytes": self._file.tell(), "sha256": self._hash.hexdigest()}
        write_whole(self._saved, json.dumps(facts))

    def _take_up(self) -> tuple[int, "hashlib._Hash"]:
        """Cut the file back to what was saved of it; nothing if that is not as it was saved."""
        begun = hashlib.sha256()
        try:
            saved = json.loads(self._saved.read_text(encoding="utf-8"))
            with self._path.open("r+b") as file:
                for _ in range(saved["bytes"] // (1 << 20)):
                    begun.update(file.read(1 << 20))
                begun.update(file.read(saved["bytes"] % (1 << 20)))
                if begun.hexdigest() == saved["sha256"]:
                    file.truncate(saved["bytes"])
                    return int(saved["rows"]), begun
        except FileNotFoundError:
            return 0, hashlib.sha256()
        except (OSError, ValueError, KeyError, TypeError):
            pass
        log.warning("the unfinished %s is damaged; starting it over", self._path)
        return 0, hashlib.sha256()
