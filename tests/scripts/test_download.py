"""The download script."""

from collections.abc import Callable
from pathlib import Path

import pytest

from scripts import download


@pytest.fixture
def run_download(monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    def run(*arguments: str) -> int:
        monkeypatch.setattr("sys.argv", ["download.py", *arguments])
        try:
            download.main()
        except SystemExit as stop:
            return int(stop.code or 0)
        return 0

    return run


def test_it_decodes_and_counts_the_downloaded_images(
    run_download: Callable[..., int],
    monkeypatch: pytest.MonkeyPatch,
    images: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    calls = []

    def fetch(source: str, *, keep_archive: bool) -> Path:
        calls.append((source, keep_archive))
        return images

    monkeypatch.setattr(download, "fetch", fetch)
    assert run_download("pets", "--keep-archive") == 0
    assert calls == [("pets", True)]
    assert f"{images}: 9 dogs, 9 cats, 0 of them unreadable" in capsys.readouterr().out


def test_without_a_credential_it_fails_in_one_line(
    run_download: Callable[..., int],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("KAGGLE_API_TOKEN", "KAGGLE_KEY", "KAGGLE_CONFIG_DIR", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    assert run_download("kaggle") == 2
    assert "error: data=kaggle: no Kaggle credential found" in capsys.readouterr().err
