"""Search of folders for images, with a count of everything that it skips."""

import logging
import os
from collections.abc import Iterator
from pathlib import Path

from catsdogs.io.formatting import count
from catsdogs.io.text import printable

EXTENSIONS = (".jpg", ".jpeg", ".png", ".webp")
# Besides names that start with a dot, such as macOS's `._x.jpg` and `.DS_Store`. NAS systems and
# file managers keep thumbnails in some of these folders, under the extensions of images.
SYSTEM_NAMES = {
    "__macosx",
    "@eadir",
    "#recycle",
    "$recycle.bin",
    "system volume information",
    "lost+found",
    "thumbs.db",
    "desktop.ini",
}
HIDDEN, UNREADABLE = "hidden or system file", "unreadable folder"
MOST_KINDS = 5  # in a warning
log = logging.getLogger(__name__)


def is_hidden(name: str) -> bool:
    """Return whether a file or folder of this name is hidden, or belongs to a system."""
    return (name.startswith(".") and name not in (".", "..")) or name.lower() in SYSTEM_NAMES


class Skipped:
    """Files and folders that a search skipped: their number by kind, and the first of each."""

    def __init__(self) -> None:
        self._kinds: dict[str, tuple[int, str]] = {}

    def __str__(self) -> str:
        kinds = sorted(self._kinds.items(), key=lambda item: item[0] != UNREADABLE)
        rest = sum(number for _, (number, _) in kinds[MOST_KINDS:])
        parts = [
            f"{count(number, kind)} (first: {first})"
            for kind, (number, first) in kinds[:MOST_KINDS]
        ]
        return ", ".join(parts + [count(rest, "other file")] * bool(rest))

    def add(self, kind: str, example: str | os.PathLike[str]) -> None:
        """Count a file or folder.

        Args:
            kind: A noun that takes an s in the plural.
            example: Its path.
        """
        number, first = self._kinds.get(kind, (0, printable(example)))
        self._kinds[kind] = number + 1, first

    def add_file(self, path: Path) -> None:
        """Count a file that is hidden or not an image."""
        extension = path.suffix.lower() or "extensionless"
        self.add(HIDDEN if is_hidden(path.name) else f"{extension} file", path)

    def warn(self, setting: str) -> None:
        """Log one line, if anything was skipped.

        Args:
            setting: Start of the line, such as `data.root=PATH`.
        """
        if self._kinds:
            log.warning("%s: skipped %s", setting, self)

    def in_parentheses(self) -> str:
        """Return what was skipped, for the end of a message; empty if nothing was."""
        return f" (skipped {self})" if self._kinds else ""


def walk(root: Path, skipped: Skipped) -> Iterator[Path]:
    """Yield the images under a folder in the order of their folders, following links.

    Hidden and system files, other extensions and folders that cannot be read are counted. A folder
    that several links lead to is searched once.
    """

    def unreadable(error: OSError) -> None:
        skipped.add(UNREADABLE, f"{error.filename}, {error.strerror}")

    seen = set()
    for folder, inner, names in os.walk(root, onerror=unreadable, followlinks=True):
        try:
            status = Path(folder).stat()
        except OSError as error:  # it was deleted meanwhile
            unreadable(error)
            continue
        if (status.st_dev, status.st_ino) in seen:
            inner.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        for name in inner:
            if is_hidden(name):
                skipped.add(HIDDEN, Path(folder, name))
        inner[:] = sorted(name for name in inner if not is_hidden(name))
        for name in sorted(names):
            path = Path(folder, name)
            if is_hidden(name) or path.suffix.lower() not in EXTENSIONS:
                skipped.add_file(path)
            else:
                yield path
