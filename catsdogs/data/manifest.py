"""Manifest of an image folder: every image decoded once, with its facts and its split."""

import csv
import dataclasses
import hashlib
import io
import logging
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

from catsdogs.data.image_folder import LABELS, find_images
from catsdogs.data.images import read_image
from catsdogs.errors import UserError
from catsdogs.io.files import atomic_write_text, cache_directory, expanded, make_directory
from catsdogs.io.progress import progress
from catsdogs.io.text import is_one_line, one_line

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = ("train", "val", "test")
OK = "ok"
BAD_NAME = "its name is not one line of UTF-8: rename it"
FORMAT = 2  # of a cached manifest; raise it when the rules for readable images change
KEPT = "# sha256 of the lines below: "  # first line of a cached manifest
log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, slots=True)
class ManifestEntry:
    """Facts of one image file, found by decoding it completely.

    Attributes:
        path: Relative to the manifest's root, with forward slashes. A name that is not one line of
            UTF-8 is escaped, and its image not used.
        label: 1 for a cat, 0 for a dog.
        width: In pixels, upright; 0 if unreadable.
        height: In pixels, upright; 0 if unreadable.
        sha256: Of the file's bytes; empty if they could not be read.
        status: `ok`, or the reason why it cannot be used.
        split: `train`, `val` or `test`; empty for an image that is not used.
    """

    path: str
    label: int
    width: int
    height: int
    sha256: str
    status: str
    split: str = ""


@dataclasses.dataclass(frozen=True)
class Manifest:
    """The images of a folder and their splits.

    Attributes:
        root: The folder.
        images: All images, in the order of `find_images`.
    """

    root: Path
    images: tuple[ManifestEntry, ...]

    @property
    def used(self) -> list[ManifestEntry]:
        """Images of the splits in the order of the stores' rows: train, val, test; dogs first."""
        return [p for split in SPLITS for p in self.images if p.split == split]

    @property
    def unreadable(self) -> list[ManifestEntry]:
        """Images that cannot be used; they belong to no split."""
        return [p for p in self.images if p.status != OK]

    @property
    def sha256(self) -> str:
        """Hash of the used images' labels, splits and contents; independent of names and folder."""
        rows = (f"{p.split},{p.label},{p.sha256}" for p in self.used)
        return hashlib.sha256("\n".join(rows).encode()).hexdigest()

    def to_csv(self) -> str:
        """Return a header line and one line per image."""
        return _to_csv(self.images)


def make_manifest(
    root: Path, per_class: dict[Split, int], *, max_bad_fraction: float = 0.01
) -> Manifest:
    """Decode every image under `root` once and split the readable ones.

    The result is cached under a hash of the folder's listing (paths, sizes, modification times), so
    an unchanged folder is not decoded again.

    Args:
        root: A folder in one of the layouts of `find_images`.
        per_class: Number of images of each class in each split.
        max_bad_fraction: Largest accepted share of unreadable images, 0 to 1.

    Raises:
        UserError: If the folder is unusable, too many images are unreadable, or too few are left.
    """
    root = expanded(root, "data.root").resolve()
    if not is_one_line(str(root)):
        raise UserError(f"data.root={one_line(str(root))}: {BAD_NAME}")
    images = _decode_all(root, find_images(root))
    bad = [p for p in images if p.status != OK]
    if len(bad) > max_bad_fraction * len(images):
        raise UserError(
            f"data.root={root}: {len(bad)} of {len(images)} images are unreadable, "
            f"first {bad[0].path} ({bad[0].status}); repair or remove them, or raise "
            f"data.max_bad_fraction={max_bad_fraction:g}"
        )
    return Manifest(root, split_per_class(images, per_class))


