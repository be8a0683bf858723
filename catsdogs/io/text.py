"""Names and other people's texts as one line, for tables, messages and terminals."""

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
