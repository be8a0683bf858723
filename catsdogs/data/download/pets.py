"""Oxford-IIIT Pet photographs, downloaded by torchvision and sorted into cats and dogs."""

import contextlib
import errno
import shutil
import socket
import urllib.error
from collections.abc import Iterator
from pathlib import Path

from torchvision.datasets import OxfordIIITPet
from torchvision.datasets.utils import download_url

from catsdogs.data.download.archive import ArchiveError, require_space, unpack
from catsdogs.errors import UserError
from catsdogs.io.files import atomic_directory, cache_directory, make_directory
from catsdogs.io.locks import file_lock

BYTES = 1_700_000_000  # the two archives and their unpacked files
MOST_FILES, MOST_BYTES = 50_000, 2 * 10**9
TIMEOUT = 60.0  # seconds without a byte
WITHOUT = "data=folder and data=drawn need no download"


def fetch_pets(*, keep_archive: bool = False) -> Path:
    """Return a folder with `cats/` and `dogs/`, downloaded if it is not in the cache.

    The folder appears once it is complete; torchvision itself would accept the folder of an
    interrupted extraction.

    Files are named `NUMBER_BREED.jpg`, so that splits, which follow the order of the names, cycle
    through the breeds. In the order of the original names, `BREED_NUMBER.jpg`, a split would have
    some breeds in training and others in the test set.

    Args:
        keep_archive: Whether to keep the two archives, 774 MB together, in the cache.

    Raises:
        UserError: If the archives cannot be downloaded, the disk is too small, or the archives do
            not match their lists.
    """
    parent = cache_directory() / "pets"
    folder, archives = parent / "pictures", parent / "archives"
    if folder.exists():  # the cache may be read-only
        return folder
    make_directory(parent, "CATSDOGS_CACHE")
    with file_lock(parent / "pictures.lock", waiting_for="downloads the same images"):
        if not folder.exists():
            require_space(parent, BYTES, "the pets with their archives")
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
    """Download the archives whose file is absent or has another MD5, and return their paths."""
    resources = OxfordIIITPet._RESOURCES
    for url, md5 in resources:
        with _named_errors(url), _timeout():
            download_url(url, str(folder), md5=md5)
    return [folder / url.rpartition("/")[2] for url, _ in resources]


def _sort(folder: Path) -> None:
    """Move the images into `cats/` and `dogs/`, and remove all other unpacked files."""
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
                    f"data=pets: {image.name} is in the list of {split} but not among the images; "
                    "the archives have changed"
                ) from error
    shutil.rmtree(folder / "oxford-iiit-pet")


def _listed(folder: Path, split: str) -> list[tuple[Path, str]]:
    """Return the path of every image of a split, with `Cat` or `Dog`."""
    try:
        pets = OxfordIIITPet(folder, split=split, target_types="binary-category", download=False)
    except (OSError, ValueError, RuntimeError) as error:
        raise ArchiveError(
            f"data=pets: torchvision cannot read the list of {split}; the archives have changed"
        ) from error
    # The public interface returns decoded images; the paths are in these.
    return [
        (Path(image), pets.bin_classes[label])
        for image, label in zip(pets._images, pets._bin_labels, strict=True)
    ]


@contextlib.contextmanager
def _named_errors(url: str) -> Iterator[None]:
    retry = "run the same command to try again"
    try:
        yield
    except urllib.error.HTTPError as error:
        error.close()  # it holds the connection
        raise UserError(
            f"data=pets: {url} responds with an error ({error.code}); {retry}; {WITHOUT}"
        ) from error
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise UserError(
                f"data=pets: no space left on the disk for {url}; free some, or set CATSDOGS_CACHE "
                "to a folder on another disk"
            ) from error
        cause = getattr(error, "reason", error)  # urllib wraps the system's own error
        reason = getattr(cause, "strerror", None) or " ".join(str(cause).split())
        raise UserError(f"data=pets: cannot reach {url} ({reason}); {retry}; {WITHOUT}") from error
    except RuntimeError as error:
        raise UserError(
            f"data=pets: the download of {url} is incomplete or changed (its MD5 differs); {retry}"
        ) from error


@contextlib.contextmanager
def _timeout() -> Iterator[None]:
    """Raise TimeoutError for a server that stops sending; torchvision sets no timeout."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(TIMEOUT)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
