"""The tutorial: every command does what the page says, typed as it stands there."""

import importlib
import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import write_picture

PAGE = Path(__file__).parents[1] / "docs" / "tutorial.md"


def commands(text: str) -> list[str]:
    """Return the lines of the blocks without a language."""
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [line for language, block in blocks if not language for line in block.splitlines()]


@pytest.fixture
def reader(tmp_path: Path) -> Path:
    """Return the folder in which a reader with sixty pictures of each class types."""
    for seed, kind in enumerate(("cat", "dog")):
        for number in range(60):
            write_picture(
                tmp_path / "my_pictures" / f"{kind}s" / f"{number}.jpg", 60 * seed + number
            )
    for number in range(3):
        write_picture(tmp_path / "new_pictures" / f"{number}.jpg", 1000 + number)
    return tmp_path


@pytest.mark.slow
def test_every_command_of_the_tutorial_leaves_what_the_page_names(
    run: Callable[..., int], reader: Path
) -> None:
    text = PAGE.read_text()
    lines = commands(text)
    modules = [line.split()[2] for line in lines]
    assert modules == [
        f"catsdogs.{name}" for name in ("train", "train", "compare", "report", "predict", "export")
    ]
    first = reader
    for line in lines:
        _, _, module, *arguments = shlex.split(line.replace("RUN", first.name))
        assert run(importlib.import_module(module).main, *arguments) == 0, line
        (first,) = (reader / "outputs" / "first").glob("custom_adam-seed0-*")
    for name in re.findall(r"`([\w./-]+\.(?:json|csv|pt|png|html|md|pt2))`", text):
        places = [reader / name, first / name, reader / "my_report" / name]
        assert any(place.exists() for place in places), name
