"""Escaping: any name becomes one line of UTF-8, and a good one stays as it is."""

import logging
import os
import shlex

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup

from catsdogs.io.text import (
    OneLineFormatter,
    csv_path,
    csv_text,
    is_one_line,
    on_page,
    one_line,
    printable,
    typed,
)

CASES = [
    ("plain \\ Щенок 猫 é.jpg", "plain \\ Щенок 猫 é.jpg"),
    (os.fsdecode(b"caf\xe9.jpg"), r"caf\xe9.jpg"),
    ("a\n\r\t\x1b[31m\x7f", r"a\n\r\t\x1b[31m\x7f"),
    ("a\x85b\u2028c\u2029", r"a\x85b\u2028c\u2029"),
    ("\ud800", r"\ud800"),  # a surrogate that no byte stands for
    ("a\u202egpj.exe", r"a\u202egpj.exe"),  # reads as aexe.jpg
    ("\u2066a\u2069\u202a\u202b\u202c\u202d", r"\u2066a\u2069\u202a\u202b\u202c\u202d"),
]


@pytest.mark.parametrize(("text", "escaped"), CASES)
def test_a_text_and_a_path_are_escaped_the_same_way(text: str, escaped: str) -> None:
    assert one_line(text) == printable(text) == escaped


@given(st.binary())
def test_any_file_name_becomes_one_line_of_utf8(name: bytes) -> None:
    text = os.fsdecode(name)
    line = one_line(text)
    assert line.encode().decode() == line
    assert len(line.splitlines()) <= 1
    assert is_one_line(line)
    assert (line == text) == is_one_line(text)


@pytest.mark.parametrize(
    "value", ["outputs/a-1", "two words", "it's", "a,b", "x=1", "(1)", "$HOME `id`", "нигде", "[a]"]
)
def test_a_typed_setting_reaches_hydra_as_it_was(value: str) -> None:
    (word,) = shlex.split(typed("key", value))
    (override,) = OverridesParser.create().parse_overrides([word])
    assert override.value() == value


@pytest.mark.parametrize(
    "begin", [*"=+-@", "\N{FULLWIDTH EQUALS SIGN}", "\N{FULLWIDTH COMMERCIAL AT}"]
)
def test_a_text_cell_is_no_formula_and_a_path_cell_still_names_its_file(begin: str) -> None:
    assert csv_text(f"{begin}1\x1b") == f"'{begin}1\\x1b"
    assert csv_path(f"{begin}1.jpg") == f"./{begin}1.jpg"
    assert csv_text(f"a{begin}1") == csv_path(f"a{begin}1") == f"a{begin}1"


def test_a_page_shows_text_on_one_line_and_leaves_markup_and_numbers_as_they_are() -> None:
    markup = Markup("<b>\x1b\n</b>")
    assert on_page(" a\nb\x1b\u202e") == r" a b\x1b\u202e"
    assert on_page(markup) is markup
    assert on_page(-1.5) == -1.5


def test_a_warning_that_names_a_file_is_one_line_without_escapes() -> None:
    record = logging.LogRecord(
        "a", logging.WARNING, "", 0, "%s: damaged", ("\x1b[2J\n\u202e",), None
    )
    line = OneLineFormatter("%(levelname)s: %(message)s").format(record)
    assert line == r"WARNING: \x1b[2J\n\u202e: damaged"
