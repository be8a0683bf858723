"""Escaping of file names and foreign text to one line, for tables, messages and terminals."""

import logging
import os
import re
import shlex
import unicodedata
from typing import Any

# Control characters, Unicode's line and paragraph separators, and surrogates, which UTF-8 lacks.
ESCAPED_CATEGORIES = {"Cc", "Zl", "Zp", "Cs"}
# Directions of writing that last until they are ended, such as U+202E: they reverse what follows.
ESCAPED_DIRECTIONS = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
FORMULA = tuple("=+-@＝＋－＠")  # noqa: RUF001 - spreadsheets read the wide signs, too


def is_one_line(text: str) -> bool:
    """Return whether a text is one line of UTF-8 without control characters."""
    return text.isprintable() or not any(_is_escaped(character) for character in text)


def one_line(text: str) -> str:
    r"""Return a text as one line of UTF-8, with control characters and invalid bytes escaped.

    A byte of a file name that is not UTF-8, which Python holds as a surrogate, becomes `\xff`;
    a line break becomes `\n`. Other characters, the backslash among them, stay as they are.
    """
    return text if text.isprintable() else "".join(map(_escape, text))


def on_page(value: Any) -> Any:
    """Return a text for a page as one line without control characters; other values as they are.

    For the `finalize` of a template's environment. Markup, a subclass of text, is left unchanged.
    """
    return one_line(re.sub(r"\s", " ", value)) if type(value) is str else value


def csv_text(text: str, prefix: str = "'") -> str:
    """Return a text for a cell of a CSV file: one line that no spreadsheet runs as a formula.

    Args:
        text: Of the cell; a number does not belong here, since a minus sign begins a formula.
        prefix: Put before a text that begins as a formula does.
    """
    line = one_line(text)
    return f"{prefix}{line}" if line.startswith(FORMULA) else line


def csv_path(path: str | os.PathLike[str]) -> str:
    """Return a path for a cell of a CSV file; one that begins as a formula does gets a `./`."""
    return csv_text(os.fspath(path), "./")


class OneLineFormatter(logging.Formatter):
    """Formatter of messages that may name files and records of others."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the message on one line."""
        return one_line(super().format(record))


def typed(setting: str, value: object) -> str:
    """Return `setting=value` as it is typed in a shell, with the quotes that Hydra needs, too."""
    text = str(value)
    if not re.fullmatch(r"[\w./@%+-]+", text, re.ASCII):
        text = "'" + text.replace("'", "\\'") + "'"
    return shlex.quote(f"{setting}={text}")


def printable(path: str | os.PathLike[str]) -> str:
    """Return a path as `one_line` writes it."""
    return one_line(os.fspath(path))


def _is_escaped(character: str) -> bool:
    return (
        unicodedata.category(character) in ESCAPED_CATEGORIES
        or unicodedata.bidirectional(character) in ESCAPED_DIRECTIONS
    )


def _escape(character: str) -> str:
    if not _is_escaped(character):
        return character
    if "\udc80" <= character <= "\udcff":  # a byte that os.fsdecode could not decode
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode("ascii")
