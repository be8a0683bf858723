"""Image files named by `pictures=`: files, folders and patterns."""

import os
import re
from collections.abc import Iterable
from pathlib import Path

from catsdogs.data.image_search import EXTENSIONS, HIDDEN, Skipped, is_hidden, walk
from catsdogs.errors import UserError
from catsdogs.io.text import printable

Source = str | os.PathLike[str]
MAGIC = re.compile(r"[*?[]")


def list_images(sources: Iterable[Source]) -> list[Path]:
    """Return the files that the sources name, in order; a file named twice is returned twice.

    A folder is searched recursively for `EXTENSIONS`, following links, and its files are sorted. A
    file named directly or by a pattern may have any extension. `**` in a pattern matches any number
    of folders, without following links. Hidden and system files are skipped, unless one is named
    directly or the pattern has a part that starts with a dot. A warning counts what was skipped.

    Raises:
        UserError: If a source leads to no file.
    """
    skipped = Skipped()
    files = [file for source in sources for file in _files(os.fspath(source), skipped)]
    skipped.warn("pictures")
    return files


def _files(source: str, skipped: Skipped) -> list[Path]:
    path = Path(source).expanduser()
    if path.is_dir():
        found = sorted(walk(path, skipped))
        if not found:
            raise UserError(
                f"pictures={printable(source)}: no file in this folder ends in "
                f"{', '.join(EXTENSIONS)}{skipped.in_parentheses()}; name other files by a pattern "
                "such as FOLDER/*.bmp"
            )
        return found
    if os.path.lexists(path):
        return [path]
    if not MAGIC.search(source):
        raise UserError(f"pictures={printable(source)}: no such file or folder")
    found = [
        file for match in _matches(source, path, skipped) for file in _files_of(match, skipped)
    ]
    if not found:
        raise UserError(
            f"pictures={printable(source)}: no file matches this pattern{skipped.in_parentheses()}"
        )
    return found


def _files_of(match: Path, skipped: Skipped) -> list[Path]:
    return sorted(walk(match, skipped)) if match.is_dir() else [match]


def _matches(source: str, path: Path, skipped: Skipped) -> list[Path]:
    """Return the files and folders that match a pattern, sorted."""
    parts = path.parts
    first = next(index for index, part in enumerate(parts) if MAGIC.search(part))
    try:
        found = sorted(Path(*parts[:first]).glob("/".join(parts[first:])))
    except ValueError as error:  # such as ** beside other characters
        raise UserError(f"pictures={printable(source)}: {error}") from error
    if any(map(is_hidden, parts[first:])):
        return found
    visible = []
    for match in found:
        if any(map(is_hidden, match.parts[first:])):
            skipped.add(HIDDEN, match)
        else:
            visible.append(match)
    return visible
