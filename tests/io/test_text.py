"""Escaping: any name becomes one line of UTF-8, and a good one stays as it is."""

import os
import shlex

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given
from hypothesis import strategies as st

from catsdogs.io.text import is_one_line, one_line, printable, typed

CASES = [
    ("plain \\ Щенок 猫 é.jpg", "plain \\ Щенок 猫 é.jpg"),
    (os.fsdecode(b"caf\xe9.jpg"), r"caf\xe9.jpg"),
    ("a\n\r\t\x1b[31m\x7f", r"a\n\r\t\x1b[31m\x7f"),
    ("a\x85b\u2028c\u2029", r"a\x85b\u2028c\u2029"),
    ("\ud800", r"\ud800"),  # a surrogate that no byte stands for
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
