"""Kaggle's own client, kept quiet: one file of a competition, and what its errors mean."""

import contextlib
import errno
import io
import json
import logging
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from catsdogs.data.download.archive import MEGABYTE, require_space
from catsdogs.errors import UserError
from catsdogs.io.progress import progress

COMPETITION, ARCHIVE = "dogs-vs-cats", "train.zip"
ADDRESS = f"https://www.kaggle.com/competitions/{COMPETITION}"
RENEW = "`kaggle auth login`, or a new token from https://www.kaggle.com/settings/api"
WITHOUT = "data=pets and data=folder need no account"
GOES_ON = "what was fetched is kept, and the same command goes on from there"
_LOOK = 0.2  # seconds between two looks at the file that the client writes


HOW_TO_GET_ONE = """\
data=kaggle: there is no credential for Kaggle here. With an account, one of these makes one:
  kaggle auth login                       in a browser, once
  export KAGGLE_API_TOKEN=...             a token from https://www.kaggle.com/settings/api
  ~/.kaggle/access_token                  a file with that token
  ~/.kaggle/kaggle.json                   an older key: its username and key
Without an account:
  data=pets                               real photographs, downloaded from Oxford
  data=folder data.root=PATH              your own pictures
  data=drawn                              pictures that need no download"""


def download(archive: Path) -> None:
    """Let the client write `train.zip`, under another name until it is whole.

    Args:
        archive: Where it goes. What an interruption left of it is gone on from.

    Raises:
        UserError: Without a credential, or for whatever keeps the client from its work.
    """
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
    kind = type(error).__name__
    if isinstance(error, SystemExit):
        return UserError(f"data=kaggle: Kaggle knows no account for {credential}; {RENEW}")
    if isinstance(error, ImportError):
        return UserError(
            f"data=kaggle: the kaggle package cannot be imported ({error.name} is missing); "
            "pip install 'kaggle>=2.2' six"
        )
    import requests  # here because it comes with the client, and only this needs it

    if isinstance(error, json.JSONDecodeError):
        return UserError(
            "data=kaggle: what answers is not Kaggle but perhaps the sign-in page of a network or "
            f"a proxy; {WITHOUT}"
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
    if isinstance(error, OSError):
        return _explain_system(error, archive)
    if isinstance(error, ValueError):
        return UserError(f"data=kaggle: {ARCHIVE} has not come whole ({kind}); {GOES_ON}")
    return UserError(f"data=kaggle: Kaggle's client failed ({kind}); {WITHOUT}")


def _explain_system(error: OSError, archive: Path) -> UserError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return UserError(
            f"{archive.parent}: the disk was full before {ARCHIVE} was there; make room, or set "
            f"CATSDOGS_CACHE to a folder on another disk; {GOES_ON}"
        )
    if error.errno == errno.ENAMETOOLONG:
        return UserError(
            "data=kaggle: Kaggle's client takes KAGGLE_API_TOKEN for a file name, and it is too "
            "long for one; unset it and write the token to ~/.kaggle/access_token"
        )
    return UserError(
        f"data=kaggle: Kaggle's client cannot work here ({error.strerror}); it needs a home folder "
        "that can be written to, or such a folder as KAGGLE_CONFIG_DIR"
    )


def _status(response: Any) -> int:
    """Return the status of an answer; some tell it in their JSON alone."""
    status = int(response.status_code)
    return status if status >= 400 else int(response.json()["code"])


def _answer(status: int, credential: str) -> str:
    if status == 401:
        return f"Kaggle refuses the credential of {credential} (401); {RENEW}"
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


def find_credential() -> str | None:
    """Name the place of the first credential that Kaggle's client would accept, or None.

    The places and their order are those of kaggle 2.2: an access token, a name with its key, what
    `kaggle auth login` left. Whether Kaggle still accepts it, only Kaggle knows.
    """
    return _access_token() or _key() or _login()


def _access_token() -> str | None:
    in_notebook = "KAGGLE_KERNEL_RUN_TYPE" in os.environ and "KAGGLE_DATA_PROXY_URL" in os.environ
    if in_notebook and _text(Path(os.environ.get("KAGGLE_API_V1_TOKEN", ""))):
        return "KAGGLE_API_V1_TOKEN"
    token = os.environ.get("KAGGLE_API_TOKEN")
    if token:
        # It may name a file; an empty one ends the client's search for a token.
        return "KAGGLE_API_TOKEN" if not _is_file(token) or _text(Path(token)) else None
    files = (Path("~/.kaggle") / name for name in ("access_token", "access_token.txt"))
    return next((str(file) for file in files if _text(file.expanduser())), None)


def _key() -> str | None:
    """Look for a name and a key; the client takes either of them from either place."""
    file = _config_directory() / "kaggle.json"
    found = _json(file)
    origins = {
        part: f"KAGGLE_{part.upper()}" if f"KAGGLE_{part.upper()}" in os.environ else str(file)
        for part in ("username", "key")
        if f"KAGGLE_{part.upper()}" in os.environ or part in found
    }
    return " and ".join(dict.fromkeys(origins.values())) if len(origins) == 2 else None


def _login() -> str | None:
    file = Path("~/.kaggle/credentials.json")
    return str(file) if _json(file.expanduser()).get("refresh_token") else None


def _config_directory() -> Path:
    chosen = os.environ.get("KAGGLE_CONFIG_DIR")
    usual = Path("~/.kaggle").expanduser()
    if chosen or usual.exists() or not sys.platform.startswith("linux"):
        return Path(chosen) if chosen else usual
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path("~/.config").expanduser()) / "kaggle"


def _is_file(token: str) -> bool:
    try:
        return Path(token).exists()
    except (OSError, ValueError):  # too long for a name, or not one at all
        return False


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        return ""


def _json(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(_text(file) or "{}")
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}
