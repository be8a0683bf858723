"""The end of every command: its last line and its exit status."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from catsdogs import cli
from catsdogs.cli import machine_error
from tests.support.processes import environment

REPORT = "catsdogs report"
STREAMS = {
    "a closed pipe": "| true; exit ${PIPESTATUS[0]}",
    "errors into a closed pipe": "2>&1 | true; exit ${PIPESTATUS[0]}",
    "a full disk": ">/dev/full 2>/dev/full",
    "stdout closed": ">&-",
    "everything closed": "<&- >&- 2>&-",
}
ANSWERS = {
    "--help": (0, ""),
    "runs=nowhere": (2, "error: runs=nowhere: no such folder; give the folder of the runs\n"),
}


def shell(line: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    """Run a command line in bash, where `catsdogs` stands for this Python and its module."""
    python = f"{shlex.quote(sys.executable)} -m catsdogs."
    return subprocess.run(
        ["bash", "-c", line.replace("catsdogs ", python)],
        cwd=folder,
        env=environment(PYTHONUNBUFFERED=""),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("streams", STREAMS.values(), ids=STREAMS)
def test_a_command_ends_with_its_own_status_whatever_its_streams_are(
    tmp_path: Path, streams: str
) -> None:
    for argument, (status, line) in ANSWERS.items():
        answer = shell(f"{REPORT} {argument} {streams}", tmp_path)
        assert answer.returncode == status
        assert answer.stderr == ("" if "2>" in streams else line)


def test_output_that_a_full_disk_loses_is_said(tmp_path: Path) -> None:
    answer = shell(f"{REPORT} --help >/dev/full", tmp_path)
    assert answer.returncode == 0
    assert answer.stderr == (
        "warning: stdout: No space left on device; the rest of the output is lost\n"
    )


def test_nothing_that_a_command_opens_gets_the_number_of_a_closed_stream(tmp_path: Path) -> None:
    code = (
        "from catsdogs.io.streams import open_standard_streams; open_standard_streams();"
        "import os; number = os.open('kept', os.O_CREAT | os.O_RDWR);"
        "os.system('echo from a child; echo an error >&2'); print('from Python');"
        "print(input.__name__, file=__import__('sys').stderr);"
        "raise SystemExit(number < 3 or os.path.getsize('kept'))"
    )
    for streams in ("<&-", ">&-", "2>&-", "<&- >&- 2>&-"):
        line = f"{shlex.quote(sys.executable)} -c {shlex.quote(code)} {streams}"
        assert shell(line, tmp_path).returncode == 0


def test_a_pipe_that_does_not_block_gets_everything() -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    code = (
        "from catsdogs.io.streams import open_standard_streams; open_standard_streams();"
        "print('x' * 1_000_000)"
    )
    command = [sys.executable, "-u", "-c", code]
    with subprocess.Popen(command, stdout=writer, env=environment()) as process:
        os.close(writer)
        with os.fdopen(reader, "rb") as file:
            assert file.read() == b"x" * 1_000_000 + b"\n"
    assert process.returncode == 0


def test_overrides_may_stand_on_both_sides_of_a_flag(tmp_path: Path) -> None:
    own = tmp_path / "own" / "optimizer"
    own.mkdir(parents=True)
    (own / "mine.yaml").write_text("_target_: torch.optim.SGD\n_partial_: true\nlr: 7\n")
    line = "catsdogs train epochs=2 --config-dir own optimizer=mine --cfg job"
    answer = shell(line, tmp_path)
    assert answer.returncode == 0, answer.stderr
    assert "lr: 7" in answer.stdout
    assert "epochs: 2" in answer.stdout


def test_an_unknown_flag_is_refused_in_one_line(tmp_path: Path) -> None:
    answer = shell(f"{REPORT} --no-such-flag", tmp_path)
    assert answer.returncode == 2
    assert answer.stderr == "error: unrecognized arguments: --no-such-flag; see --help\n"


def test_a_console_script_imports_from_the_working_directory(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("import torch\n\n\nclass Mine(torch.optim.SGD): ...\n")
    script = tmp_path / "bin" / "catsdogs-check"  # as pip writes it
    script.parent.mkdir()
    script.write_text("import sys\nfrom catsdogs.check import main\nsys.exit(main())\n")
    line = f"{shlex.quote(sys.executable)} {script} target=mine.Mine only=[no_claim]"
    assert shell(line, tmp_path).stderr.startswith("error: only=['no_claim']: ")
    answer = shell(f"PYTHONSAFEPATH=1 {line}", tmp_path)  # as `python -P -m` has it
    assert answer.stderr.startswith("error: target=mine.Mine: cannot be used")


def ending(
    error: BaseException, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...] = ()
) -> int:
    monkeypatch.setattr("sys.argv", ["catsdogs", *arguments])
    with pytest.raises(SystemExit) as stop, cli._one_line_errors():
        raise error
    return int(stop.value.code or 0)


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (KeyboardInterrupt(), 130, "\ninterrupted\n"),
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
