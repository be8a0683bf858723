"""The catalogue of bad input: its cases, and docs/bad-input.md, which pins what each one gives."""

import dataclasses
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from catsdogs import check, compare, diamonds, predict, report, train

COMMANDS = {
    "train": train.main,
    "check": check.main,
    "compare": compare.main,
    "report": report.main,
    "diamonds": diamonds.main,
    "predict": predict.main,
}
LONG_NAME = "a" * 300
# What differs from one machine or run to the next, and the word that stands for it.
VARIABLE = {
    LONG_NAME: "NAME",
    r"\b[0-9a-f]{16}\b": "CHECKSUM",
    r"\b\d+ bytes not processed": "N bytes not processed",  # as the encoder's version has it
}
Make = Callable[[Path, pytest.MonkeyPatch], object]
PAGE = Path(__file__).parents[2] / "docs" / "bad-input.md"
IMAGE_HEADER = "| an image that is | is |"
CASE_HEADER = "| given | command | answer | status |"


@dataclasses.dataclass(frozen=True)
class Case:
    """A command with bad input.

    Attributes:
        given: The input in words; names the case.
        arguments: Of the command, which runs in an empty folder.
        command: The last part of `python -m catsdogs.NAME`.
        make: Prepares the folder and the machine.
        images: Prefix `arguments` with those of a good folder of images.
    """

    given: str
    arguments: Sequence[str] = ()
    command: str = "train"
    make: Make = lambda folder, monkeypatch: None
    images: bool = False

    def __str__(self) -> str:
        return self.given

    def row(self, answer: str, status: int) -> str:
        """Return the row of the page for an answer (the line on stderr without `error: `)."""
        return f"| {cell(self.given)} | `{self.command}` | {cell(answer)} | {status} |"


@dataclasses.dataclass(frozen=True)
class ImageCase:
    """An odd image among good ones.

    Attributes:
        given: The image in words; names the case.
        name: Of its file, in the folder of a class.
        make: Writes the file.
        used_as: How the image is used; empty for one that must be left out.
    """

    given: str
    name: str
    make: Callable[[Path], object]
    used_as: str = ""

    def __str__(self) -> str:
        return self.given

    def row(self, reason: str) -> str:
        """Return the row of the page for the reason the image is left out; empty if it is used."""
        outcome = f"left out: {reason}" if reason else f"used: {self.used_as}"
        return f"| {cell(self.given)} | {cell(outcome)} |"


def without_variable_parts(text: str, paths: Mapping[Path, str]) -> str:
    """Replace what differs from one machine or run to the next by a word in capitals.

    Args:
        text: One line.
        paths: Folders, and the words that stand for them.
    """
    for path, word in paths.items():
        text = text.replace(str(path), word)
    for pattern, word in VARIABLE.items():
        text = re.sub(pattern, word, text)
    return text


def contents(folder: Path) -> dict[Path, int]:
    """Return every path in a folder, caches left out, with the time of a file's last change."""
    return {
        path: path.lstat().st_mtime_ns if path.is_file() else 0
        for path in folder.rglob("*")
        if "cache" not in path.parts and (path.is_file() or path.is_dir())
    }


def cell(text: str) -> str:
    """Return a text as a cell of a Markdown table."""
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*")


def first_cell(row: str) -> str:
    """Return the first cell of a row: what is given."""
    return row[2:].partition(" | ")[0]


def pinned_rows() -> dict[str, str]:
    """Return the rows of the page by their first cell."""
    rows = [line for line in PAGE.read_text().split("\n") if line.startswith("| ")]
    return {first_cell(row): row for row in rows if row not in (IMAGE_HEADER, CASE_HEADER)}


def pinned_answer(given: str) -> str:
    """Return the answer on the page to the case of a command, without `error: `."""
    return pinned_rows()[given].split(" | ")[2]


def page(
    images: Sequence[ImageCase], parts: Mapping[str, Sequence[Case]], rows: Mapping[str, str]
) -> str:
    """Return the page with other tables, in the order of the cases.

    Args:
        images: The cases of the first table.
        parts: The cases of each other table under its title.
        rows: By their first cell.

    Raises:
        KeyError: For a case without a row.
    """
    count = len(images) + sum(map(len, parts.values()))
    above, _, _ = PAGE.read_text().partition(IMAGE_HEADER)
    lines = [re.sub(r"\d+ cases", f"{count} cases", above) + IMAGE_HEADER, "|---|---|"]
    lines += [rows[cell(image.given)] for image in images]
    for title, cases in parts.items():
        lines += ["", f"## {title}", "", CASE_HEADER, "|---|---|---|---|"]
        lines += [rows[cell(case.given)] for case in cases]
    return "\n".join(lines) + "\n"
