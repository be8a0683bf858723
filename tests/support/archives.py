"""Harmful or damaged archives, each as a function that writes one to a path."""

import io
import stat
import struct
import tarfile
import warnings
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path

Write = Callable[[Path], None]
ZEROS = bytes(5_000_000)  # compresses to a thousandth of its size


def zipped(*members: tuple[str, bytes], kind: int = stat.S_IFREG, flags: int = 0) -> Write:
    """Return a function that writes a zip.

    Args:
        members: Names and contents.
        kind: File type of the last member.
        flags: Flag bits of every member, 1 for encrypted.
    """

    def write(path: Path) -> None:
        with warnings.catch_warnings(), zipfile.ZipFile(path, "w") as archive:
            warnings.filterwarnings("ignore", "Duplicate name")
            for number, (name, content) in enumerate(members, start=1):
                info = zipfile.ZipInfo(name)
                info.compress_type = zipfile.ZIP_DEFLATED
                if number == len(members):
                    info.external_attr = (kind | 0o644) << 16
                archive.writestr(info, content)
        if flags:
            _set_flags(path, flags)

    return write


def tarred(*members: tuple[str, bytes], kind: bytes = tarfile.REGTYPE, target: str = "") -> Write:
    """Return a function that writes a tar.gz.

    Args:
        members: Names and contents.
        kind: Type of the last member.
        target: Link target of the last member.
    """

    def write(path: Path) -> None:
        with tarfile.open(path, "w:gz") as archive:
            for number, (name, content) in enumerate(members, start=1):
                info = tarfile.TarInfo(name)
                if number == len(members):
                    info.type, info.linkname = kind, target
                info.size = len(content) if info.isreg() else 0
                archive.addfile(info, io.BytesIO(content))

    return write


def changed(original: Write, change: Callable[[bytes], bytes]) -> Write:
    """Return a function that writes an archive with its bytes changed."""

    def write(path: Path) -> None:
        original(path)
        path.write_bytes(change(path.read_bytes()))

    return write


def overlapping(path: Path) -> None:
    """Write a zip with many names for the same compressed bytes, 5 MB each."""
    zipped(("a.jpg", ZEROS))(path)
    content = path.read_bytes()
    start = content.index(b"PK\x01\x02")
    entry, end = content[start : content.index(b"PK\x05\x06")], content[-22:]
    names = [entry.replace(b"a.jpg", b"%05d" % number) for number in range(1000)]
    directory = b"".join(names)
    counts = struct.pack("<HHL", len(names), len(names), len(directory))
    path.write_bytes(content[:start] + directory + end[:8] + counts + end[16:])


def names(count: int) -> Iterable[tuple[str, bytes]]:
    """Return `count` members of one byte."""
    return ((f"{number}.jpg", b"x") for number in range(count))


def _set_flags(path: Path, flags: int) -> None:
    """Set bits in the flags of every local header and every directory entry."""
    content = bytearray(path.read_bytes())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        position = content.find(signature)
        while position >= 0:
            content[position + offset] |= flags
            position = content.find(signature, position + 4)
    path.write_bytes(content)
