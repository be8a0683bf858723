"""From what a user names (files, folders, patterns) to the picture files meant, and their names."""

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
    """Return the files that the sources name, in their order; a file named twice comes twice.

    A folder is searched in depth for `EXTENSIONS`, links followed, and gives its files sorted. A
    file named by itself or by a pattern is taken whatever its extension, even if it turns out to be
    no picture. `**` in a pattern stands for any folders, links not followed.

    Raises:
        UserError: For a source that leads to no file.
    """
    return [file for source in sources for file in _files(os.fspath(source))]


def _files(source: str) -> list[Path]:
    path = Path(source).expanduser()
    if path.is_dir():
        found = sorted(_in_depth(path))
        if not found:
            raise UserError(
                f"pictures={printable(source)}: holds no file that ends in "
                f"{', '.join(EXTENSIONS)}; name other files by a pattern, as FOLDER/*.bmp"
            )
        return found
    if os.path.lexists(path):
        return [path]
    if not MAGIC.search(source):
        raise UserError(f"pictures={printable(source)}: there is no such file or folder")
    found = [file for match in _matches(source, path) for file in _files_of(match)]
    if not found:
        raise UserError(f"pictures={printable(source)}: no file has such a name")
    return found


def _files_of(match: Path) -> list[Path]:
    return sorted(_in_depth(match)) if match.is_dir() else [match]


def _matches(source: str, path: Path) -> list[Path]:
    """Return what a pattern matches, sorted."""
    parts = path.parts
    first = next(index for index, part in enumerate(parts) if MAGIC.search(part))
    try:
        return sorted(Path(*parts[:first]).glob("/".join(parts[first:])))
    except ValueError as error:  # ** beside other characters
        raise UserError(f"pictures={printable(source)}: {error}") from error


def _in_depth(root: Path) -> Iterator[Path]:
    """Yield the pictures under a folder; one that links lead to again is searched once."""
    seen = set()
    for folder, inner, names in os.walk(root, followlinks=True):
        status = Path(folder).stat()
        if (status.st_dev, status.st_ino) in seen:
            inner.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        inner.sort()
        yield from (Path(folder, name) for name in names if Path(name).suffix.lower() in EXTENSIONS)
