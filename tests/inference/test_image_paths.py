"""Image paths: recursive search, patterns and loops of links."""

import os
from pathlib import Path

import pytest

from catsdogs.errors import UserError
from catsdogs.inference.image_paths import list_images
from catsdogs.io.text import printable
from tests.support.images import close_folder


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Change to a folder with images on three levels and other files."""
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


def test_a_folder_is_searched_recursively_for_the_known_extensions(here: Path) -> None:
    assert listed(".") == ["A.JPEG", "b.jpg", "f[1].jpg", "in/c.png", "in/deep/d.WebP"]
    assert listed(str(here / "in")) == [str(here / "in/c.png"), str(here / "in/deep/d.WebP")]


def test_a_file_named_directly_or_by_a_pattern_may_have_any_extension(here: Path) -> None:
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
def test_the_matches_of_a_pattern_are_sorted(here: Path, pattern: str, found: list[str]) -> None:
    assert listed(pattern) == found


def test_an_existing_file_is_preferred_to_the_pattern_that_its_name_looks_like(here: Path) -> None:
    assert listed("f[1].jpg") == ["f[1].jpg"]


def test_the_order_of_the_sources_is_kept_and_a_file_named_twice_is_returned_twice(
    here: Path,
) -> None:
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


def test_a_broken_link_is_listed_so_that_the_table_reports_it(here: Path) -> None:
    Path("in/lost.jpg").symlink_to("nowhere")
    assert "in/lost.jpg" in listed("in")
    assert listed("in/lost.jpg") == ["in/lost.jpg"]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("gone.jpg", "pictures=gone.jpg: no such file or folder"),
        ("*.gif", r"pictures=\*.gif: no file matches this pattern"),
        ("empty", r"pictures=empty: no file in this folder ends in .jpg, .jpeg, .png, .webp"),
        ("a**b", r"pictures=a\*\*b: "),
    ],
)
def test_a_source_without_files_is_named(here: Path, source: str, message: str) -> None:
    (here / "empty").mkdir()
    with pytest.raises(UserError, match=message):
        listed("b.jpg", source)


def test_any_name_is_printable_on_one_line() -> None:
    assert printable("plain \\ Щенок 猫 é.jpg") == "plain \\ Щенок 猫 é.jpg"
    assert printable(os.fsdecode(b"caf\xe9\n\r\x1b[31m.jpg")) == r"caf\xe9\n\r\x1b[31m.jpg"
    assert printable("a\u2028b\x85c") == r"a\u2028b\x85c"


def test_what_a_search_skips_is_counted_in_one_line_with_the_first_of_each_kind(
    here: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("._b.jpg", ".DS_Store", "in/x.HEIC", "in/y.heic", "closed/z.jpg", "@eaDir/b.jpg"):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).touch()
    close_folder(Path("closed"), monkeypatch)
    assert listed(".", "*.jpg") == ["A.JPEG", "b.jpg", "f[1].jpg", "in/c.png", "in/deep/d.WebP"] + [
        "b.jpg",
        "f[1].jpg",
    ]
    assert caplog.messages == [
        "pictures: skipped 1 unreadable folder (first: ./closed, Permission denied), "
        "4 hidden or system files (first: @eaDir), 1 .txt file (first: notes.txt), "
        "1 .bmp file (first: in/e.bmp), 2 .heic files (first: in/x.HEIC)"
    ]


def test_a_hidden_file_that_is_asked_for_is_used(here: Path) -> None:
    for name in ("._b.jpg", ".more/c.jpg"):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).touch()
    assert listed("._b.jpg", ".*.jpg", ".m*") == ["._b.jpg", "._b.jpg", ".more/c.jpg"]


def test_a_folder_without_images_says_what_it_has(here: Path) -> None:
    Path("phone").mkdir()
    Path("phone/1.heic").touch()
    with pytest.raises(
        UserError, match=r"\(skipped 1 \.heic file \(first: phone/1\.heic\)\); name"
    ):
        listed("phone")
