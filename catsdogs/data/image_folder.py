"""Find labelled pictures in a folder: the competition's flat layout, or one folder per class."""

import re
from collections.abc import Iterable
from pathlib import Path

from catsdogs.errors import UserError

LABELS = {"dog": 0, "cat": 1}
EXTENSIONS = (".jpg", ".jpeg", ".png", ".webp")
LAYOUTS = "pictures named cat.N.jpg and dog.N.jpg, or folders cats/ and dogs/"
_FLAT_NAME = re.compile(r"(cat|dog)\.\d+", re.IGNORECASE)
_CLASS_FOLDER = re.compile(r"(cat|dog)s?", re.IGNORECASE)


def find_images(root: Path) -> dict[str, int]:
    """Map each picture's path, relative to `root` with forward slashes, to its label.

    Paths come per class in the order in which the split takes them: sorted as strings by file name
    (`cat.10.jpg` before `cat.2.jpg`), then by folder. What bears a picture's name and cannot be
    opened, such as a link to nowhere, is among them: the manifest says why it is not used.

    Raises:
        UserError: If the folder is absent, holds no pictures in either layout, mixes the two
            layouts, or holds one class only.
    """
    if not root.is_dir():
        raise UserError(f"data.root={root}: there is no such folder")
    flat = _by_label(root, _flat_images(root))
    folders = _by_label(root, _class_folder_images(root))
    if flat and folders:
        raise UserError(f"data.root={root}: holds both layouts; keep one: {LAYOUTS}")
    found = flat or folders
    if not found:
        raise UserError(f"data.root={root}: no pictures found; expected {LAYOUTS}{_hint(root)}")
    for name, label in LABELS.items():
        if label not in found.values():
            raise UserError(f"data.root={root}: {len(found)} pictures, and no {name}s among them")
    return found


def _flat_images(root: Path) -> Iterable[tuple[str, Path]]:
    for file in root.iterdir():
        match = _FLAT_NAME.fullmatch(file.stem)
        if match and _is_image(file):
            yield match[1], file


def _class_folder_images(root: Path) -> Iterable[tuple[str, Path]]:
    for folder in root.iterdir():
        match = _CLASS_FOLDER.fullmatch(folder.name)
        if match and folder.is_dir():
            yield from ((match[1], file) for file in folder.rglob("*") if _is_image(file))


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in EXTENSIONS and not path.is_dir()


def _by_label(root: Path, images: Iterable[tuple[str, Path]]) -> dict[str, int]:
    rows = [
        (LABELS[kind.lower()], file.name, file.relative_to(root).as_posix())
        for kind, file in images
    ]
    return {path: label for label, _, path in sorted(rows)}


def _hint(root: Path) -> str:
    """Name a subfolder that looks like what was meant, for an archive unpacked one level deeper."""
    for folder in sorted(child for child in root.iterdir() if child.is_dir()):
        if any(True for _ in _flat_images(folder)) or any(
            True for _ in _class_folder_images(folder)
        ):
            return f". Did you mean data.root={folder}?"
    return ""
