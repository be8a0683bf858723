"""Manifest of an image folder: every image decoded once, with its facts and its split."""

import csv
import dataclasses
import hashlib
import io
import itertools
import logging
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

from catsdogs.data.image_folder import LABELS, find_images
from catsdogs.data.images import read_content, read_image
from catsdogs.errors import UserError
from catsdogs.io.cache import mark_in_use
from catsdogs.io.files import atomic_write_text, cache_directory, expanded, make_directory
from catsdogs.io.progress import progress
from catsdogs.io.text import is_one_line, one_line

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = ("train", "val", "test")
Duplicates = Literal["drop", "keep", "refuse"]
OK = "ok"
BAD_NAME = "its name is not one line of UTF-8: rename it"
FORMAT = 3  # of a cached manifest; raise it when the rules for readable images change
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
    root: Path,
    per_class: dict[Split, int],
    *,
    max_bad_fraction: float = 0.01,
    duplicates: Duplicates = "drop",
) -> Manifest:
    """Decode every image under `root` once and split the readable ones.

    The result is cached under a hash of the folder's listing (paths, sizes, times), so
    an unchanged folder is not decoded again.

    Args:
        root: A folder in one of the layouts of `find_images`.
        per_class: Number of images of each class in each split.
        max_bad_fraction: Largest accepted share of unreadable images, 0 to 1.
        duplicates: Treatment of files with the same content, which a warning counts: `drop` keeps
            an image out of validation and test if it is in another split, in the same one, or
            under both labels; `keep` uses all; `refuse` stops.

    Raises:
        UserError: If the folder is unusable, too many images are unreadable, or too few are left;
            with `refuse` also if two files have the same content.
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
    manifest = Manifest(root, split_per_class(images, per_class, duplicates))
    for folder in (root, root.parent):  # that of a download is below the one that is removed
        if folder.is_relative_to(cache_directory().resolve()):
            mark_in_use(folder, manifest)
    return manifest


def split_per_class(
    images: list[ManifestEntry], per_class: dict[Split, int], duplicates: Duplicates = "drop"
) -> tuple[ManifestEntry, ...]:
    """Assign the first readable images of each class to train, the next to val, the next to test.

    Args:
        images: In the order of `find_images`.
        per_class: Number of images of each class in each split.
        duplicates: As for `make_manifest`; the next image takes the place of one that is dropped.

    Raises:
        UserError: If a class has fewer readable images than the splits need; with `refuse` also
            if two have the same content.
    """
    readable = [p for p in images if p.status == OK]
    copies = _copies(readable)
    if copies and duplicates == "refuse":
        raise UserError(
            f"data.duplicates=refuse: {_describe(copies)}; remove them, or use data.duplicates=drop"
        )
    # Contents that validation and test must not have; first those under both labels.
    avoided = {copy.sha256 for copy, first in copies if copy.label != first.label}
    splits: dict[str, str] = {}
    dropped: set[str] = set()
    for split, label in itertools.product(SPLITS, LABELS.values()):
        wanted = per_class[split]
        for image in readable:
            if image.label != label or image.path in splits:
                continue
            if not wanted:
                break
            if duplicates == "drop" and split != "train" and image.sha256 in avoided:
                dropped.add(image.path)
            else:
                splits[image.path] = split
                avoided.add(image.sha256)
                wanted -= 1
        if wanted:
            _refuse_too_few(label, per_class, readable, dropped)
    if copies:
        action = "all kept" if duplicates == "keep" else f"{len(dropped)} left out of val and test"
        log.warning("data.duplicates=%s: %s; %s", duplicates, _describe(copies), action)
    # The escaped name of an unusable file may be the name of a readable one.
    return tuple(
        dataclasses.replace(p, split=splits.get(p.path, "") if p.status == OK else "")
        for p in images
    )


def _refuse_too_few(
    label: int, per_class: dict[Split, int], readable: list[ManifestEntry], dropped: set[str]
) -> None:
    (name,) = (name for name, number in LABELS.items() if number == label)
    found = [image.path for image in readable if image.label == label]
    number = len(dropped.intersection(found))
    copies = f", {number} of them copies that data.duplicates=drop leaves out" * bool(number)
    settings = ", ".join(f"data.{split}_per_class={per_class[split]}" for split in SPLITS)
    raise UserError(
        f"{settings}: too few {name}s: {sum(per_class.values())} are needed, {len(found)} are "
        f"readable{copies}; use smaller splits or more images"
    )


def _copies(readable: list[ManifestEntry]) -> list[tuple[ManifestEntry, ManifestEntry]]:
    """Return each image whose content an earlier one has, with the first that has it."""
    first: dict[str, ManifestEntry] = {}
    return [
        (image, first[image.sha256])
        for image in readable
        if first.setdefault(image.sha256, image) is not image
    ]


def _describe(copies: list[tuple[ManifestEntry, ManifestEntry]]) -> str:
    (copy, first), mislabelled = copies[0], sum(one.label != two.label for one, two in copies)
    both = f", {mislabelled} of them under the other label" * bool(mislabelled)
    number = "1 image is a copy" if len(copies) == 1 else f"{len(copies)} images are copies"
    return f"{number} of another (first: {copy.path}, the same as {first.path}){both}"


def _decode_all(root: Path, labels: dict[str, int]) -> list[ManifestEntry]:
    folder = cache_directory() / "manifests"
    cached = folder / f"{_listing_hash(root, labels)}.csv"
    if cached.exists():
        try:
            return _read_cached(cached, labels)
        except (OSError, ValueError) as error:
            log.warning("%s is damaged (%s); checking the images again", cached, error)
    make_directory(folder, "CATSDOGS_CACHE")  # only now: a complete cache may be read-only
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
        content = read_content(root / path)
        digest = hashlib.sha256(content).hexdigest()
        image = read_image(content)
        return ManifestEntry(path, label, image.width, image.height, digest, OK)
    except OSError as error:
        reason = error.strerror or str(error)
        return ManifestEntry(path, label, 0, 0, digest, one_line(" ".join(reason.split())))


def _listing_hash(root: Path, labels: dict[str, int]) -> str:
    digest = hashlib.sha256(f"{FORMAT} {root}".encode())
    for path, label in labels.items():
        try:
            status = (root / path).stat()
            # A copy may keep the time of the content, but not that of the last change.
            found = f"{status.st_size}\t{status.st_mtime_ns}\t{status.st_ctime_ns}"
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
