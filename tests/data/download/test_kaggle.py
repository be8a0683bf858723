"""Download by Kaggle's client from a stand-in service on this machine."""

import errno
import io
import json
import os
import shutil
import socket
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from catsdogs.data.download import kaggle as kaggle_module
from catsdogs.data.download.kaggle import fetch_kaggle
from catsdogs.data.download.kaggle_client import find_credential
from catsdogs.data.image_folder import find_images
from catsdogs.errors import UserError
from tests.support.images import SIZES
from tests.support.loopback import KaggleService, serving

BLOCK = 1 << 20  # the client writes, and so resumes, in blocks of this
TOKEN = "KGAT_a-secret-that-nobody-may-see"


def competition(images: Path) -> bytes:
    """Return `train.zip` as Kaggle lays it out, large enough to be interrupted."""
    file = io.BytesIO()
    file.write(bytes(3 * BLOCK))  # a zip archive may begin with anything
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("train/", b"")
        for path in sorted(images.iterdir()):
            archive.write(path, f"train/{path.name}")
    return file.getvalue()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty home folder, in an environment without a credential."""
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    for name in [*os.environ]:
        if name.startswith("KAGGLE_") or name == "XDG_CONFIG_HOME":
            monkeypatch.delenv(name)
    return folder


@pytest.fixture
def service(
    home: Path, images: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[type[KaggleService]]:
    """Yield a service with nine cats and nine dogs, to which the client connects."""

    class Service(KaggleService):
        token, refusal = TOKEN, None
        archive, etag = competition(images), '"2013"'

    Service.stops, Service.seen = [], []

    import kaggle  # looks for a credential in the home folder, and finds none
    from kagglesdk import kaggle_env

    monkeypatch.setattr(kaggle.KaggleApi, "config", str(home / ".kaggle" / "kaggle.json"))
    monkeypatch.setattr("time.sleep", lambda seconds: None)  # between the client's retries
    monkeypatch.setattr(kaggle_module, "IMAGES_PER_CLASS", 9)
    with serving(Service) as address:
        monkeypatch.setitem(kaggle_env._env_to_endpoint, kaggle_env.KaggleEnv.PROD, address)
        yield Service


@pytest.fixture
def token(service: type[KaggleService], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAGGLE_API_TOKEN", TOKEN)


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_missing_credential_is_reported_with_the_alternatives_before_the_client_is_imported(
    home: Path, tmp_path: Path
) -> None:
    script = (
        "import sys; from catsdogs.data.download.kaggle import fetch_kaggle\n"
        "try: fetch_kaggle()\n"
        "except Exception as error: print(type(error).__name__, error)\n"
        "print([name for name in ('kaggle', 'kagglesdk', 'requests') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stderr == ""
    assert done.stdout.startswith("UserError data=kaggle: no Kaggle credential found")
    for way in ("kaggle auth login", "KAGGLE_API_TOKEN", "data=pets", "data=folder", "data=drawn"):
        assert way in done.stdout
    assert done.stdout.endswith("[]\n")
    assert files(home) == set()


@pytest.mark.usefixtures("token")
def test_the_images_are_in_the_cache_and_the_archive_is_removed(
    images: Path, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = fetch_kaggle()
    assert folder == cache / "kaggle" / "dogs-vs-cats" / "train"
    assert find_images(folder) == find_images(images)
    for path in images.iterdir():
        assert (folder / path.name).read_bytes() == path.read_bytes()
    assert files(cache / "kaggle") == {"dogs-vs-cats", "dogs-vs-cats.lock"}
    assert capsys.readouterr() == ("", "")


@pytest.mark.usefixtures("token")
def test_a_second_call_makes_no_request_and_needs_no_credential(
    service: type[KaggleService], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = fetch_kaggle()
    service.seen.clear()
    monkeypatch.delenv("KAGGLE_API_TOKEN")
    assert fetch_kaggle() == folder
    assert service.seen == []


@pytest.mark.usefixtures("token")
def test_the_archive_is_kept_when_asked_for(service: type[KaggleService], cache: Path) -> None:
    fetch_kaggle(keep_archive=True)
    assert (cache / "kaggle" / "train.zip").read_bytes() == service.archive


@pytest.mark.usefixtures("token")
def test_the_client_asks_for_train_zip_alone_and_sends_the_token_to_kaggle_alone(
    service: type[KaggleService],
) -> None:
    fetch_kaggle()
    assert [(method, path) for method, path, _, _ in service.seen] == [
        ("POST", "/v1/security.OAuthService/IntrospectToken"),
        ("POST", "/v1/competitions.CompetitionApiService/DownloadDataFile"),
        ("GET", "/storage/bundle/train.zip"),
    ]
    assert service.seen[1][2] == f"Bearer {TOKEN}"


@pytest.mark.usefixtures("token")
def test_a_broken_connection_resumes_where_it_broke(
    service: type[KaggleService], images: Path
) -> None:
    service.stops[:] = [BLOCK + 500, BLOCK]
    assert find_images(fetch_kaggle()) == find_images(images)
    assert [ranges for _, path, _, ranges in service.seen if "storage" in path] == [
        "",
        f"bytes={BLOCK}-",
        f"bytes={2 * BLOCK}-",
    ]


@pytest.mark.usefixtures("token")
def test_a_failed_download_resumes_in_the_next_call(
    service: type[KaggleService], images: Path, cache: Path
) -> None:
    service.stops[:] = [BLOCK + 500, 0, 0, 0, 0, 0]
    with pytest.raises(UserError, match="the same command resumes the download") as raised:
        fetch_kaggle()
    assert "\n" not in str(raised.value)
    assert files(cache / "kaggle") == {
        "dogs-vs-cats.lock",
        "train.zip.download",
        "train.zip.download.kaggle-partial",
    }
    service.seen.clear()
    assert find_images(fetch_kaggle()) == find_images(images)
    assert [ranges for _, path, _, ranges in service.seen if "storage" in path] == [
        "",
        f"bytes={BLOCK}-",
    ]


@pytest.mark.usefixtures("token")
def test_a_file_that_changed_meanwhile_is_not_appended_to_the_old_part(
    service: type[KaggleService], images: Path
) -> None:
    service.stops[:] = [BLOCK + 500, 0, 0, 0, 0, 0]
    with pytest.raises(UserError):
        fetch_kaggle()
    service.etag = '"2014"'
    assert find_images(fetch_kaggle()) == find_images(images)


def test_an_interruption_between_download_and_unpacking_downloads_nothing_again(
    service: type[KaggleService], cache: Path
) -> None:
    (cache / "kaggle").mkdir(parents=True)
    (cache / "kaggle" / "train.zip").write_bytes(service.archive)
    (cache / "kaggle" / ".dogs-vs-cats.partial" / "train").mkdir(parents=True)
    (cache / "kaggle" / ".dogs-vs-cats.partial" / "train" / "cat.77.jpg").touch()
    assert len(find_images(fetch_kaggle())) == 18
    assert service.seen == []


SOUND = json.dumps({"username": "someone", "key": "k"})


@pytest.mark.parametrize(
    ("contents", "environment", "faults"),
    [
        (
            {},
            {},
            "KAGGLE_API_TOKEN is not set, and none of these files exists: ~/.kaggle/access_token, "
            "~/.kaggle/access_token.txt, ~/.config/kaggle/kaggle.json, ~/.kaggle/credentials.json",
        ),
        (
            {".kaggle/kaggle.json": SOUND},
            {"KAGGLE_CONFIG_DIR": "~/other"},
            "~/.kaggle/kaggle.json is sound, but Kaggle's client does not read it: it looks in "
            "KAGGLE_CONFIG_DIR ~/other",
        ),
        (
            {".config/kaggle/kaggle.json": SOUND, ".kaggle/x": ""},
            {},
            "~/.config/kaggle/kaggle.json is sound, but Kaggle's client does not read it: it looks "
            "in the folder ~/.kaggle",
        ),
        (
            {".kaggle/kaggle.json": "\ufeff" + SOUND},
            {},
            "~/.kaggle/kaggle.json starts with a byte-order mark: save it as UTF-8 without one",
        ),
        (
            {".kaggle/kaggle.json": SOUND[:-1]},
            {},
            "~/.kaggle/kaggle.json is not valid JSON (line 1, column 35)",
        ),
        ({".kaggle/kaggle.json": "[]"}, {}, "~/.kaggle/kaggle.json does not hold a JSON object"),
        ({".kaggle/kaggle.json": '{"username": "u"}'}, {}, "~/.kaggle/kaggle.json has no key"),
        ({".kaggle/kaggle.json": "{}"}, {}, "~/.kaggle/kaggle.json has no username and no key"),
        ({".kaggle/kaggle.json": " \n"}, {}, "~/.kaggle/kaggle.json is empty"),
        ({".kaggle/access_token": ""}, {}, "~/.kaggle/access_token is empty"),
        ({"here": ""}, {"KAGGLE_API_TOKEN": "~/here"}, "~/here is empty"),
        ({}, {"KAGGLE_USERNAME": "u"}, "KAGGLE_KEY is not set, as KAGGLE_USERNAME is"),
        (
            {".kaggle/credentials.json": "{}", ".kaggle/kaggle.json/x": ""},
            {},
            "~/.kaggle/kaggle.json cannot be read (Is a directory); "
            "~/.kaggle/credentials.json has no refresh_token",
        ),
    ],
)
def test_it_says_which_places_it_looked_at_and_what_is_wrong_with_what_is_there(
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    contents: dict[str, str],
    environment: dict[str, str],
    faults: str,
) -> None:
    for name, value in furnish(home, contents, environment).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UserError) as raised:
        fetch_kaggle()
    first = str(raised.value).replace(str(home), "~").split("\n")[0]
    assert first == (
        f"data=kaggle: no Kaggle credential found: {faults}. With an account, use one of these:"
    )


@pytest.mark.usefixtures("token")
@pytest.mark.parametrize(
    "value", ["http:/me:secret@proxy:80", "http://", "http://proxy:port", "proxy:9x", "http://[::1"]
)
def test_a_malformed_proxy_is_named_by_its_variable_and_not_shown(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    for name in ("http_proxy", "HTTPS_PROXY"):
        monkeypatch.setenv(name, value)
    with pytest.raises(UserError) as raised:
        fetch_kaggle()
    message = str(raised.value)
    assert message.startswith(
        "data=kaggle: HTTPS_PROXY is not the address of a proxy, such as http"
    )
    assert "secret" not in message


REFUSALS = [
    (401, "Kaggle refuses the credential from KAGGLE_API_TOKEN (401); use `kaggle auth"),
    (403, "accept them at https://www.kaggle.com/competitions/dogs-vs-cats/rules or, if"),
    (403, "has no button, by Late Submission at https://www.kaggle.com/competitions/dogs-vs-cats"),
    (404, "Kaggle no longer has train.zip in dogs-vs-cats (404)"),
    (429, "too many requests to Kaggle (429)"),
    (503, "Kaggle responds with an error (503); try again later; data=pets and data=folder need"),
]


@pytest.mark.usefixtures("token")
@pytest.mark.parametrize(("status", "message"), REFUSALS)
def test_each_status_of_kaggle_has_its_message(
    service: type[KaggleService],
    status: int,
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    service.refusal = status, f"not with {TOKEN}"
    with pytest.raises(UserError) as raised:
        fetch_kaggle()
    assert message in str(raised.value)
    assert TOKEN not in str(raised.value)
    assert "\n" not in str(raised.value)
    assert capsys.readouterr() == ("", "")


@pytest.mark.usefixtures("service")
def test_an_expired_token_is_named_by_its_source_and_not_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KAGGLE_API_TOKEN", "KGAT_of-last-year")
    with pytest.raises(UserError, match="Kaggle does not accept KAGGLE_API_TOKEN") as raised:
        fetch_kaggle()
    assert "KGAT" not in str(raised.value)
    assert capsys.readouterr() == ("", "")


def fail(error: BaseException) -> Callable[..., Any]:
    def raise_it(*_: object, **__: object) -> Any:
        raise error

    return raise_it


@pytest.mark.usefixtures("token")
def test_a_missing_network_is_reported_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", fail(socket.gaierror("no such host")))
    with pytest.raises(UserError, match=r"cannot reach Kaggle \(ConnectionError\); check"):
        fetch_kaggle()


@pytest.mark.usefixtures("token")
def test_too_small_a_disk_is_reported_before_the_download(
    monkeypatch: pytest.MonkeyPatch, cache: Path, service: type[KaggleService]
) -> None:
    usage = shutil.disk_usage(cache.parent)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage._replace(free=1000))
    with pytest.raises(UserError, match="train.zip with its unpacked files needs 6 MB and"):
        fetch_kaggle()
    assert files(cache / "kaggle") == {"dogs-vs-cats.lock"}


@pytest.mark.usefixtures("token")
@pytest.mark.parametrize(
    ("error", "message"),
    [
        (
            OSError(errno.ENOSPC, "No space left on device"),
            "no space left on the disk for train.zip",
        ),
        (
            OSError(errno.ENAMETOOLONG, TOKEN),
            "too long; unset it and write the token to",
        ),
        (PermissionError(errno.EACCES, "Permission denied"), r"(Permission denied); it needs a"),
        (ModuleNotFoundError(name="six"), "cannot be imported (six is missing); pip install"),
        (ValueError(f"3 is not 4 {TOKEN}"), "the download of train.zip is incomplete (ValueError)"),
        (json.JSONDecodeError(TOKEN, "", 0), "perhaps the sign-in page of a network or a proxy"),
        (KeyError(TOKEN), "Kaggle's client failed (KeyError)"),
    ],
)
def test_any_error_of_the_client_becomes_one_line_without_its_text(
    monkeypatch: pytest.MonkeyPatch, error: Exception, message: str
) -> None:
    import kaggle

    monkeypatch.setattr(kaggle.KaggleApi, "download_file", fail(error))
    with pytest.raises(UserError) as raised:
        fetch_kaggle()
    assert message in str(raised.value)
    assert TOKEN not in str(raised.value)
    assert "\n" not in str(raised.value)
    assert raised.value.__suppress_context__  # debug=true shows no more of it
    assert raised.value.__cause__ is None


@pytest.mark.usefixtures("token")
def test_a_token_that_cannot_be_sent_is_not_shown(
    monkeypatch: pytest.MonkeyPatch, service: type[KaggleService]
) -> None:
    bad = "KGAT_with a\x0bline"
    service.token = bad
    monkeypatch.setenv("KAGGLE_API_TOKEN", bad + "\n")
    with pytest.raises(UserError) as raised:
        fetch_kaggle()
    assert "KGAT" not in str(raised.value)


def without(name: str) -> Callable[[bytes], bytes]:
    def change(content: bytes) -> bytes:
        file = io.BytesIO()
        with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(file, "w") as new:
            for info in old.infolist():
                if info.filename != name:
                    new.writestr(info, old.read(info))
        return file.getvalue()

    return change


def adding(name: str) -> Callable[[bytes], bytes]:
    def change(content: bytes) -> bytes:
        file = io.BytesIO(content)
        with zipfile.ZipFile(file, "a") as archive:
            archive.writestr(name, b"x")
        return file.getvalue()

    return change


def within(folder: str) -> Callable[[bytes], bytes]:
    def change(content: bytes) -> bytes:
        file = io.BytesIO()
        with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(file, "w") as new:
            for info in old.infolist():
                new.writestr(folder + info.filename, old.read(info))
        return file.getvalue()

    return change


@pytest.mark.usefixtures("token")
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: content[:-100], "truncated, damaged or not an archive"),
        (lambda content: b"<html>sign in</html>", "truncated, damaged or not an archive"),
        (without("train/cat.3.jpg"), "1 of 18 images are missing ('train/cat.3.jpg')"),
        (adding("train/cat.9.jpg"), "1 unexpected file ('train/cat.9.jpg')"),
        (
            within("data/"),
            "18 of 18 images are missing ('train/cat.0.jpg'), 18 unexpected files ('data/",
        ),
    ],
)
def test_an_unusable_archive_is_renamed_and_downloaded_again(
    service: type[KaggleService],
    images: Path,
    cache: Path,
    change: Callable[[bytes], bytes],
    message: str,
) -> None:
    whole, service.archive = service.archive, change(service.archive)
    with pytest.raises(UserError) as raised:
        fetch_kaggle()
    assert message in str(raised.value)
    assert "renamed to train.zip.wrong" in str(raised.value)
    assert files(cache / "kaggle") == {"dogs-vs-cats.lock", "train.zip.wrong"}
    service.archive = whole
    assert find_images(fetch_kaggle()) == find_images(images)


def test_a_command_ends_with_the_message_and_writes_the_token_nowhere(
    token: None,
    service: type[KaggleService],
    run_train: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("VERBOSE", "1")
    service.refusal = 403, "You must accept this competition's rules"
    assert run_train("data=kaggle", "debug=true", *SIZES) == 2
    shown = capsys.readouterr()
    assert "requires accepting the competition's rules (403)" in shown.err
    service.refusal = None
    small = ["data=kaggle", "data.workers=0", "epochs=1", "batch_size=4", *SIZES]
    assert run_train(*small) == 0
    assert TOKEN not in shown.err + shown.out + "".join(capsys.readouterr())
    for path in tmp_path.rglob("*"):
        assert not path.is_file() or TOKEN.encode() not in path.read_bytes(), path
    (record,) = tmp_path.glob("outputs/*/record.json")
    assert json.loads(record.read_text())["data"]["source"] == "kaggle"


KEY = json.dumps({"username": "someone", "key": "k"})
LOGIN = json.dumps({"refresh_token": "r", "username": "someone"})
# Files of the home folder, environment variables, and the source of the credential, if any.
PLACES: list[tuple[dict[str, str], dict[str, str], str | None]] = [
    ({}, {}, None),
    ({}, {"KAGGLE_API_TOKEN": TOKEN}, "KAGGLE_API_TOKEN"),
    ({"here": TOKEN}, {"KAGGLE_API_TOKEN": "~/here"}, "KAGGLE_API_TOKEN"),
    ({"here": " "}, {"KAGGLE_API_TOKEN": "~/here"}, None),
    ({".kaggle/access_token": TOKEN}, {"KAGGLE_API_TOKEN": ""}, "~/.kaggle/access_token"),
    ({".kaggle/access_token": " \n"}, {}, None),
    ({".kaggle/access_token.txt": TOKEN}, {}, "~/.kaggle/access_token.txt"),
    ({".kaggle/kaggle.json": KEY}, {}, "~/.kaggle/kaggle.json"),
    ({".kaggle/kaggle.json": "{}"}, {}, None),
    ({".kaggle/kaggle.json": "{"}, {}, None),
    ({".kaggle/kaggle.json": '{"username": "someone"}'}, {}, None),
    (
        {".kaggle/kaggle.json": '{"username": "someone"}'},
        {"KAGGLE_KEY": "k"},
        "~/.kaggle/kaggle.json and KAGGLE_KEY",
    ),
    ({".config/kaggle/kaggle.json": KEY}, {}, "~/.config/kaggle/kaggle.json"),
    ({".config/kaggle/kaggle.json": KEY, ".kaggle/other": ""}, {}, None),
    ({"x/kaggle/kaggle.json": KEY}, {"XDG_CONFIG_HOME": "~/x"}, "~/x/kaggle/kaggle.json"),
    ({"mine/kaggle.json": KEY}, {"KAGGLE_CONFIG_DIR": "~/mine"}, "~/mine/kaggle.json"),
    ({}, {"KAGGLE_USERNAME": "u", "KAGGLE_KEY": "k"}, "KAGGLE_USERNAME and KAGGLE_KEY"),
    ({}, {"KAGGLE_USERNAME": "u"}, None),
    ({".kaggle/credentials.json": LOGIN}, {}, "~/.kaggle/credentials.json"),
    ({".kaggle/credentials.json": "{}"}, {}, None),
    ({".kaggle/credentials.json": "["}, {}, None),
]
# For each environment on stdin, imports the client in a separate process, lets it log in without a
# network, and prints the exit status. Importing it tries to log in at an address with no server.
LOG_IN = """
import contextlib, io, json, os, sys
from kagglesdk import kaggle_env
from kagglesdk.kaggle_creds import KaggleCredentials
kaggle_env._env_to_endpoint[kaggle_env.KaggleEnv.PROD] = "http://127.0.0.1:9"
KaggleCredentials.refresh_access_token = lambda self: setattr(self, "_access_token", "t")
for environment in json.load(sys.stdin):
    if os.fork():
        _, status = os.wait()
        print(os.waitstatus_to_exitcode(status))
        sys.stdout.flush()
        continue
    os.environ.update(environment)
    with contextlib.redirect_stdout(io.StringIO()):
        import kaggle
        kaggle.KaggleApi._introspect_token = lambda self, token: "someone"
        try:
            kaggle.KaggleApi().authenticate()
        except SystemExit:
            os._exit(1)
    os._exit(0)
