"""Unpacking of untrusted archives: plain files only, within limits, inside one folder.

The extraction of the standard library is not enough. `ZipFile.extractall` cleans names instead of
refusing the archive, and has no limits; the data filter of `tarfile` does so too, keeps links
between members, and is absent before Python 3.11.4.
"""

import contextlib
import errno
import lzma
import shutil
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple

from catsdogs.errors import UserError
from catsdogs.io.files import FULL_DISK
from catsdogs.io.progress import progress

MEGABYTE = 1_000_000
_BLOCK = 1 << 20
_ENCRYPTED = 0x1  # a bit of a zip member's flags
_ARCHIVES = {".zip", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".7z", ".rar"}
# Raised by zipfile, tarfile and the decompressors for damaged data.
_DAMAGE = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    ValueError,
    OverflowError,
    RuntimeError,  # includes NotImplementedError, for an unknown compression method
)
_BAD_NAMES = (errno.ENAMETOOLONG, errno.EILSEQ, errno.EINVAL)


class ArchiveError(UserError):
    """A damaged archive, or one whose contents are refused or not the expected ones."""


class _Member(NamedTuple):
    """One entry of either format; `fault` is the reason to refuse it, or empty."""

    name: str
    is_folder: bool
    fault: str
    open: Callable[[], IO[bytes] | None]


def unpack(archive: Path, folder: Path, *, most_files: int, most_bytes: int) -> None:
    """Write the files of a zip (`.zip`) or tar archive (any other name) into an empty folder.

    Permissions, owners and times are ignored. Nested archives are refused. Files written before
    an error stay, so the caller should unpack into a temporary folder and rename it on success.

    Args:
        archive: Path of the archive.
        folder: Destination, created if absent; nothing is written outside it.
        most_files: Largest number of members, folders included.
        most_bytes: Largest total size in bytes, counted while writing.

    Raises:
        ArchiveError: If the archive is damaged, empty or beyond a limit, or if a member is not a
            plain file or folder, is encrypted, occurs twice, or would be written outside `folder`.
        UserError: If the disk is full or cannot be written to.
    """
    with _named_errors(archive), archive.open("rb") as file, _bar(archive) as show:
        members = _zip_members(file) if archive.suffix == ".zip" else _tar_members(file)
        left, number = most_bytes, 0
        for number, member in enumerate(members, start=1):
            if number > most_files:
                raise ArchiveError(f"{archive}: holds more than {most_files} files")
            _check(archive, member)
            if not member.is_folder:
                left -= _write(archive, member, folder, left)
            show(file.tell())
        if not number:
            raise ArchiveError(f"{archive}: is empty")


def require_space(folder: Path, needed: int, purpose: str) -> None:
    """Check the free space on the disk of an existing folder.

    Args:
        folder: Any folder on the disk.
        needed: Bytes.
        purpose: Subject of the message, such as "the download".

    Raises:
        UserError: If fewer than `needed` bytes are free.
    """
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise UserError(
            f"{folder}: {purpose} needs {needed / MEGABYTE:,.0f} MB and {free / MEGABYTE:,.0f} MB "
            "are free; make room, or set CATSDOGS_CACHE to a folder on another disk"
        )


def _check(archive: Path, member: _Member) -> None:
    path = PurePosixPath(member.name)
    outside = path.is_absolute() or ".." in path.parts or "\\" in member.name or ":" in member.name
    if not member.name.isprintable():
        fault = "has a name that cannot be printed"
    elif outside:
        fault = "would be written outside its folder"
    elif path.suffix.lower() in _ARCHIVES and not member.is_folder:
        fault = "is an archive itself"
    else:
        fault = member.fault
    if fault:
        raise ArchiveError(f"{archive}: refused, {member.name!r} in it {fault}")


def _write(archive: Path, member: _Member, folder: Path, left: int) -> int:
    """Write one file of at most `left` bytes and return its size in bytes."""
    written = 0
    source = member.open()
    assert source is not None, member.name
    with source, _new_file(archive, member, folder) as target:
        while block := source.read(_BLOCK):
            written += len(block)
            if written > left:
                raise ArchiveError(
                    f"{archive}: refused, it unpacks to more than the expected size; "
                    f"{member.name!r} exceeds the limit"
                )
            target.write(block)
    return written


def _new_file(archive: Path, member: _Member, folder: Path) -> IO[bytes]:
    path = folder / member.name
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("xb")
    except (FileExistsError, NotADirectoryError, IsADirectoryError):
        raise ArchiveError(f"{archive}: refused, {member.name!r} is in it twice") from None
    except OSError as error:
        if error.errno not in _BAD_NAMES:
            raise
        raise ArchiveError(
            f"{archive}: refused, {member.name!r} in it is not a valid file name here"
        ) from error


def _zip_members(file: IO[bytes]) -> Iterator[_Member]:
    with zipfile.ZipFile(file) as archive:
        for info in archive.infolist():
            kind = stat.S_IFMT(info.external_attr >> 16)
            fault = ""
            if info.flag_bits & _ENCRYPTED:
                fault = "is encrypted"
            elif kind == stat.S_IFLNK:
                fault = "is a link"
            elif kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                fault = "is not a plain file"
            yield _Member(info.filename, info.is_dir(), fault, partial(archive.open, info))


def _tar_members(file: IO[bytes]) -> Iterator[_Member]:
    with tarfile.open(fileobj=file, mode="r:*") as archive:
        for info in archive:
            fault = ""
            if info.issym() or info.islnk():
                fault = "is a link"
            elif not info.isdir() and not info.isreg():
                fault = "is not a plain file"
            yield _Member(info.name, info.isdir(), fault, partial(archive.extractfile, info))


@contextlib.contextmanager
def _named_errors(archive: Path) -> Iterator[None]:
    """Turn the errors of both formats into one line that names the archive."""
    try:
        yield
    except (*_DAMAGE, OSError) as error:
        if isinstance(error, OSError) and error.errno in FULL_DISK:
            raise UserError(
                f"{archive}: the disk was full before it was unpacked; make room, or set "
                "CATSDOGS_CACHE to a folder on another disk"
            ) from error
        # A decompressor raises OSError without an errno, and a place before the file's begin, as a
        # damaged directory gives it, is an invalid argument. Other numbers come from the disk.
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise UserError(f"{archive}: cannot be unpacked ({error.strerror})") from error
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ArchiveError(f"{archive}: truncated, damaged or not an archive ({reason})") from error


@contextlib.contextmanager
def _bar(archive: Path) -> Iterator[Callable[[int], None]]:
    """Show a progress bar of the bytes read from the archive."""
    total = archive.stat().st_size // MEGABYTE
    with progress(total=total, description=f"unpacking {archive.name}", unit="MB") as bar:
        yield lambda position: bar.update(position // MEGABYTE - bar.n)
