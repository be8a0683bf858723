"""The folder of a report: reproducible bytes, no stale files, other files unchanged."""

import dataclasses
import stat
from pathlib import Path

import pytest

from catsdogs.errors import UserError
from catsdogs.reporting.document import Document
from catsdogs.reporting.render import write_report
from tests.support.sample_document import sample_document


@pytest.fixture
def document(tmp_path: Path) -> Document:
    return sample_document(tmp_path)


def contents(directory: Path) -> dict[str, bytes]:
    return {
        path.relative_to(directory).as_posix(): path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file()
    }


def test_a_report_has_a_page_a_text_numbers_and_figures(document: Document, tmp_path: Path) -> None:
    assert write_report(document, "a,b\n", tmp_path / "new") == tmp_path / "new" / "index.html"
    stems = ("single", "left", "right")
    figures = {f"figures/{stem}.{kind}" for stem in stems for kind in ("png", "svg")}
    others = {"index.html", "report.md", "results.csv", "files.txt", "pictures/second-1.jpg"}
    assert set(contents(tmp_path / "new")) == figures | others
    assert (tmp_path / "new" / "results.csv").read_text() == "a,b\n"


def test_writing_it_again_changes_no_byte(document: Document, tmp_path: Path) -> None:
    write_report(document, "a\n", tmp_path / "new")
    first = contents(tmp_path / "new")
    write_report(document, "a\n", tmp_path / "new")
    assert contents(tmp_path / "new") == first


def test_stale_files_are_removed_and_other_files_stay(document: Document, tmp_path: Path) -> None:
    write_report(document, "", tmp_path)
    foreign = tmp_path / "figures" / "mine.png"
    foreign.write_bytes(b"mine")
    (tmp_path / "notes.txt").write_text("mine")
    shorter = dataclasses.replace(document, sections=document.sections[:1])
    write_report(shorter, "", tmp_path)
    assert not list(tmp_path.glob("figures/single.*"))
    assert not list(tmp_path.glob("pictures/*"))
    assert foreign.read_bytes() == b"mine"
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_files_outside_the_folder_are_never_removed(document: Document, tmp_path: Path) -> None:
    (tmp_path / "precious.txt").write_text("keep")
    out = tmp_path / "report"
    out.mkdir()
    (out / "files.txt").write_text(f"../precious.txt\n{tmp_path / 'precious.txt'}\n")
    write_report(document, "", out)
    assert (tmp_path / "precious.txt").exists()


def test_an_unwritable_folder_is_named(document: Document, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="out=.*file"):
        write_report(document, "", tmp_path / "file")
    assert stat.S_ISREG((tmp_path / "file").stat().st_mode)
