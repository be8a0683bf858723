"""The Oxford-IIIT Pet photographs, through torchvision, sorted into cats and dogs."""

import contextlib
import errno
import shutil
import socket
import urllib.error
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock
from torchvision.datasets import OxfordIIITPet
from torchvision.datasets.utils import download_url

from catsdogs.data.download.archive import ArchiveError, require_space, unpack
from catsdogs.errors import UserError
from catsdogs.io.files import atomic_directory, cache_directory, make_directory

BYTES = 1_700_000_000  # the two archives and what is unpacked from them
MOST_FILES, MOST_BYTES = 50_000, 2 * 10**9
PATIENCE = 60.0  # seconds without a byte before the server counts as gone
WITHOUT = "data=folder and data=drawn need no download"


def fetch_pets(*, keep_archive: bool = False) -> Path:
    """Return a folder with `cats/` and `dogs/`; downloaded if it is not there yet.

    It appears only once every picture of the lists is in it. torchvision itself takes the folder
    of an unpacking that was cut off for a whole one.

    Files are named `NUMBER_BREED.jpg`, so that the string order, by which the split goes, takes
    the breeds in turn; in the order of the original names, `BREED_NUMBER.jpg`, some breeds would
    be trained on and others tested.

    Args:
        keep_archive: Whether the two archives, 774 MB together, stay in the cache.

    Raises:
        UserError: If they cannot be downloaded, without room, or if what comes is not what the
            lists say.
    """
    place = make_directory(cache_directory() / "pets", "CATSDOGS_CACHE")
    folder, archives = place / "pictures", place / "archives"
    with FileLock(place / "pictures.lock"):
        if not folder.exists():
            require_space(place, BYTES, "the pets with their archives")
            with atomic_directory(folder) as partial:
                for archive in _download(archives):
                    unpack(
                        archive,
                        partial / "oxford-iiit-pet",
                        most_files=MOST_FILES,
                        most_bytes=MOST_BYTES,
                    )
                _sort(partial)
            if not keep_archive:
                shutil.rmtree(archives)
    return folder


def _download(folder: Path) -> list[Path]:
    """Download the archives that are not there whole; torchvision compares their MD5."""
    resources = OxfordIIITPet._RESOURCES
    for url, md5 in resources:
        with _named_errors(url), _impatient():
            download_url(url, str(folder), md5=md5)
    return [folder / url.rpartition("/")[2] for url, _ in resources]


def _sort(folder: Path) -> None:
    """Move the pictures into `cats/` and `dogs/`, and remove what else was unpacked."""
    classes = {name: folder / f"{name.lower()}s" for name in ("Cat", "Dog")}
    for directory in classes.values():
        directory.mkdir()
    for split in ("trainval", "test"):
        for image, name in _listed(folder, split):
            breed, _, number = image.stem.rpartition("_")
            try:
                image.rename(classes[name] / f"{int(number):03d}_{breed}{image.suffix}")
            except (OSError, ValueError) as error:
                raise ArchiveError(
                    f"data=pets: {image.name} is in the list of {split} and not among the "
                    "pictures; the archives have changed"
                ) from error
    shutil.rmtree(folder / "oxford-iiit-pet")


def _listed(folder: Path, split: str) -> list[tuple[Path, str]]:
    """Return every picture of a split with `Cat` or `Dog`."""
    try:
        pets = OxfordIIITPet(folder, split=split, target_types="binary-category", download=False)
    except (OSError, ValueError, RuntimeError) as error:
        raise ArchiveError(
            f"data=pets: torchvision cannot read the list of {split}; the archives have changed"
        ) from error
    # torchvision hands out decoded pictures; the files themselves it keeps in these.
    return [
        (Path(image), pets.bin_classes[label])
        for image, label in zip(pets._images, pets._bin_labels, strict=True)
    ]


@contextlib.contextmanager
def _named_errors(url: str) -> Iterator[None]:
    again = "the same command tries again"
    try:
        yield
    except urllib.error.HTTPError as error:
        error.close()  # it holds the connection
        raise UserError(
            f"data=pets: {url} answers with an error ({error.code}); {again}; {WITHOUT}"
        ) from error
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise UserError(
                f"data=pets: the disk was full before {url} was there; make room, or set "
                "CATSDOGS_CACHE to a folder on another disk"
            ) from error
        cause = getattr(error, "reason", error)  # urllib wraps the system's own error
        reason = getattr(cause, "strerror", None) or " ".join(str(cause).split())
        raise UserError(
            f"data=pets: {url} cannot be reached ({reason}); {again}; {WITHOUT}"
        ) from error
    except RuntimeError as error:
        raise UserError(
            f"data=pets: {url} came cut off or changed (its MD5 differs); {again}"
        ) from error


@contextlib.contextmanager
def _impatient() -> Iterator[None]:
    """Let a server that falls silent raise TimeoutError; torchvision would wait for ever."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(PATIENCE)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