"""


def furnish(home: Path, contents: dict[str, str], environment: dict[str, str]) -> dict[str, str]:
    """Write the files of a home folder and return the environment with it."""
    for name, text in contents.items():
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(text)
    return {name: value.replace("~", str(home)) for name, value in environment.items()}


@pytest.mark.parametrize(("contents", "environment", "found"), PLACES)
def test_a_credential_is_found_in_every_source_of_the_client(
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    contents: dict[str, str],
    environment: dict[str, str],
    found: str | None,
) -> None:
    for name, value in furnish(home, contents, environment).items():
        monkeypatch.setenv(name, value)
    place = find_credential()
    assert (place and place.replace(str(home), "~")) == found


@pytest.mark.usefixtures("home")
def test_the_client_itself_logs_in_exactly_where_a_credential_is_found(tmp_path: Path) -> None:
    environments = []
    for number, (contents, environment, _) in enumerate(PLACES):
        place = tmp_path / str(number)
        place.mkdir()
        environments.append({"HOME": str(place)} | furnish(place, contents, environment))
    done = subprocess.run(
        [sys.executable, "-c", LOG_IN],
        input=json.dumps(environments),
        capture_output=True,
        text=True,
    )
    assert done.stdout.split() == ["1" if found is None else "0" for _, _, found in PLACES]
