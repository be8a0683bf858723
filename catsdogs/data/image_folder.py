"""Labelled images in a folder: the competition's flat layout, or one subfolder per class."""

import re
from collections.abc import Iterable
from pathlib import Path

from catsdogs.errors import UserError
from catsdogs.io.formatting import count

LABELS = {"dog": 0, "cat": 1}
EXTENSIONS = (".jpg", ".jpeg", ".png", ".webp")
LAYOUTS = "images named cat.N.jpg and dog.N.jpg, or folders cats/ and dogs/"
_FLAT_NAME = re.compile(r"(cat|dog)\.\d+", re.IGNORECASE)
_CLASS_FOLDER = re.compile(r"(cat|dog)s?", re.IGNORECASE)


def find_images(root: Path) -> dict[str, int]:
    """Map each image's path, relative to `root` with forward slashes, to its label.

    The order is that of the split: by label, then by file name as a string (`cat.10.jpg` before
    `cat.2.jpg`), then by folder. Files that cannot be opened, such as broken links, are included;
    the manifest gives the reason why they are not used.

    Raises:
        UserError: If the folder is absent, has no images in either layout, mixes the two layouts,
            or has only one class.
    """
    if not root.is_dir():
        raise UserError(f"data.root={root}: no such folder; give the folder of the images")
    flat = _by_label(root, _flat_images(root))
    folders = _by_label(root, _class_folder_images(root))
    if flat and folders:
        raise UserError(f"data.root={root}: has both layouts; keep one: {LAYOUTS}")
    found = flat or folders
    if not found:
        raise UserError(f"data.root={root}: no images found; expected {LAYOUTS}{_hint(root)}")
    for name, label in LABELS.items():
        if label not in found.values():
            raise UserError(
                f"data.root={root}: {count(len(found), 'image')}, but no {name}s; both classes are "
                "needed"
            )
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
    """Suggest a subfolder with images, as when an archive was unpacked one level deeper."""
    for folder in sorted(child for child in root.iterdir() if child.is_dir()):
        if any(True for _ in _flat_images(folder)) or any(
            True for _ in _class_folder_images(folder)
        ):
            return f"; did you mean data.root={folder}?"
    return ""
