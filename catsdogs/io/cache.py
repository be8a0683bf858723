"""Contents of the cache: what is there, and its removal unless a process uses it."""

import contextlib
import errno
import glob
import json
import os
import re
import shutil
import time
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from catsdogs.io.files import is_gone

STREAM = "stream-"  # prefix of the folder of a run that keeps one epoch at a time
# Names that this package gives, in each folder of the cache. Others are neither listed nor removed:
# CATSDOGS_CACHE may be a folder with other files.
NAMES = {
    "features": rf"\.?[0-9a-f]{{16}}(\..*)?|{STREAM}.*",
    "pixels": r"\.?[0-9a-f]{16}(\..*)?",
    "manifests": r"\.?[0-9a-f]{16}\.csv.*",
    "drawn": r"\.?edition\d.*",
    "kaggle": r"\.?dogs-vs-cats(\..*)?|train\.zip.*",
    "pets": r"\.?pictures(\..*)?|archives",
}
ONE_LOCK = ("kaggle", "pets")  # folders with one lock for all that is in them


@dataclass(frozen=True)
class Entry:
    """A file or folder of the cache that is removed as a whole.

    Attributes:
        path: Of the file or folder.
        kind: Name of the folder of the cache that it is in.
        nbytes: Size in bytes.
        last_use: Time of the last use or change, in seconds since the epoch.
        origin: What made it, in words.
    """

    path: Path
    kind: str
    nbytes: int
    last_use: float
    origin: str

    @property
    def in_use(self) -> bool:
        """Whether a process uses or makes it."""
        with self._held() as free:
            return not free

    def remove(self) -> bool:
        """Remove it unless a process uses it; return whether it was removed."""
        with self._held() as free:
            if free and self.path.is_dir() and not self.path.is_symlink():
                # Under another name first, so that no process finds half of it.
                aside = self.path.with_name(f".{self.path.name.lstrip('.')}.removed")
                shutil.rmtree(aside, ignore_errors=True)
                self.path.replace(aside)
                shutil.rmtree(aside)
            elif free:
                self.path.unlink(missing_ok=True)
            return free

    @contextlib.contextmanager
    def _held(self) -> Iterator[bool]:
        """Hold all locks of it, and yield whether that was possible."""
        if self.path.name.startswith(STREAM):
            yield is_left_over(self.path)
            return
        stem = "" if self.kind in ONE_LOCK else self.path.name.lstrip(".").partition(".")[0]
        with contextlib.ExitStack() as stack:
            try:
                for lock in self.path.parent.glob(f"{glob.escape(stem)}*.lock"):
                    stack.enter_context(FileLock(lock).acquire(timeout=0))
                if self.path.is_dir():
                    stack.callback(os.close, _locked(self.path, exclusive=True))
            except (OSError, Timeout):  # also where locks do not work: it may be in use
                yield False
            else:
                yield True


def list_cache(cache: Path) -> list[Entry]:
    """Return what this package has put in a cache, the largest first."""
    entries: list[Entry] = []
    for kind, pattern in NAMES.items():
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            entries += [
                _entry(path, kind)
                for path in sorted((cache / kind).iterdir())
                if re.fullmatch(pattern, path.name) and path.suffix != ".lock"
            ]
    return sorted(entries, key=lambda entry: -entry.nbytes)


def is_left_over(stream: Path) -> bool:
    """Return whether the process that a folder of `STREAM` is named after has ended."""
    return is_gone(stream.name.removeprefix(STREAM).rpartition("-")[0])


def mark_in_use(folder: Path, owner: object) -> None:
    """Keep a folder of the cache from being removed as long as `owner` exists.

    Its time of change becomes that of its last use, where the cache can be written to.
    """
    with contextlib.suppress(OSError):
        os.utime(folder)
    with contextlib.suppress(OSError):  # where locks do not work, nothing can be marked
        weakref.finalize(owner, os.close, _locked(folder, exclusive=False))


def _locked(folder: Path, *, exclusive: bool) -> int:
    """Lock a folder and return the descriptor that holds the lock.

    Raises:
        OSError: If another process holds it, or the system has no such locks.
    """
    try:
        import fcntl
    except ImportError as error:
        raise OSError(errno.ENOSYS, "no locks of folders") from error
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        operation = fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH
        fcntl.flock(descriptor, operation | fcntl.LOCK_NB)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _entry(path: Path, kind: str) -> Entry:
    nbytes, last_use = 0, 0.0
    for each in (path, *path.rglob("*")):
        with contextlib.suppress(OSError):  # removed meanwhile
            status = each.lstat()
            last_use = max(last_use, status.st_mtime)
            nbytes += status.st_size * (not each.is_dir())
    return Entry(path, kind, nbytes, min(last_use, time.time()), _origin(path, kind))


def _origin(path: Path, kind: str) -> str:
    if ".damaged" in path.name:
        return "damaged, and set aside"
    if path.name.startswith(STREAM):
        return "one epoch of a run on a small disk"
    if path.name.endswith((".partial", ".download", ".removed")):
        return "unfinished"
    if kind not in ("features", "pixels"):
        return "checks of images" if kind == "manifests" else f"data={kind}"
    try:
        facts = json.loads((path / "store.json").read_text(encoding="utf-8"))
        return _describe_store(facts)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return "unfinished"


def _describe_store(facts: dict[str, Any]) -> str:
    key = facts["key"]
    parts = [f"{facts['pictures']} images of {facts.get('root', 'an unknown folder')}"]
    parts += [f"weights {key['weights'][:8]}"] if "weights" in key else []
    parts += [f"{name} {key[name]}" for name in ("dtype", "device", "seed", "epoch") if name in key]
    return ", ".join(parts)
