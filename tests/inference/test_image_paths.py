"""From what a user names to files: in depth, by pattern, and out of every loop."""

import os
from pathlib import Path

import pytest

from catsdogs.errors import UserError
from catsdogs.inference.image_paths import list_images
from catsdogs.io.text import printable


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand in a folder with pictures on three levels and other files."""
    monkeypatch.chdir(tmp_path)
    for name in (
        "b.jpg",
        "A.JPEG",
        "in/c.png",
        "in/deep/d.WebP",
        "in/e.bmp",
        "notes.txt",
        "f[1].jpg",
    ):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).touch()
    return tmp_path


def listed(*sources: str) -> list[str]:
    return [path.as_posix() for path in list_images(sources)]


def test_a_folder_is_searched_in_depth_for_the_known_extensions(here: Path) -> None:
    assert listed(".") == ["A.JPEG", "b.jpg", "f[1].jpg", "in/c.png", "in/deep/d.WebP"]
    assert listed(str(here / "in")) == [str(here / "in/c.png"), str(here / "in/deep/d.WebP")]


def test_a_file_named_by_itself_or_a_pattern_is_taken_whatever_its_extension(here: Path) -> None:
    assert listed("notes.txt", "in/*.bmp") == ["notes.txt", "in/e.bmp"]


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("*.jpg", ["b.jpg", "f[1].jpg"]),
        ("?.jpg", ["b.jpg"]),
        ("in/**/*.[pw]*", ["in/c.png"]),
        ("in/../*.JPEG", ["in/../A.JPEG"]),
        ("**/*.png", ["in/c.png"]),
        ("i*", ["in/c.png", "in/deep/d.WebP"]),  # a folder that matches is searched
    ],
)
def test_a_pattern_gives_what_it_matches_sorted(here: Path, pattern: str, found: list[str]) -> None:
    assert listed(pattern) == found


def test_a_name_that_looks_like_a_pattern_is_a_name_if_there_is_such_a_file(here: Path) -> None:
    assert listed("f[1].jpg") == ["f[1].jpg"]


def test_the_order_of_the_sources_is_kept_and_what_is_named_twice_comes_twice(here: Path) -> None:
    assert listed("in", "b.jpg", "b.jpg") == ["in/c.png", "in/deep/d.WebP", "b.jpg", "b.jpg"]


def test_loops_of_links_end_and_a_linked_folder_is_searched_once(here: Path) -> None:
    for place in ("in/up", "in/deep/up", "in/deep/top"):
        Path(place).symlink_to(here)
    (here.parent / "elsewhere").mkdir()
    (here.parent / "elsewhere/g.jpg").touch()
    Path("linked").symlink_to(here.parent / "elsewhere")
    Path("linked_again").symlink_to(here.parent / "elsewhere")
    names = [Path(path).name for path in listed(".")]
    assert sorted(names) == ["A.JPEG", "b.jpg", "c.png", "d.WebP", "f[1].jpg", "g.jpg"]
    assert listed("**/*.jpg") == ["b.jpg", "f[1].jpg"]


def test_a_link_that_leads_nowhere_is_listed_for_the_table_to_tell(here: Path) -> None:
    Path("in/lost.jpg").symlink_to("nowhere")
    assert "in/lost.jpg" in listed("in")
    assert listed("in/lost.jpg") == ["in/lost.jpg"]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("gone.jpg", "pictures=gone.jpg: there is no such file or folder"),
        ("*.gif", r"pictures=\*.gif: no file has such a name"),
        ("empty", r"pictures=empty: holds no file that ends in .jpg, .jpeg, .png, .webp"),
        ("a**b", r"pictures=a\*\*b: "),
    ],
)
def test_a_source_that_leads_nowhere_is_named(here: Path, source: str, message: str) -> None:
    (here / "empty").mkdir()
    with pytest.raises(UserError, match=message):
        listed("b.jpg", source)


def test_any_name_is_printable_on_one_line() -> None:
    assert printable("plain \\ Щенок 猫 é.jpg") == "plain \\ Щенок 猫 é.jpg"
    assert printable(os.fsdecode(b"caf\xe9\n\r\x1b[31m.jpg")) == r"caf\xe9\n\r\x1b[31m.jpg"
    assert printable("a\u2028b\x85c") == r"a\u2028b\x85c"
