"""Labelled images in a folder: the competition's flat layout, or one subfolder per class."""

import contextlib
import itertools
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from catsdogs.data.image_search import EXTENSIONS, Skipped, is_hidden, walk
from catsdogs.errors import UserError
from catsdogs.io.formatting import count

LABELS = {"dog": 0, "cat": 1}
LAYOUTS = "images named cat.N.jpg and dog.N.jpg, or folders cats/ and dogs/"
HINT_DEPTH, HINT_FOLDERS = 3, 1000  # how far below the given folder a hint looks
_FLAT_NAME = re.compile(r"(cat|dog)\.\d+", re.IGNORECASE)
_CLASS_FOLDER = re.compile(r"(cat|dog)s?", re.IGNORECASE)


def find_images(root: Path) -> dict[str, int]:
    """Map each image's path, relative to `root` with forward slashes, to its label.

    The order is that of the split: by label, then by file name as a string (`cat.10.jpg` before
    `cat.2.jpg`), then by folder. Files that cannot be opened, such as broken links, are included;
    the manifest gives the reason why they are not used. A warning counts what was skipped: hidden
    and system files, files that are not images, and folders that cannot be read.

    Raises:
        UserError: If the folder is absent, has no images in either layout, mixes the two layouts,
            or has only one class.
    """
    if not root.is_dir():
        raise UserError(f"data.root={root}: no such folder; give the folder of the images")
    skipped = Skipped()
    flat, folders = (_by_label(root, found) for found in _both_layouts(root, skipped))
    if flat and folders:
        raise UserError(f"data.root={root}: has both layouts; keep one: {LAYOUTS}")
    found = flat or folders
    if not found:
        raise UserError(
            f"data.root={root}: no images found{skipped.in_parentheses()}; expected "
            f"{LAYOUTS}{_hint(root)}"
        )
    for name, label in LABELS.items():
        if label not in found.values():
            raise UserError(
                f"data.root={root}: {count(len(found), 'image')}, but no {name}s"
                f"{skipped.in_parentheses()}; both classes are needed"
            )
    skipped.warn(f"data.root={root}")
    return found


def _both_layouts(
    root: Path, skipped: Skipped
) -> tuple[list[tuple[str, Path]], list[tuple[str, Path]]]:
    """Return the images of each layout, with the word that gives the label."""
    flat, folders = [], []
    for path in sorted(root.iterdir()):
        is_folder = path.is_dir()
        match = _CLASS_FOLDER.fullmatch(path.name) if is_folder else _FLAT_NAME.fullmatch(path.stem)
        if is_hidden(path.name) or not (is_folder or path.suffix.lower() in EXTENSIONS):
            skipped.add_file(path)
        elif not match:
            skipped.add("other folder" if is_folder else "image with another name", path)
        elif is_folder:
            folders += [(match[1], file) for file in walk(path, skipped)]
        else:
            flat.append((match[1], path))
    return flat, folders


def _by_label(root: Path, images: Iterable[tuple[str, Path]]) -> dict[str, int]:
    rows = [
        (LABELS[kind.lower()], file.name, file.relative_to(root).as_posix())
        for kind, file in images
    ]
    return {path: label for label, _, path in sorted(rows)}


def _hint(root: Path) -> str:
    """Suggest a folder below with images, as when an archive was unpacked one level deeper."""
    for folder in itertools.islice(_folders_below(root), HINT_FOLDERS):
        with contextlib.suppress(OSError):
            if any(_both_layouts(folder, Skipped())):
                return f"; did you mean data.root={folder}?"
    return ""


def _folders_below(root: Path) -> Iterator[Path]:
    """Yield the visible folders below a folder, those nearer to it first."""
    level = [root]
    for _ in range(HINT_DEPTH):
        below = []
        for parent in level:
            with contextlib.suppress(OSError):
                below += sorted(
                    path for path in parent.iterdir() if path.is_dir() and not is_hidden(path.name)
                )
        yield from below
        level = below
