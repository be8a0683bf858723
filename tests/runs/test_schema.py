"""Dotted names of nested settings."""

from catsdogs.runs.schema import flat


def test_every_leaf_of_nested_sections_has_its_dotted_name() -> None:
    sections = {"a": 1, "b": {"c": {"d": [2, {"e": 3}]}, "f": None}, "empty": {}}
    assert flat(sections) == [("a", 1), ("b.c.d", [2, {"e": 3}]), ("b.f", None)]
