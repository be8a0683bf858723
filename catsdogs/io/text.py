"""Escaping of file names and foreign text to one line, for tables, messages and terminals."""

import os
import re
import shlex
import unicodedata

# Control characters, Unicode's line and paragraph separators, and surrogates, which UTF-8 lacks.
ESCAPED_CATEGORIES = {"Cc", "Zl", "Zp", "Cs"}


def is_one_line(text: str) -> bool:
    """Return whether a text is one line of UTF-8 without control characters."""
    return not any(_is_escaped(character) for character in text)


def one_line(text: str) -> str:
    r"""Return a text as one line of UTF-8, with control characters and invalid bytes escaped.

    A byte of a file name that is not UTF-8, which Python holds as a surrogate, becomes `\xff`;
    a line break becomes `\n`. Other characters, the backslash among them, stay as they are.
    """
    return "".join(map(_escape, text))


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
    return unicodedata.category(character) in ESCAPED_CATEGORIES


def _escape(character: str) -> str:
    if not _is_escaped(character):
        return character
    if "\udc80" <= character <= "\udcff":  # a byte that os.fsdecode could not decode
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode("ascii")
