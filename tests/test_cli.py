"""The end of every command: its last line and its exit status."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from catsdogs import cli
from catsdogs.cli import machine_error
from tests.support.processes import environment


@pytest.mark.parametrize("arguments", [["--help"], ["--cfg", "job"], ["runs=nowhere"]], ids=str)
def test_a_closed_pipe_ends_a_command_silently(tmp_path: Path, arguments: list[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    answer = subprocess.run(
        [sys.executable, "-m", "catsdogs.report", *arguments],
        cwd=tmp_path,
        env=environment(),
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(writer)
    wrong = arguments == ["runs=nowhere"]
    assert answer.returncode == (2 if wrong else 141)
    assert answer.stderr.count("\n") == wrong
    assert "Broken" not in answer.stderr


def ending(
    error: BaseException, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...] = ()
) -> int:
    def job(_: object) -> int:
        raise error

    monkeypatch.setattr("sys.argv", ["catsdogs", *arguments])
    with pytest.raises(SystemExit) as stop:
        cli._run_job(job, OmegaConf.create({}))
    return int(stop.value.code or 0)


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (KeyboardInterrupt(), 130, "\ninterrupted\n"),
        (BrokenPipeError(), 141, ""),
        (OSError(28, "No space left on device"), 2, "error: a file: no space left on its disk"),
        (PermissionError(13, "Permission denied", "a/b"), 2, "error: a/b: permission denied;"),
        (FileNotFoundError(2, "No such file", "a/b"), 2, "error: a/b: not found;"),
        (OSError(16, "Device or resource busy", "a/b"), 2, "error: a/b: in use by the system;"),
        (
            OSError(60, "Device not a stream", "a/b"),
            2,
            "error: a/b: Device not a stream; try again",
        ),
        (
            OSError(18, "Cross-device", "a/.b.partial", None, "a/b"),
            2,
            "error: a/b: on another disk",
        ),
        (OSError("no number"), 1, "error: unexpected OSError: no number"),
        (MemoryError(), 2, "error: out of memory;"),
        (RuntimeError("no memory of it"), 1, "error: unexpected RuntimeError: no memory of it"),
        (ValueError("\x1b[2J\nsecond"), 1, "error: unexpected ValueError: \\x1b[2J second"),
    ],
    ids=repr,
)
def test_an_error_is_one_line_without_a_traceback(
    error: BaseException,
    status: int,
    line: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert ending(error, monkeypatch) == status
    said = capsys.readouterr().err
    assert said.startswith(line)
    assert said.lstrip("\n").count("\n") == bool(line)


def test_debug_shows_the_traceback_of_an_error_of_the_machine(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ending(OSError(28, "No space left"), monkeypatch, ("debug=true",)) == 2
    assert "Traceback" in capsys.readouterr().err


def test_the_system_error_behind_an_error_of_torch_is_found() -> None:
    hidden = RuntimeError("unexpected pos 704 vs 598")
    hidden.__context__ = OSError(28, "No space left on device", "x.pt")
    assert machine_error(hidden) == (
        "x.pt: no space left on its disk; free some space, or choose another folder"
    )
    assert machine_error(RuntimeError("unexpected pos 704 vs 598")) is None


def test_a_terminal_with_another_encoding_gets_escapes(tmp_path: Path) -> None:
    code = "from catsdogs import report; report.main()"
    answer = subprocess.run(
        [sys.executable, "-c", code, "runs='нигде'"],
        cwd=tmp_path,
        env=environment(PYTHONIOENCODING="ascii"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 2
    assert answer.stderr.startswith("error: runs=\\u043d")
