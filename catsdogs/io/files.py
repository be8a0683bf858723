"""Files and folders that appear whole or not at all, and where those that are kept for reuse go."""

import contextlib
import glob
import hashlib
import os
import platform
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import platformdirs

from catsdogs.errors import UserError


def cache_directory() -> Path:
    """Return the folder for what can be rebuilt: `CATSDOGS_CACHE`, or the user's own cache.

    Raises:
        UserError: If the user has no home to keep a cache in.
    """
    chosen = os.environ.get("CATSDOGS_CACHE")
    if chosen:
        return expanded(Path(chosen), "CATSDOGS_CACHE")
    with contextlib.suppress(RuntimeError):  # of newer versions of platformdirs
        cache = Path(platformdirs.user_cache_dir("catsdogs"))
        if cache.is_absolute():  # older ones leave a ~ that stands for nothing as it is
            return cache
    raise UserError("CATSDOGS_CACHE: this user has no home to keep a cache in; set it to a folder")


def expanded(path: Path, setting: str) -> Path:
    """Return a path with the home that a leading `~` stands for.

    Raises:
        UserError: If there is no such home; `setting` says what chose it.
    """
    try:
        return path.expanduser()
    except RuntimeError as error:
        raise UserError(f"{setting}={path}: there is no such home; write it out") from error


def make_directory(path: Path, setting: str) -> Path:
    """Create a folder with its parents.

    Raises:
        UserError: If it cannot be created or written to; `setting` says what chose it.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        # Only writing tells: permission bits say nothing to root or on a read-only file system.
        with tempfile.TemporaryFile(dir=path):
            return path
    except OSError as error:
        raise UserError(
            f"{setting}={path}: cannot write to this folder ({error.strerror}); choose another"
        ) from error


def probe_directory(path: Path, setting: str) -> None:
    """Try to create and write to a folder, and leave nothing of the trial behind.

    Raises:
        UserError: If it cannot be created or written to; `setting` says what chose it.
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
    """Yield a name beside `path` to write to; on success it is synced and renamed to `path`.

    What a process left that was killed while it wrote the same file is removed first.
    """
    prefix, suffix = f".{path.name}.", ".partial"
    for left in path.parent.glob(f"{glob.escape(prefix)}*{suffix}"):
        if is_gone(left.name.removeprefix(prefix).removesuffix(suffix)):
            left.unlink(missing_ok=True)
    partial = path.with_name(f"{prefix}{this_process()}{suffix}")
    try:
        with _naming(path):
            yield partial
            sync(partial)
            partial.replace(path)
            sync(path.parent)
    finally:
        partial.unlink(missing_ok=True)


def atomic_write_text(path: Path, text: str) -> None:
    """Write a text file so that a reader finds the old content or the new, never a part."""
    with atomic_file(path) as partial:
        partial.write_text(text, encoding="utf-8")


@contextlib.contextmanager
def atomic_directory(path: Path) -> Iterator[Path]:
    """Yield an empty folder beside `path` to fill; on success it replaces `path`.

    The caller holds a lock on `path`: two writers would fill the same folder.
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


def quarantine(path: Path) -> Path:
    """Rename a damaged file or folder, so that nobody reads it and nothing of it is lost.

    Returns:
        Its new place, `NAME.damaged` beside the old one, with a number if that is taken.
    """
    aside = path.with_name(f"{path.name}.damaged")
    number = 2
    while aside.exists():
        aside = path.with_name(f"{path.name}.damaged-{number}")
        number += 1
    path.replace(aside)
    sync(aside.parent)
    return aside


def checksum(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Give an error of an open file, which names none, the name of what was to be written."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        # torch's writer raises an error of its own over that of the system.
        system = error if isinstance(error, OSError) else error.__context__
        if isinstance(system, OSError) and system.errno is not None and system.filename is None:
            system.filename = str(path)
        raise


def this_process() -> str:
    """Return a name for what belongs to this process, which `is_gone` understands."""
    return f"{platform.node()}.{os.getpid()}"


def is_gone(process: str) -> bool:
    """Tell whether a process of this machine is no more; of other machines' nothing is known."""
    node, _, number = process.rpartition(".")
    if node != platform.node() or not number.isdecimal():
        return False
    try:
        os.kill(int(number), 0)
    except ProcessLookupError:
        return True
    except OSError:  # somebody else's
        return False
    return False


def sync(path: Path) -> None:
    """Bring a file or the entries of a folder safely onto the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
