"""A case of bad input, how it is judged, and the page that lists all of them."""

import dataclasses
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from catsdogs import check, compare, diamonds, report, train

COMMANDS = {
    "train": train.main,
    "check": check.main,
    "compare": compare.main,
    "report": report.main,
    "diamonds": diamonds.main,
}
ANYTHING = "..."  # in a message: what depends on the machine or the library
Make = Callable[[Path, pytest.MonkeyPatch], object]
PAGE = Path(__file__).parents[2] / "docs" / "bad-input.md"


@dataclasses.dataclass(frozen=True)
class Case:
    """One bad input.

    Attributes:
        given: What it is, in words.
        message: The line on stderr after `error: `, in full; `...` stands for anything.
        arguments: Of the command, which runs in an empty folder.
        command: The last part of `python -m catsdogs.NAME`.
        status: The exit status.
        make: Prepares the folder and the machine.
        pictures: Whether the command is pointed at a good folder of pictures.
    """

    given: str
    message: str
    arguments: Sequence[str] = ()
    command: str = "train"
    status: int = 2
    make: Make = lambda folder, monkeypatch: None
    images: bool = False

    def __str__(self) -> str:
        return self.given

    @property
    def pattern(self) -> re.Pattern[str]:
        """What the whole line must match."""
        return _pattern(f"error: {self.message}")


@dataclasses.dataclass(frozen=True)
class ImageCase:
    """One picture that is not as it should be.

    Attributes:
        given: What it is, in words.
        outcome: `used`, or the reason with which it is left out.
        name: Of its file, in a folder of class.
        make: Writes it.
        note: What it is used as.
    """

    given: str
    outcome: str
    name: str
    make: Callable[[Path], object]
    note: str = ""

    def __str__(self) -> str:
        return self.given

    @property
    def pattern(self) -> re.Pattern[str]:
        """What the whole reason must match."""
        return _pattern(self.outcome)


def _pattern(words: str) -> re.Pattern[str]:
    return re.compile(r"[^\r\n]*".join(map(re.escape, words.split(ANYTHING))))


def judge(
    case: Case,
    run: Callable[..., int],
    small: list[str],
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Run a case: its one line, its status, no traceback, and nothing left behind."""
    case.make(folder, monkeypatch)
    before = contents(folder)
    prefix = small if case.images else []
    status = run(COMMANDS[case.command], *prefix, *case.arguments)
    captured = capfd.readouterr()
    lines = [line for line in captured.err.split("\n") if line and "\r" not in line]
    assert len(lines) == 1, captured.err
    assert case.pattern.fullmatch(lines[0]), lines[0]
    assert status == case.status
    assert "Traceback" not in captured.out
    assert contents(folder) == before


def contents(folder: Path) -> dict[Path, int]:
    """Return what is in a folder, caches left out, with the time of its last change."""
    return {
        path: path.lstat().st_mtime_ns
        for path in folder.rglob("*")
        if "cache" not in path.parts and path.is_file()
    } | {path: 0 for path in folder.rglob("*") if "cache" not in path.parts and path.is_dir()}


def page(images: Sequence[ImageCase], parts: Mapping[str, Sequence[Case]]) -> str:
    """Return the tables of the page."""
    lines = ["| a picture that is | is |", "|---|---|"]
    lines += [f"| {_cell(one.given)} | {_cell(_outcome(one))} |" for one in images]
    for title, cases in parts.items():
        lines += [
            "",
            f"## {title}",
            "",
            "| given | command | answer | status |",
            "|---|---|---|---|",
        ]
        lines += [
            f"| {_cell(one.given)} | `{one.command}` | {_cell(one.message)} | {one.status} |"
            for one in cases
        ]
    return "\n".join(lines) + "\n"


def _outcome(case: ImageCase) -> str:
    if case.outcome == "used":
        return f"used{case.note and ': '}{case.note}"
    return f"left out: {case.outcome}"


def _cell(text: str) -> str:
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*")
