"""The competition's training pictures, through Kaggle's own client."""

import contextlib
import errno
import io
import logging
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from filelock import FileLock

from catsdogs.data.archive import MEGABYTE, ArchiveError, require_space, unpack
from catsdogs.data.folder import LABELS
from catsdogs.data.kaggle_account import HOW_TO_GET_ONE, find_credential
from catsdogs.errors import UserError
from catsdogs.files import cache_directory, make_directory, whole_directory
from catsdogs.progress import progress

COMPETITION, ARCHIVE = "dogs-vs-cats", "train.zip"
PICTURES_PER_CLASS = 12_500
MOST_BYTES = 2 * 10**9  # the pictures of 2013 are 0.57 GB
ADDRESS = f"https://www.kaggle.com/competitions/{COMPETITION}"
WITHOUT = "data=pets and data=folder need no account"
GOES_ON = "what was fetched is kept, and the same command goes on from there"
_LOOK = 0.2  # seconds between two looks at the file that the client writes


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
                _download(archive)
            with _set_aside_if_wrong(archive), whole_directory(folder) as partial:
                unpack(
                    archive,
                    partial,
                    most_files=2 * PICTURES_PER_CLASS + 10,
                    most_bytes=MOST_BYTES,
                )
                _check_pictures(archive, partial)
            if not keep_archive:
                archive.unlink()
    return folder / "train"


def _check_pictures(archive: Path, folder: Path) -> None:
    expected = {
        f"train/{kind}.{number}.jpg" for kind in LABELS for number in range(PICTURES_PER_CLASS)
    }
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    missing, strange = sorted(expected - found), sorted(found - expected)
    if missing or strange:
        what = f"{len(missing)} of {len(expected)} pictures are missing" if missing else ""
        more = f"{len(strange)} files are not expected" if strange else ""
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


def _download(archive: Path) -> None:
    """Let Kaggle's client write the archive, under another name until it is whole."""
    credential = find_credential()
    if credential is None:
        raise UserError(HOW_TO_GET_ONE)
    coming = archive.with_name(f"{archive.name}.download")
    # Not chained: what the client raises may quote a token or a signed address.
    try:
        _run_client(coming)
    except UserError:
        raise
    except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever it is, it stays in here
        raise _explain(error, credential, archive) from None
    coming.replace(archive)


def _run_client(coming: Path) -> None:
    with _silence():
        # Its import logs in, prints, and makes a folder for its settings.
        import kaggle
        from kagglesdk.competitions.types.competition_api_service import ApiDownloadDataFileRequest

        api = kaggle.KaggleApi()
        api.authenticate()
        request = ApiDownloadDataFileRequest()
        request.competition_name, request.file_name = COMPETITION, ARCHIVE
        client = api.build_kaggle_client()
    with client, contextlib.ExitStack() as stack:
        with _silence():
            response = client.competitions.competition_api_client.download_data_file(request)
        stack.callback(response.close)
        size = int(response.headers.get("Content-Length", 0))
        here = coming.stat().st_size if coming.exists() else 0
        require_space(coming.parent, 2 * size - here, f"{ARCHIVE} with what is unpacked from it")
        with _bar(coming, size), _silence():
            api.download_file(response, str(coming), client.http_client(), quiet=True, resume=True)


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Keep what the client prints and logs, help and headers, from the user."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        logging.disable(before)


@contextlib.contextmanager
def _bar(file: Path, size: int) -> Iterator[None]:
    """Show how a file grows that someone else writes."""

    def megabytes() -> int:
        return file.stat().st_size // MEGABYTE if file.exists() else 0

    def watch() -> None:
        while not done.wait(_LOOK):
            bar.update(megabytes() - bar.n)

    done = threading.Event()
    watcher = threading.Thread(target=watch, daemon=True)
    with progress(
        total=size // MEGABYTE, description=f"downloading {ARCHIVE}", unit="MB", initial=megabytes()
    ) as bar:
        watcher.start()
        try:
            yield
        finally:
            done.set()
            watcher.join()
            bar.update(megabytes() - bar.n)


def _explain(error: BaseException, credential: str, archive: Path) -> UserError:
    """Say what the client's error means, without a word of the client's own."""
    import requests  # here because it comes with the client, and only this needs it

    kind = type(error).__name__
    if isinstance(error, SystemExit):
        return UserError(f"data=kaggle: Kaggle knows no account for {credential}; {_RENEW}")
    if isinstance(error, ImportError):
        return UserError(
            f"data=kaggle: the kaggle package cannot be imported ({error.name} is missing); "
            "pip install 'kaggle>=2.2' six"
        )
    if isinstance(error, requests.HTTPError) and error.response is not None:
        return UserError(f"data=kaggle: {_answer(_status(error.response), credential)}")
    if isinstance(error, requests.ConnectionError | requests.Timeout):
        return UserError(
            f"data=kaggle: Kaggle cannot be reached ({kind}): check the network or the proxy; "
            f"{GOES_ON}; {WITHOUT}"
        )
    if isinstance(error, requests.RequestException):
        return UserError(f"data=kaggle: the download broke off ({kind}); {GOES_ON}")
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return UserError(
            f"{archive.parent}: the disk was full before {ARCHIVE} was there; make room, or set "
            f"CATSDOGS_CACHE to a folder on another disk; {GOES_ON}"
        )
    if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:
        return UserError(
            "data=kaggle: Kaggle's client takes KAGGLE_API_TOKEN for a file name, and it is too "
            "long for one; unset it and write the token to ~/.kaggle/access_token"
        )
    if isinstance(error, OSError):
        return UserError(
            f"data=kaggle: Kaggle's client cannot work here ({error.strerror or kind}); it needs a "
            "home folder that can be written to, or such a folder as KAGGLE_CONFIG_DIR"
        )
    if isinstance(error, ValueError):
        return UserError(f"data=kaggle: {ARCHIVE} has not come whole ({kind}); {GOES_ON}")
    return UserError(f"data=kaggle: Kaggle's client failed ({kind}); {WITHOUT}")


_RENEW = "`kaggle auth login`, or a new token from https://www.kaggle.com/settings/api"


def _status(response: Any) -> int:
    """Return the status of an answer; some tell it in their JSON alone."""
    status = int(response.status_code)
    return status if status >= 400 else int(response.json()["code"])


def _answer(status: int, credential: str) -> str:
    if status == 401:
        return f"Kaggle refuses the credential of {credential} (401); {_RENEW}"
    if status == 403:
        return (
            f"Kaggle hands {ARCHIVE} only to those who accepted the competition's rules (403): "
            f"open {ADDRESS}/rules and accept them; where there is no button for it, Late "
            f"Submission on {ADDRESS} asks the same; {WITHOUT}"
        )
    if status == 404:
        return f"Kaggle has no {ARCHIVE} in {COMPETITION} any more (404); see {ADDRESS}/data"
    if status == 429:
        return "Kaggle says there were too many requests (429); wait some minutes"
    return f"Kaggle answers with an error ({status}); try again later; {WITHOUT}"
