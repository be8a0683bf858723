"""The competition's training pictures, through Kaggle's own client."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock

from catsdogs.data.download.archive import ArchiveError, unpack
from catsdogs.data.download.kaggle_client import ARCHIVE, COMPETITION, download
from catsdogs.data.image_folder import LABELS
from catsdogs.io.files import atomic_directory, cache_directory, make_directory

IMAGES_PER_CLASS = 12_500
MOST_BYTES = 2 * 10**9  # the pictures of 2013 are 0.57 GB


def fetch_kaggle(*, keep_archive: bool = False) -> Path:
    """Return the folder of the 25,000 labelled pictures; downloaded if it is not there yet.

    It appears only once every picture is in it. A download that was cut off goes on where it
    stopped.

    Args:
        keep_archive: Whether `train.zip`, 543 MB, stays in the cache.

    Raises:
        UserError: Without a credential, if Kaggle refuses it or cannot be reached, without room,
            or if what comes is not what the competition used to hand out.
    """
    place = make_directory(cache_directory() / "kaggle", "CATSDOGS_CACHE")
    folder, archive = place / COMPETITION, place / ARCHIVE
    with FileLock(place / f"{COMPETITION}.lock"):
        if not folder.exists():
            if not archive.exists():
                download(archive)
            with _set_aside_if_wrong(archive), atomic_directory(folder) as partial:
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
    missing, strange = sorted(expected - found), sorted(found - expected)
    if missing or strange:
        what = f"{len(missing)} of {len(expected)} pictures are missing" if missing else ""
        more = f"{len(strange)} not expected" if strange else ""
        examples = ", ".join(repr(names[0]) for names in (missing, strange) if names)
        raise ArchiveError(
            f"{archive}: not the layout of {COMPETITION}: "
            f"{' and '.join(filter(None, (what, more)))}, for instance {examples}"
        )


@contextlib.contextmanager
def _set_aside_if_wrong(archive: Path) -> Iterator[None]:
    """Rename an archive that cannot be used, so that the next call downloads it again."""
    try:
        yield
    except ArchiveError as error:
        aside = archive.with_name(f"{archive.name}.wrong")
        archive.replace(aside)
        raise ArchiveError(
            f"{error}; it is set aside as {aside.name}, and the same command downloads it again"
        ) from error
