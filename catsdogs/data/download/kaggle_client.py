"""Download of one competition file by Kaggle's client, with its errors as one-line messages."""

import codecs
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
from urllib.parse import urlsplit

from catsdogs.data.download.archive import MEGABYTE, require_space
from catsdogs.errors import UserError
from catsdogs.io.files import FULL_DISK
from catsdogs.io.progress import progress

COMPETITION, ARCHIVE = "dogs-vs-cats", "train.zip"
ADDRESS = f"https://www.kaggle.com/competitions/{COMPETITION}"
RENEW = "`kaggle auth login`, or a new token from https://www.kaggle.com/settings/api"
WITHOUT = "data=pets and data=folder need no account"
RESUMES = "the same command resumes the download"
BYTE_ORDER_MARKS = (codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
INTERVAL = 0.2  # seconds between two updates of the bar
HOW_TO_GET_ONE = """\
data=kaggle: no Kaggle credential found: {}. With an account, use one of these:
  kaggle auth login                       in a browser, once
  export KAGGLE_API_TOKEN=...             a token from https://www.kaggle.com/settings/api
  ~/.kaggle/access_token                  a file with that token
  ~/.kaggle/kaggle.json                   an older key: its username and key
Without an account:
  data=pets                               real photographs, downloaded from Oxford
  data=folder data.root=PATH              your own images
  data=drawn                              images that need no download"""


def download(archive: Path) -> None:
    """Download `train.zip`, under a temporary name until it is complete.

    Args:
        archive: Path of the result. An interrupted download beside it is resumed.

    Raises:
        UserError: If no credential is found, or the client fails.
    """
    credential = find_credential()
    if credential is None:
        raise UserError(HOW_TO_GET_ONE.format("; ".join(_faults())))
    partial = archive.with_name(f"{archive.name}.download")
    # Not chained: the client's error may contain a token or a signed address.
    try:
        _run_client(partial)
    except UserError:
        raise
    except (Exception, SystemExit) as error:  # noqa: BLE001 - see above
        raise _explain(error, credential, archive) from None
    partial.replace(archive)


def _run_client(partial: Path) -> None:
    with _silence():
        # Importing it logs in, prints, and creates a folder for its settings.
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
        stored = partial.stat().st_size if partial.exists() else 0
        require_space(partial.parent, 2 * size - stored, f"{ARCHIVE} with its unpacked files")
        with _bar(partial, size), _silence():
            api.download_file(response, str(partial), client.http_client(), quiet=True, resume=True)


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Discard what the client prints and logs."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        logging.disable(before)


@contextlib.contextmanager
def _bar(file: Path, size: int) -> Iterator[None]:
    """Show the size of a file that the client is writing."""

    def megabytes() -> int:
        return file.stat().st_size // MEGABYTE if file.exists() else 0

    def watch() -> None:
        while not done.wait(INTERVAL):
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
    """Return a message for the client's error, without the error's own text."""
    kind = type(error).__name__
    if isinstance(error, SystemExit):
        return UserError(f"data=kaggle: Kaggle does not accept {credential}; use {RENEW}")
    if isinstance(error, ImportError):
        return UserError(
            f"data=kaggle: the kaggle package cannot be imported ({error.name} is missing); "
            "pip install 'kaggle>=2.2' six"
        )
    import requests  # not at the top: only failures need it

    if isinstance(error, ValueError | requests.RequestException) and (name := _malformed_proxy()):
        return UserError(
            f"data=kaggle: {name} is not the address of a proxy, such as http://HOST:PORT; correct "
            f"or unset it; {WITHOUT}"
        )
    if isinstance(error, requests.exceptions.InvalidSchema):
        return UserError(
            "data=kaggle: the proxy is of a kind that needs another package; for SOCKS, pip "
            "install 'requests[socks]'"
        )
    if isinstance(error, json.JSONDecodeError):
        return UserError(
            "data=kaggle: the response is not Kaggle's, perhaps the sign-in page of a network or "
            f"a proxy; {WITHOUT}"
        )
    if isinstance(error, requests.HTTPError) and error.response is not None:
        return UserError(f"data=kaggle: {_explain_status(_status(error.response), credential)}")
    if isinstance(error, requests.ConnectionError | requests.Timeout):
        return UserError(
            f"data=kaggle: cannot reach Kaggle ({kind}); check the network or the proxy; "
            f"{RESUMES}; {WITHOUT}"
        )
    if isinstance(error, requests.RequestException):
        return UserError(f"data=kaggle: the download was interrupted ({kind}); {RESUMES}")
    if isinstance(error, OSError):
        return _explain_system(error, archive)
    if isinstance(error, ValueError):
        return UserError(
            f"data=kaggle: the download of {ARCHIVE} is incomplete ({kind}); {RESUMES}"
        )
    return UserError(f"data=kaggle: Kaggle's client failed ({kind}); {WITHOUT}")


def _explain_system(error: OSError, archive: Path) -> UserError:
    if error.errno in FULL_DISK:
        return UserError(
            f"{archive.parent}: no space left on the disk for {ARCHIVE}; free some, or set "
            f"CATSDOGS_CACHE to a folder on another disk; {RESUMES}"
        )
    if error.errno == errno.ENAMETOOLONG:
        return UserError(
            "data=kaggle: Kaggle's client tries KAGGLE_API_TOKEN as a file name, and it is too "
            "long; unset it and write the token to ~/.kaggle/access_token"
        )
    return UserError(
        f"data=kaggle: Kaggle's client failed ({error.strerror}); it needs a writable home folder, "
        "or a writable folder in KAGGLE_CONFIG_DIR"
    )


def _status(response: Any) -> int:
    """Return the HTTP status of a response; some have it in their JSON only."""
    status = int(response.status_code)
    return status if status >= 400 else int(response.json()["code"])


def _explain_status(status: int, credential: str) -> str:
    if status == 401:
        return f"Kaggle refuses the credential from {credential} (401); use {RENEW}"
    if status == 403:
        return (
            f"{ARCHIVE} requires accepting the competition's rules (403): accept them at "
            f"{ADDRESS}/rules or, if that page has no button, by Late Submission at {ADDRESS}; "
            f"{WITHOUT}"
        )
    if status == 404:
        return f"Kaggle no longer has {ARCHIVE} in {COMPETITION} (404); see {ADDRESS}/data"
    if status == 429:
        return "too many requests to Kaggle (429); wait some minutes"
    return f"Kaggle responds with an error ({status}); try again later; {WITHOUT}"


def find_credential() -> str | None:
    """Return the source of the credential that Kaggle's client would use, or None.

    The sources and their order are those of kaggle 2.2: an access token, a user name and key, the
    file of `kaggle auth login`. The credential is not checked with Kaggle.
    """
    return _access_token() or _key() or _login()


def _access_token() -> str | None:
    in_notebook = "KAGGLE_KERNEL_RUN_TYPE" in os.environ and "KAGGLE_DATA_PROXY_URL" in os.environ
    if in_notebook and _text(Path(os.environ.get("KAGGLE_API_V1_TOKEN", ""))):
        return "KAGGLE_API_V1_TOKEN"
    token = os.environ.get("KAGGLE_API_TOKEN")
    if token:
        # It may be the path of a file; an empty file ends the client's search for a token.
        return "KAGGLE_API_TOKEN" if not _is_file(token) or _text(Path(token)) else None
    files = (Path("~/.kaggle") / name for name in ("access_token", "access_token.txt"))
    return next((str(file) for file in files if _text(file.expanduser())), None)


def _key() -> str | None:
    """Find a user name and key; the client takes each from the environment or the file."""
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
    return _xdg_directory()


def _xdg_directory() -> Path:
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path("~/.config").expanduser()) / "kaggle"