def split_per_class(
    images: list[ManifestEntry], per_class: dict[Split, int]
) -> tuple[ManifestEntry, ...]:
    """Assign the first readable images of each class to train, the next to val, the next to test.

    Raises:
        UserError: If a class has fewer readable images than the splits need.
    """
    needed = sum(per_class.values())
    splits: dict[str, str] = {}
    for name, label in LABELS.items():
        readable = [p.path for p in images if p.label == label and p.status == OK]
        if len(readable) < needed:
            settings = ", ".join(f"data.{split}_per_class={per_class[split]}" for split in SPLITS)
            raise UserError(
                f"{settings}: too few {name}s: {needed} are needed, {len(readable)} are readable; "
                "use smaller splits or more images"
            )
        wanted = [split for split in SPLITS for _ in range(per_class[split])]
        splits |= dict(zip(readable, wanted, strict=False))
    # The escaped name of an unusable file may be the name of a readable one.
    return tuple(
        dataclasses.replace(p, split=splits.get(p.path, "") if p.status == OK else "")
        for p in images
    )


def _decode_all(root: Path, labels: dict[str, int]) -> list[ManifestEntry]:
    cached = make_directory(cache_directory() / "manifests", "CATSDOGS_CACHE")
    cached /= f"{_listing_hash(root, labels)}.csv"
    if cached.exists():
        try:
            return _read_cached(cached, labels)
        except (OSError, ValueError) as error:
            log.warning("%s is damaged (%s); checking the images again", cached, error)
    # Pillow releases the interpreter lock while it decodes, so threads use every core.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        images = list(
            progress(
                pool.map(lambda item: _decode(root, *item), labels.items()),
                total=len(labels),
                description="checking images",
                unit="image",
            )
        )
    rows = _to_csv(images)
    atomic_write_text(cached, f"{KEPT}{_digest(rows)}\n{rows}")
    return images


def _decode(root: Path, path: str, label: int) -> ManifestEntry:
    if not is_one_line(path):
        return ManifestEntry(one_line(path), label, 0, 0, "", BAD_NAME)
    digest = ""
    try:
        file = root / path
        # Reading a pipe would block until something is written, and a device may be endless.
        if not stat.S_ISREG(file.stat().st_mode):
            raise OSError("not a regular file")
        content = file.read_bytes()
        if not content:
            raise OSError("empty")
        digest = hashlib.sha256(content).hexdigest()
        image = read_image(io.BytesIO(content))
        return ManifestEntry(path, label, image.width, image.height, digest, OK)
    except OSError as error:
        reason = error.strerror or str(error)
        return ManifestEntry(path, label, 0, 0, digest, one_line(" ".join(reason.split())))


def _listing_hash(root: Path, labels: dict[str, int]) -> str:
    digest = hashlib.sha256(f"{FORMAT} {root}".encode())
    for path, label in labels.items():
        try:
            status = (root / path).stat()
            found = f"{status.st_size}\t{status.st_mtime_ns}"
        except OSError as error:  # a broken or circular link
            found = str(error.errno)
        digest.update(os.fsencode(f"\n{path}\t{label}\t{found}"))
    return digest.hexdigest()[:16]


def _to_csv(images: list[ManifestEntry] | tuple[ManifestEntry, ...]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(field.name for field in dataclasses.fields(ManifestEntry))
    writer.writerows(dataclasses.astuple(p) for p in images)
    return text.getvalue()


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _read_cached(file: Path, labels: dict[str, int]) -> list[ManifestEntry]:
    """Read a cached manifest.

    Raises:
        OSError: If it cannot be read.
        ValueError: If it is damaged or of other images.
    """
    first, _, rows = file.read_bytes().decode().partition("\n")
    if first != f"{KEPT}{_digest(rows)}":
        raise ValueError("wrong checksum")
    images = [
        ManifestEntry(
            path=row["path"],
            label=int(row["label"]),
            width=int(row["width"]),
            height=int(row["height"]),
            sha256=row["sha256"],
            status=row["status"],
        )
        for row in csv.DictReader(io.StringIO(rows))
    ]
    if [(p.path, p.label) for p in images] != [(one_line(p), n) for p, n in labels.items()]:
        raise ValueError("it is of other images")
    return images
