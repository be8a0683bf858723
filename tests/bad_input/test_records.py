"""Hostile and unusual records: a report shows them as text, or leaves them out."""

import csv
from collections.abc import Callable
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from catsdogs import report
from catsdogs.io.text import is_one_line, one_line
from catsdogs.runs.writer import recorded_facts, write_facts
from tests.support.catalogue import contents
from tests.support.pages import Elements
from tests.support.synthetic_runs import write_run

EVIL = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "native_../../../escaped",
    "native_$\\frac$",
    "javascript:alert(1)",
    "a\n| b | `c` [d](javascript:e)",
    "\x1b[2Jgone",
    "=1+1\u202egone",
    "{{ 7 * 7 }}",
]


def test_hostile_labels_reach_no_page_folder_or_terminal_as_code(
    run: Callable[..., int], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "deep" / "er" / "runs"
    for number, label in enumerate(EVIL):
        write_run(folder, label, name=str(number), facts={"command": label})
        facts = {"error": label, "command": label}
        write_run(folder, label, seed=1, name=f"failed{number}", status="failed", facts=facts)
    before = contents(tmp_path)
    assert run(report.main, f"runs={folder}", f"out={folder / 'out'}") == 0
    captured = capfd.readouterr()
    assert [line for line in captured.err.split("\n") if line and "\r" not in line] == []
    assert is_one_line(captured.out.replace("\n", ""))
    assert all(path.is_relative_to(folder / "out") for path in contents(tmp_path).keys() - before)
    elements = Elements((folder / "out" / "index.html").read_text())
    _assert_harmless(elements)
    _assert_harmless(_rendered(folder / "out" / "report.md"))
    for label in EVIL:
        assert one_line(" ".join(label.split())) in " ".join(elements.text.split()), label
    for file in ("index.html", "report.md", "results.csv"):
        text = (folder / "out" / file).read_text()
        assert is_one_line(text.replace("\n", "")), file
    cells = [cell for row in csv.reader(text.splitlines()) for cell in row]
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@"))]


def _rendered(file: Path) -> Elements:
    return Elements(MarkdownIt().enable("table").render(file.read_text()))


def _assert_harmless(elements: Elements) -> None:
    assert not elements.of("script")
    for tag, attributes in elements.found:
        assert not any(name.startswith("on") for name in attributes), (tag, attributes)
        assert not attributes.get("href", "").startswith("javascript:")
        assert tag != "img" or not attributes["src"].startswith("x")


def test_a_thumbnail_outside_its_run_is_not_shown(run: Callable[..., int], tmp_path: Path) -> None:
    directory = write_run(tmp_path / "runs", name="run")
    (tmp_path / "secret.jpg").write_bytes(b"\xff\xd8\xff secret")
    (directory / "mistakes").mkdir()
    (directory / "mistakes.csv").write_text(
        "rank,path,label,logit,file\n1,a.jpg,0,9,mistakes/1.jpg\n2,b.jpg,0,9,../../secret.jpg\n"
        "3,c.jpg,0,9,mistakes/3.jpg\n"
    )
    (directory / "mistakes" / "1.jpg").symlink_to(tmp_path / "secret.jpg")
    (directory / "mistakes" / "3.jpg").write_text("<svg onload='alert(1)'/>")
    assert run(report.main, "runs=runs") == 0
    assert not list((tmp_path / "runs" / "report").rglob("pictures/*"))


def test_a_run_that_failed_before_its_data_is_reported(
    run: Callable[..., int], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    directory = write_run(tmp_path / "runs", status="failed")
    absent = ("data", "weights", "memory", "started")
    facts = recorded_facts(directory)
    write_facts(directory, {name: facts[name] for name in facts if name not in absent})
    assert run(report.main, "runs=runs") == 0
    assert "UserError: optimizer: refuses its settings" in capfd.readouterr().out
