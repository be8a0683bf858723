"""Names and other people's texts as one line, for tables, messages and terminals."""

import os
import unicodedata

# Control characters, the line ends of Unicode, and what Python puts for bytes that are no UTF-8.
UNFIT = {"Cc", "Zl", "Zp", "Cs"}


def is_one_line(text: str) -> bool:
    """Tell whether a text is one line of UTF-8 without anything that drives a terminal."""
    return not any(unicodedata.category(character) in UNFIT for character in text)


def one_line(text: str) -> str:
    """Return a text as one line of UTF-8, with escapes for what does not belong into one."""
    return "".join(
        character.encode("unicode_escape").decode("ascii")
        if unicodedata.category(character) in UNFIT
        else character
        for character in text
    )


def printable(path: str | os.PathLike[str]) -> str:
    r"""Return a path as text that any file, page or terminal can hold, on one line.

    Bytes that are not UTF-8 and control characters become escapes, as `\xff` and `\n`.
    """
    text = os.fsencode(path).decode("utf-8", "backslashreplace")
    return "".join(
        char.encode("unicode_escape").decode() if _breaks_lines(char) else char for char in text
    )


def _breaks_lines(char: str) -> bool:
    return unicodedata.category(char) in ("Cc", "Zl", "Zp")
