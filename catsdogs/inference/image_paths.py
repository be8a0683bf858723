"""Image files named by `pictures=`: files, folders and patterns."""

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from catsdogs.data.image_folder import EXTENSIONS
from catsdogs.errors import UserError
from catsdogs.io.text import printable

Source = str | os.PathLike[str]
MAGIC = re.compile(r"[*?[]")


def list_images(sources: Iterable[Source]) -> list[Path]:
    """Return the files that the sources name, in order; a file named twice is returned twice.

    A folder is searched recursively for `EXTENSIONS`, following links, and its files are sorted. A
    file named directly or by a pattern may have any extension. `**` in a pattern matches any number
    of folders, without following links.

    Raises:
        UserError: If a source leads to no file.
    """
    return [file for source in sources for file in _files(os.fspath(source))]


def _files(source: str) -> list[Path]:
    path = Path(source).expanduser()
    if path.is_dir():
        found = sorted(_walk(path))
        if not found:
            raise UserError(
                f"pictures={printable(source)}: no file in this folder ends in "
                f"{', '.join(EXTENSIONS)}; name other files by a pattern such as FOLDER/*.bmp"
            )
        return found
    if os.path.lexists(path):
        return [path]
    if not MAGIC.search(source):
        raise UserError(f"pictures={printable(source)}: no such file or folder")
    found = [file for match in _matches(source, path) for file in _files_of(match)]
    if not found:
        raise UserError(f"pictures={printable(source)}: no file matches this pattern")
    return found


def _files_of(match: Path) -> list[Path]:
    return sorted(_walk(match)) if match.is_dir() else [match]


def _matches(source: str, path: Path) -> list[Path]:
    """Return the files and folders that match a pattern, sorted."""
    parts = path.parts
    first = next(index for index, part in enumerate(parts) if MAGIC.search(part))
    try:
        return sorted(Path(*parts[:first]).glob("/".join(parts[first:])))
    except ValueError as error:  # such as ** beside other characters
        raise UserError(f"pictures={printable(source)}: {error}") from error


def _walk(root: Path) -> Iterator[Path]:
    """Yield the images under a folder; a folder that several links lead to is searched once."""
    seen = set()
    for folder, inner, names in os.walk(root, followlinks=True):
        status = Path(folder).stat()
        if (status.st_dev, status.st_ino) in seen:
            inner.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        inner.sort()
        yield from (Path(folder, name) for name in names if Path(name).suffix.lower() in EXTENSIONS)
