"""Several processes of one run speak with one voice, and a single process always speaks."""

import time
from pathlib import Path

import pytest

from catsdogs.io import voice


@pytest.fixture
def torchrun(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(voice.STARTED_BY_TORCHRUN, "none")
    (tmp_path / "attempt_0" / "1").mkdir(parents=True)
    monkeypatch.setenv(voice.ERROR_FILE, str(tmp_path / "attempt_0" / "1" / "error.json"))


@pytest.mark.usefixtures("torchrun")
@pytest.mark.parametrize("rank", ["0", "1"])
def test_whichever_process_fails_first_says_so_and_no_other(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, rank: str
) -> None:
    monkeypatch.setenv("RANK", rank)
    assert voice.is_first_process() == (rank == "0")
    assert voice.says_error()
    monkeypatch.setenv(voice.ERROR_FILE, str(tmp_path / "attempt_0" / "2" / "error.json"))
    assert not voice.says_error()
    (tmp_path / "attempt_1" / "1").mkdir(parents=True)  # after a restart
    monkeypatch.setenv(voice.ERROR_FILE, str(tmp_path / "attempt_1" / "1" / "error.json"))
    assert voice.says_error()


@pytest.mark.usefixtures("torchrun")
def test_a_consequence_waits_for_its_cause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(voice, "WAIT", 0.2)
    before = time.monotonic()
    voice.await_cause()
    assert time.monotonic() - before >= 0.2
    voice.says_error()
    monkeypatch.setattr(voice, "WAIT", 1e9)
    voice.await_cause()


def test_a_process_that_torchrun_did_not_start_always_speaks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in (voice.STARTED_BY_TORCHRUN, voice.ERROR_FILE):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("RANK", "3")  # of somebody's cluster
    assert voice.is_first_process()
    assert voice.says_error()
    assert voice.says_error()
