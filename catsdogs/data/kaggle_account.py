"""Is there a credential for Kaggle? Asked before its client is imported, which would print."""

import json
import os
import sys
from pathlib import Path
from typing import Any

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