def _is_file(token: str) -> bool:
    try:
        return Path(token).exists()
    except (OSError, ValueError):  # not a valid file name
        return False


def _faults() -> list[str]:
    """Return what is wrong with each credential that is not usable, or where none was found."""
    token = os.environ.get("KAGGLE_API_TOKEN")
    key_file = _config_directory() / "kaggle.json"
    checked: dict[Path, tuple[str, ...]] = {
        **({Path(token): ()} if token and _is_file(token) else {}),
        Path("~/.kaggle/access_token"): (),
        Path("~/.kaggle/access_token.txt"): (),
        key_file: tuple(
            part for part in ("username", "key") if f"KAGGLE_{part.upper()}" not in os.environ
        ),
        Path("~/.kaggle/credentials.json"): ("refresh_token",),
    }
    faults = [f"{file} {fault}" for file, keys in checked.items() if (fault := _fault(file, keys))]
    for one, other in (("USERNAME", "KEY"), ("KEY", "USERNAME")):
        if f"KAGGLE_{one}" in os.environ and f"KAGGLE_{other}" not in os.environ:
            faults.append(f"KAGGLE_{other} is not set, as KAGGLE_{one} is")
    for folder in (Path("~/.kaggle").expanduser(), _xdg_directory()):
        unread = folder / "kaggle.json"
        if unread != key_file and unread.exists() and not _fault(unread, ("username", "key")):
            chosen = "KAGGLE_CONFIG_DIR" if os.environ.get("KAGGLE_CONFIG_DIR") else "the folder"
            faults.append(
                f"{unread} is sound, but Kaggle's client does not read it: it looks in {chosen} "
                f"{key_file.parent}"
            )
    if faults:
        return faults
    places = ", ".join(str(file) for file in checked)
    return [f"KAGGLE_API_TOKEN is not set, and none of these files exists: {places}"]


def _fault(file: Path, keys: tuple[str, ...]) -> str:
    """Return why a file has no credential; empty if it has one or does not exist.

    Args:
        file: May start with `~`.
        keys: Those that it must have as JSON; none for a file with a token.
    """
    try:
        content = file.expanduser().read_bytes()
    except FileNotFoundError:
        return ""
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    if not content.strip():
        return "is empty"
    if content.startswith(BYTE_ORDER_MARKS):
        return "starts with a byte-order mark: save it as UTF-8 without one"
    try:
        found = json.loads(content) if keys else {}
    except json.JSONDecodeError as error:
        return f"is not valid JSON (line {error.lineno}, column {error.colno})"
    except ValueError:
        return "is not UTF-8"
    if not isinstance(found, dict):
        return "does not hold a JSON object"
    missing = [key for key in keys if not found.get(key)]
    return f"has no {' and no '.join(missing)}" if missing else ""


def _malformed_proxy() -> str | None:
    """Return the environment variable whose value is not the address of a proxy, if any."""
    for name in ("https_proxy", "http_proxy", "all_proxy"):
        for variable in (name, name.upper()):
            if _is_malformed(os.environ.get(variable, "")):
                return variable
    return None


def _is_malformed(proxy: str) -> bool:
    scheme, separator, rest = proxy.rpartition("://")
    if not proxy or (not separator and "/" in rest.rstrip("/")):
        return bool(proxy)
    try:
        parts = urlsplit(f"{scheme or 'http'}://{rest}")
        return not parts.hostname or parts.port == 0
    except ValueError:  # a port that is not a number, or half an IPv6 address
        return True


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
