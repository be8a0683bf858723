"""Training images of Kaggle's dogs-vs-cats competition, downloaded by Kaggle's client."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from catsdogs.data.download.archive import ArchiveError, unpack
from catsdogs.data.download.kaggle_client import ARCHIVE, COMPETITION, download
from catsdogs.data.image_folder import LABELS
from catsdogs.io.files import atomic_directory, cache_directory, make_directory
from catsdogs.io.formatting import count
from catsdogs.io.locks import file_lock

IMAGES_PER_CLASS = 12_500
MOST_BYTES = 2 * 10**9  # the images of 2013 have 0.57 GB


def fetch_kaggle(*, keep_archive: bool = False) -> Path:
    """Return the folder of the 25,000 labelled images, downloaded if it is not in the cache.

    The folder appears once it is complete. An interrupted download resumes.

    Args:
        keep_archive: Whether to keep `train.zip`, 543 MB, in the cache.

    Raises:
        UserError: If no credential is found, Kaggle refuses it or cannot be reached, the disk is
            too small, or the archive does not have the competition's files.
    """
    parent = cache_directory() / "kaggle"
    folder, archive = parent / COMPETITION, parent / ARCHIVE
    if folder.exists():  # the cache may be read-only
        return folder / "train"
    make_directory(parent, "CATSDOGS_CACHE")
    with file_lock(parent / f"{COMPETITION}.lock", waiting_for="downloads the same images"):
        if not folder.exists():
            if not archive.exists():
                download(archive)
            with _quarantine_if_wrong(archive), atomic_directory(folder) as partial:
                unpack(
                    archive,
                    partial,
                    most_files=2 * IMAGES_PER_CLASS + 10,
                    most_bytes=MOST_BYTES,
                )
                _check_images(archive, partial)
            if not keep_archive:
                archive.unlink()
    return folder / "train"


def _check_images(archive: Path, folder: Path) -> None:
    expected = {
        f"train/{kind}.{number}.jpg" for kind in LABELS for number in range(IMAGES_PER_CLASS)
    }
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    missing, unexpected = sorted(expected - found), sorted(found - expected)
    if missing or unexpected:
        faults = []
        if missing:
            faults.append(f"{len(missing)} of {len(expected)} images are missing ({missing[0]!r})")
        if unexpected:
            faults.append(f"{count(len(unexpected), 'unexpected file')} ({unexpected[0]!r})")
        raise ArchiveError(f"{archive}: not the layout of {COMPETITION}: {', '.join(faults)}")


@contextlib.contextmanager
def _quarantine_if_wrong(archive: Path) -> Iterator[None]:
    """Rename an archive that cannot be used, so that the next call downloads it again."""
    try:
        yield
    except ArchiveError as error:
        aside = archive.with_name(f"{archive.name}.wrong")
        archive.replace(aside)
        raise ArchiveError(
            f"{error}; it was renamed to {aside.name}, and the same command downloads it again"
        ) from error
