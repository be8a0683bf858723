"""The manifest: every picture decoded once, with what it is and which split it belongs to."""

import csv
import dataclasses
import hashlib
import io
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

from PIL import Image

from catsdogs.data.folder import LABELS, find_pictures
from catsdogs.errors import UserError
from catsdogs.files import cache_directory, make_directory, write_whole
from catsdogs.progress import progress

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = ("train", "val", "test")
OK = "ok"


@dataclasses.dataclass(frozen=True, slots=True)
class Picture:
    """One file, as it was found when it was decoded in full.

    Attributes:
        path: Relative to the manifest's root, with forward slashes.
        label: 1 for a cat, 0 for a dog.
        width: In pixels, as stored; 0 if unreadable.
        height: In pixels, as stored; 0 if unreadable.
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
    pictures: tuple[Picture, ...]

    @property
    def used(self) -> list[Picture]:
        """Pictures that belong to a split: train, then val, then test, dogs first in each."""
        return [p for split in SPLITS for p in self.pictures if p.split == split]

    @property
    def unreadable(self) -> list[Picture]:
        """Pictures that could not be decoded; they belong to no split."""
        return [p for p in self.pictures if p.status != OK]

    @property
    def sha256(self) -> str:
        """Hash of the used pictures' labels, splits and contents: names and place do not count."""
        rows = (f"{p.split},{p.label},{p.sha256}" for p in self.used)
        return hashlib.sha256("\n".join(rows).encode()).hexdigest()

    def to_csv(self) -> str:
        """Return one line per picture, under a header line."""
        return _to_csv(self.pictures)


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
    root = root.expanduser().resolve()
    pictures = _decode_all(root, find_pictures(root))
    bad = [p for p in pictures if p.status != OK]
    if len(bad) > max_bad_fraction * len(pictures):
        raise UserError(
            f"data.root={root}: {len(bad)} of {len(pictures)} pictures are unreadable, more than "
            f"data.max_bad_fraction={max_bad_fraction:g} allows; the first: {bad[0].path} "
            f"({bad[0].status})"
        )
    return Manifest(root, split_per_class(pictures, per_class))


def split_per_class(pictures: list[Picture], per_class: dict[Split, int]) -> tuple[Picture, ...]:
    """Give the first readable pictures of each class to train, the next to val, the next to test.

    Raises:
        UserError: If a class has fewer readable pictures than the splits ask for.
    """
    wanted = [split for split in SPLITS for _ in range(per_class[split])]
    splits: dict[str, str] = {}
    for name, label in LABELS.items():
        readable = [p.path for p in pictures if p.label == label and p.status == OK]
        if len(readable) < len(wanted):
            asked = ", ".join(f"data.{split}_per_class={per_class[split]}" for split in SPLITS)
            raise UserError(
                f"too few {name}s: {asked} ask for {len(wanted)}, and {len(readable)} are readable"
            )
        splits |= dict(zip(readable, wanted, strict=False))
    return tuple(dataclasses.replace(p, split=splits.get(p.path, "")) for p in pictures)


def _decode_all(root: Path, labels: dict[str, int]) -> list[Picture]:
    kept = make_directory(cache_directory() / "manifests", "CATSDOGS_CACHE")
    kept /= f"{_listing_hash(root, labels)}.csv"
    if kept.exists():
        return _from_csv(kept.read_text(encoding="utf-8"))
    # Pillow releases the interpreter lock while it decodes, so threads use every core.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        pictures = list(
            progress(
                pool.map(lambda item: _decode(root, *item), labels.items()),
                total=len(labels),
                description="checking pictures",
                unit="picture",
            )
        )
    write_whole(kept, _to_csv(pictures))
    return pictures


def _decode(root: Path, path: str, label: int) -> Picture:
    digest = ""
    try:
        content = (root / path).read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        with Image.open(io.BytesIO(content)) as image:
            image.load()
            return Picture(path, label, image.width, image.height, digest, OK)
    # Pillow's decoders raise many types for a damaged file; the status keeps which.
    except Exception as error:  # noqa: BLE001
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        return Picture(path, label, 0, 0, digest, reason)


def _listing_hash(root: Path, labels: dict[str, int]) -> str:
    digest = hashlib.sha256(str(root).encode())
    for path, label in labels.items():
        status = (root / path).stat()
        digest.update(f"\n{path}\t{label}\t{status.st_size}\t{status.st_mtime_ns}".encode())
    return digest.hexdigest()[:16]


def _to_csv(pictures: list[Picture] | tuple[Picture, ...]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(field.name for field in dataclasses.fields(Picture))
    writer.writerows(dataclasses.astuple(p) for p in pictures)
    return text.getvalue()


def _from_csv(text: str) -> list[Picture]:
    return [
        Picture(
            path=row["path"],
            label=int(row["label"]),
            width=int(row["width"]),
            height=int(row["height"]),
            sha256=row["sha256"],
            status=row["status"],
        )
        for row in csv.DictReader(io.StringIO(text))
    ]
