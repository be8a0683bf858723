"""The manifest: every picture decoded once, with what it is and which split it belongs to."""

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
FORMAT = 2  # of a kept manifest; those of others, checked by other rules, are not taken up
KEPT = "# sha256 of the lines below: "  # how a kept manifest begins
log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, slots=True)
class ManifestEntry:
    """One file, as it was found when it was decoded in full.

    Attributes:
        path: Relative to the manifest's root, with forward slashes. One line of UTF-8: a name that
            is not is escaped, and its picture not used.
        label: 1 for a cat, 0 for a dog.
        width: In pixels, upright; 0 if unreadable.
        height: In pixels, upright; 0 if unreadable.
        sha256: Of the file's bytes; empty if it could not be read at all.
        status: `ok`, or why it cannot be decoded.
        split: `train`, `val`, `test`, or empty for a picture that is not used.
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
    """The pictures of a folder, split; `used` is in the order of the feature store's rows."""

    root: Path
    images: tuple[ManifestEntry, ...]

    @property
    def used(self) -> list[ManifestEntry]:
        """Pictures that belong to a split: train, then val, then test, dogs first in each."""
        return [p for split in SPLITS for p in self.images if p.split == split]

    @property
    def unreadable(self) -> list[ManifestEntry]:
        """Pictures that could not be decoded; they belong to no split."""
        return [p for p in self.images if p.status != OK]

    @property
    def sha256(self) -> str:
        """Hash of the used pictures' labels, splits and contents: names and place do not count."""
        rows = (f"{p.split},{p.label},{p.sha256}" for p in self.used)
        return hashlib.sha256("\n".join(rows).encode()).hexdigest()

    def to_csv(self) -> str:
        """Return one line per picture, under a header line."""
        return _to_csv(self.images)


def make_manifest(
    root: Path, per_class: dict[Split, int], *, max_bad_fraction: float = 0.01
) -> Manifest:
    """Decode every picture under `root` once and split the readable ones.

    What was decoded is kept in the cache under the folder's listing (paths, sizes, modification
    times), so an unchanged folder is not decoded again.

    Args:
        root: A folder in one of the layouts of `find_pictures`.
        per_class: How many pictures of each class go to each split.
        max_bad_fraction: Above this share of unreadable pictures the folder is refused.

    Raises:
        UserError: If the folder is unusable, too much of it is unreadable, or it is too small.
    """
    root = expanded(root, "data.root").resolve()
    if not is_one_line(str(root)):
        raise UserError(f"data.root={one_line(str(root))}: {BAD_NAME}")
    images = _decode_all(root, find_images(root))
    bad = [p for p in images if p.status != OK]
    if len(bad) > max_bad_fraction * len(images):
        raise UserError(
            f"data.root={root}: {len(bad)} of {len(images)} pictures are unreadable, more than "
            f"data.max_bad_fraction={max_bad_fraction:g} allows; the first: {bad[0].path} "
            f"({bad[0].status})"
        )
    return Manifest(root, split_per_class(images, per_class))


def split_per_class(
    images: list[ManifestEntry], per_class: dict[Split, int]
) -> tuple[ManifestEntry, ...]:
    """Give the first readable pictures of each class to train, the next to val, the next to test.

    Raises:
        UserError: If a class has fewer readable pictures than the splits ask for.
    """
    asked = sum(per_class.values())
    splits: dict[str, str] = {}
    for name, label in LABELS.items():
        readable = [p.path for p in images if p.label == label and p.status == OK]
        if len(readable) < asked:
            settings = ", ".join(f"data.{split}_per_class={per_class[split]}" for split in SPLITS)
            raise UserError(
                f"too few {name}s: {settings} ask for {asked}, and {len(readable)} are readable"
            )
        wanted = [split for split in SPLITS for _ in range(per_class[split])]
        splits |= dict(zip(readable, wanted, strict=False))
    return tuple(dataclasses.replace(p, split=splits.get(p.path, "")) for p in images)


def _decode_all(root: Path, labels: dict[str, int]) -> list[ManifestEntry]:
    kept = make_directory(cache_directory() / "manifests", "CATSDOGS_CACHE")
    kept /= f"{_listing_hash(root, labels)}.csv"
    if kept.exists():
        try:
            return _read_kept(kept, labels)
        except (OSError, ValueError) as error:
            log.warning("the kept manifest %s is damaged (%s); checking again", kept, error)
    # Pillow releases the interpreter lock while it decodes, so threads use every core.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        images = list(
            progress(
                pool.map(lambda item: _decode(root, *item), labels.items()),
                total=len(labels),
                description="checking pictures",
                unit="picture",
            )
        )
    rows = _to_csv(images)
    atomic_write_text(kept, f"{KEPT}{_digest(rows)}\n{rows}")
    return images


def _decode(root: Path, path: str, label: int) -> ManifestEntry:
    if not is_one_line(path):
        return ManifestEntry(one_line(path), label, 0, 0, "", BAD_NAME)
    digest = ""
    try:
        file = root / path
        # Reading a pipe would wait for a writer, and a device may have no end.
        if not stat.S_ISREG(file.stat().st_mode):
            raise OSError("no regular file")
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
        except OSError as error:  # a link to nowhere or to itself
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


def _read_kept(file: Path, labels: dict[str, int]) -> list[ManifestEntry]:
    """Read a kept manifest.

    Raises:
        OSError: If it cannot be read.
        ValueError: If it is not as it was written, or not of these pictures.
    """
    first, _, rows = file.read_bytes().decode().partition("\n")
    if first != f"{KEPT}{_digest(rows)}":
        raise ValueError("its checksum is wrong")
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
        raise ValueError("it is of other pictures")
    return images
