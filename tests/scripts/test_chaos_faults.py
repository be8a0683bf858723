"""The search by fault injection: it finds a careless command, and finds ours careful."""

import contextlib
import json
import random
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from scripts.chaos.faults import Command, Trial, fault_table, faults_line
from scripts.chaos.system_calls import can_trace, run_command
from tests.support.processes import run_chaos

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(not can_trace(), reason="needs strace")


def careful() -> None:
    """Write a file, and stop with a sentence if that fails."""
    try:
        _write_atomically()
    except OSError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(2)


def silent() -> None:
    """Write a file, and say nothing if that fails."""
    with contextlib.suppress(OSError):
        _write_atomically()


def crashing() -> None:
    """Write a file, and end with a traceback if that fails."""
    _write_atomically()


def half() -> None:
    """Write a file in place, and stop in the middle if that fails."""
    Path("outputs").mkdir(exist_ok=True)
    try:
        with Path("outputs/a.json").open("w") as file:
            file.write("{")
            file.flush()
            file.write('"a": 1}')
    except OSError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(2)


def _write_atomically() -> None:
    folder = Path("outputs")
    folder.mkdir(exist_ok=True)
    (folder / "a.tmp").write_text(json.dumps({"a": 1}))
    (folder / "a.tmp").rename(folder / "a.json")


@pytest.mark.parametrize(
    ("main", "problem"),
    [(careful, ""), (silent, "a.json differs"), (crashing, "Traceback"), (half, "is not JSON")],
)
def test_the_harness_tells_a_careful_command_from_a_careless_one(
    main: Callable[[], None], problem: str, tmp_path: Path
) -> None:
    (tmp_path / "prepared").mkdir()
    trial = Trial(Command("one", main, []), tmp_path, tmp_path / "prepared")
    assert {call.path for kind in trial.calls.values() for calls in kind.values() for call in calls}
    draw = random.Random(0)
    faults = [trial.draw(draw) for _ in range(12)]
    problems = "\n".join(problem for fault in faults for problem in fault.problems)
    assert problem in problems
    assert bool(problems) == bool(problem)
    held = sum(not fault.problems for fault in faults)
    assert faults_line(faults) == f"{held} of 12 faults recovered bit for bit"
    assert fault_table(faults)[0].endswith(f"| {held} of 12 |")


def test_the_named_call_on_the_named_file_fails_and_no_other(tmp_path: Path) -> None:
    folder = tmp_path / "now"
    folder.mkdir()
    done = run_command(careful, [], folder, "rename:error=EXDEV:when=1")
    assert done.status == 2
    assert "Invalid cross-device link" in done.output
    assert [(call.name, call.path) for call in done.calls if call.failed] == [
        ("rename", "outputs/a.tmp")
    ]
    assert done.strays == 0


def test_faults_of_a_real_command_change_no_bit(tmp_path: Path) -> None:
    assert "12 of 12 faults recovered bit for bit" in _chaos("--only", "faults of check", 12)


@pytest.mark.slow
def test_faults_of_all_commands_change_no_bit(tmp_path: Path) -> None:
    assert "40 of 40 faults recovered bit for bit" in _chaos("--only", "faults", 40)


def _chaos(option: str, only: str, faults: int) -> str:
    arguments = [option, only, "--faults", str(faults), "--seed", "3"]
    return run_chaos(*arguments)
