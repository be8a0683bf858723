"""Atomic writes of files and folders, and the cache directory."""

import contextlib
import errno
import glob
import hashlib
import os
import platform
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import platformdirs

from catsdogs.errors import UserError

FULL_DISK = (errno.ENOSPC, errno.EDQUOT)
# Errors of fsync where a file system has no such call, as for folders on some network ones.
NO_SYNC = {errno.EINVAL, errno.ENOSYS, errno.ENOTSUP}


def cache_directory() -> Path:
    """Return the folder for files that can be recreated: `CATSDOGS_CACHE`, or the user's cache.

    Raises:
        UserError: If `CATSDOGS_CACHE` is unset and the user has no home folder.
    """
    chosen = os.environ.get("CATSDOGS_CACHE")
    if chosen:
        return expanded(Path(chosen), "CATSDOGS_CACHE")
    # Without a home folder newer versions of platformdirs raise, and older ones return a `~`.
    with contextlib.suppress(RuntimeError):
        cache = Path(platformdirs.user_cache_dir("catsdogs"))
        if cache.is_absolute():
            return cache
    raise UserError("CATSDOGS_CACHE: not set, and this user has no home folder; set it to a folder")


def expanded(path: Path, setting: str) -> Path:
    """Return a path with a leading `~` or `~user` replaced by the home folder.

    Args:
        path: Absolute or relative.
        setting: Name of the setting that chose it, for the message.

    Raises:
        UserError: If the home folder does not exist.
    """
    try:
        return path.expanduser()
    except RuntimeError as error:
        raise UserError(f"{setting}={path}: no such home folder; write out the path") from error


def make_directory(path: Path, setting: str) -> Path:
    """Create a folder with its parents if it is absent, and return it.

    Args:
        path: Of the folder.
        setting: Name of the setting that chose it, for the message.

    Raises:
        UserError: If it cannot be created or written to.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        # Permission bits do not suffice: root ignores them, and so does a read-only file system.
        with tempfile.TemporaryFile(dir=path):
            return path
    except OSError as error:
        raise UserError(
            f"{setting}={path}: cannot write to this folder ({error.strerror}); choose another"
        ) from error


def probe_directory(path: Path, setting: str) -> None:
    """Check that a folder can be created and written to, and remove what the check created.

    Args:
        path: Of the folder.
        setting: Name of the setting that chose it, for the message.

    Raises:
        UserError: If it cannot be created or written to.
    """
    absent = [folder for folder in (path, *path.parents) if not folder.exists()]
    try:
        make_directory(path, setting)
    finally:
        for folder in absent:
            with contextlib.suppress(OSError):
                folder.rmdir()


@contextlib.contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it is synced and renamed to `path`.

    Temporary files that killed processes left of the same file are removed first.
    """
    prefix, suffix = f".{path.name}.", ".partial"
    for left in path.parent.glob(f"{glob.escape(prefix)}*{suffix}"):
        if is_gone(left.name.removeprefix(prefix).removesuffix(suffix)):
            _remove(left)
    partial = path.with_name(f"{prefix}{this_process()}{suffix}")
    try:
        with _naming(path):
            yield partial
            sync(partial)
            partial.replace(path)
            sync(path.parent)
    except BaseException:
        _remove(partial)
        raise


def atomic_write_text(path: Path, text: str) -> None:
    """Write a text file as UTF-8; a reader sees either the old content or the new."""
    with atomic_file(path) as partial:
        partial.write_text(text, encoding="utf-8")


@contextlib.contextmanager
def atomic_directory(path: Path) -> Iterator[Path]:
    """Yield an empty temporary folder beside `path`; on success it replaces `path`.

    The caller must hold a lock: two writers would fill the same temporary folder.
    """
    partial = path.with_name(f".{path.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        with _naming(path):
            yield partial
            for file in (*partial.iterdir(), partial):
                sync(file)
            shutil.rmtree(path, ignore_errors=True)
            partial.replace(path)
            sync(path.parent)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


@contextlib.contextmanager
def deletions_named() -> Iterator[None]:
    """Turn the absence of a file that was there before into one line."""
    try:
        yield
    except FileNotFoundError as error:
        raise UserError(
            f"{error.filename}: deleted while it was in use; run the same command again"
        ) from error


def quarantine(path: Path) -> Path:
    """Rename a damaged file or folder, so that it is neither read nor lost.

    Returns:
        Its new path: `NAME.damaged` in the same folder, with a number if that exists.
    """
    aside = path.with_name(f"{path.name}.damaged")
    number = 2
    while aside.exists():
        aside = path.with_name(f"{path.name}.damaged-{number}")
        number += 1
    path.replace(aside)
    sync(aside.parent)
    return aside


def open_regular(path: Path) -> BinaryIO:
    """Open a regular file for reading.

    Opening a pipe would block until another process writes to it, and a device may be endless.

    Raises:
        OSError: If it cannot be opened or is not a regular file.
    """
    descriptor = os.open(
        path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    )
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError("not a regular file")
    return os.fdopen(descriptor, "rb")


def checksum(path: Path) -> str:
    """Return the SHA-256 of a file as hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Add the file's name to the system's errors that have none, as those of an open file."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        # torch's writer raises a RuntimeError while it handles the system's error.
        system = error if isinstance(error, OSError) else error.__context__
        if isinstance(system, OSError) and system.errno is not None and system.filename is None:
            system.filename = str(path)
        raise


def this_process() -> str:
    """Return the name of this process, for `is_gone`: machine and process number."""
    return f"{platform.node()}.{os.getpid()}"


def is_gone(process: str) -> bool:
    """Return whether a process of this machine has ended; False for other machines' processes."""
    node, _, number = process.rpartition(".")
    if node != platform.node() or not number.isdecimal():
        return False
    try:
        os.kill(int(number), 0)
    except ProcessLookupError:
        return True
    except OSError:  # it belongs to another user
        return False
    return False


def sync(path: Path) -> None:
    """Flush a file, or the entries of a folder, to the disk, where its file system can."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in NO_SYNC:
            raise
    finally:
        os.close(descriptor)


def _remove(partial: Path) -> None:
    """Remove a temporary file if possible; one that stays is removed by the file's next writer."""
    with contextlib.suppress(OSError):
        partial.unlink()
