"""Folders of records that are damaged, incomplete, or written to do harm."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from markdown_it import MarkdownIt

from catsdogs import report
from catsdogs.io.text import is_one_line
from tests.support.catalogue import Case, Make, contents, judge
from tests.support.pages import Elements
from tests.support.synthetic_runs import run_name, write_comparison, write_run

RUNS = ["runs=runs"]
NAN = float("nan")


def record(**replaced: Any) -> Make:
    """Write a run with other facts, or without those that are None."""

    def make(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = write_run(folder / "runs", name="run") / "record.json"
        facts = json.loads(path.read_text()) | replaced
        path.write_text(json.dumps({k: v for k, v in facts.items() if v is not None}))

    return make


def raw(content: bytes, file: str = "record.json") -> Make:
    def make(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (write_run(folder / "runs", name="run") / file).write_bytes(content)

    return make


def replaced(file: str, old: str, new: str) -> Make:
    def make(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = write_run(folder / "runs", name="run") / file
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, 1))

    return make


def without(file: str) -> Make:
    return lambda folder, monkeypatch: (write_run(folder / "runs", name="run") / file).unlink()


def plan(change: Callable[[dict[str, Any]], object]) -> Make:
    """Write a comparison and change its plan."""

    def make(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = write_comparison(folder / "runs", seeds=(0,)) / "comparison.json"
        content = json.loads(path.read_text())
        change(content)
        path.write_text(json.dumps(content))

    return make


def good(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_run(folder / "runs")


def a_check(content: bytes) -> Make:
    def make(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        good(folder, monkeypatch)
        (folder / "check").mkdir()
        (folder / "check" / "check.json").write_bytes(content)

    return make


MEMORY = [{"name": "state", "place": "cpu", "nbytes": "many"}]
CASES = [
    Case("no folder named", "runs has no default: give runs=VALUE", []),
    Case(
        "runs that do not exist",
        "runs=runs: there is no such folder; give the folder of the runs",
        RUNS,
    ),
    Case(
        "a file for the runs",
        "runs=runs: there is no such folder; give the folder of the runs",
        RUNS,
        make=lambda f, _: (f / "runs").touch(),
    ),
    Case(
        "a folder without runs",
        "runs=runs: holds no runs; train or compare writes some",
        RUNS,
        make=lambda f, _: (f / "runs").mkdir(),
    ),
    Case(
        "a key of another command",
        "seed: there is no such setting here; --cfg job lists those there are",
        [*RUNS, "seed=1"],
        make=good,
    ),
    Case(
        "a report within a file",
        "out=runs/x/record.json/y: cannot write to this folder (Not a directory); choose another",
        [*RUNS, "out=runs/x/record.json/y"],
        make=lambda f, _: write_run(f / "runs", name="x"),
    ),
    Case(
        "checks that are no list",
        "checks=here: is no list; give checks=[PATH,PATH]",
        [*RUNS, "checks=here"],
        make=good,
    ),
    Case(
        "a check that is not there",
        "checks=here: holds no readable check.json (FileNotFoundError: [Errno 2] No such file or directory: 'here/check.json'); give a folder that check made",
        [*RUNS, "checks=[here]"],
        make=good,
    ),
    Case(
        "a check that is damaged",
        "checks=check: holds no readable check.json (JSONDecodeError: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)); give a folder that check made",
        [*RUNS, "checks=[check]"],
        make=a_check(b"{"),
    ),
    Case(
        "a check of no section",
        "checks=check: holds no readable check.json (TypeError: list indices must be integers or slices, not str); give a folder that check made",
        [*RUNS, "checks=[check]"],
        make=a_check(b"[]"),
    ),
    Case(
        "a check nested without end",
        "checks=check: holds no readable check.json (RecursionError: ...); give a folder that check made",
        [*RUNS, "checks=[check]"],
        make=a_check(b"[" * 100_000),
    ),
    Case(
        "a check with an unknown verdict",
        "checks=check: holds no readable check.json (ValueError: ...); give a folder that check made",
        [*RUNS, "checks=[check]"],
        make=a_check(b'{"format": 1, "name": "a", "findings": [{"verdict": "maybe"}]}'),
    ),
    Case(
        "an empty record",
        "runs/run/record.json: not a readable record (JSONDecodeError: Expecting value: line 1 column 1 (char 0)); delete the run and redo it",
        RUNS,
        make=raw(b""),
    ),
    Case(
        "a record that is cut off",
        "runs/run/record.json: not a readable record (JSONDecodeError: Expecting ',' delimiter: line 1 column 14 (char 13)); delete the run and redo it",
        RUNS,
        make=raw(b'{"label": "a"'),
    ),
    Case(
        "a record that is no UTF-8",
        "runs/run/record.json: not a readable record (UnicodeDecodeError: 'utf-8' ...); delete the run and redo it",
        RUNS,
        make=raw(b"\xff"),
    ),
    Case(
        "a record that is a list",
        "runs/run/record.json: not a readable record (TypeError: the record is no section); delete the run and redo it",
        RUNS,
        make=raw(b"[]"),
    ),
    Case(
        "a record nested without end",
        "runs/run/record.json: not a readable record (RecursionError: ...); delete the run and redo it",
        RUNS,
        make=raw(b"[" * 100_000),
    ),
    Case(
        "a record without a label",
        "runs/run/record.json: not a readable record (KeyError: 'label'); delete the run and redo it",
        RUNS,
        make=record(label=None),
    ),
    Case(
        "a label that is no text",
        "runs/run/record.json: not a readable record (TypeError: label is no text); delete the run and redo it",
        RUNS,
        make=record(label=[1]),
    ),
    Case(
        "a seed that is no number",
        "runs/run/record.json: not a readable record (TypeError: seed is no whole number of 0 or above); delete the run and redo it",
        RUNS,
        make=record(seed="0"),
    ),
    Case(
        "a seed beyond 64 bits",
        "runs/run/record.json: not a readable record (TypeError: seed is no whole number of 0 or above); delete the run and redo it",
        RUNS,
        make=record(seed=10**30),
    ),
    Case(
        "an unknown status",
        "runs/run/record.json: the status 'paused' is none of ('finished', 'diverged', 'failed', 'running'); delete the run and redo it",
        RUNS,
        make=record(status="paused"),
    ),
    Case(
        "a record without settings",
        "runs/run/record.json: not a readable record (KeyError: 'config'); delete the run and redo it",
        RUNS,
        make=record(config=None),
    ),
    Case(
        "a recorded learning rate that is no number",
        "runs/run/record.json: not a readable record (TypeError: config.optimizer.lr is no finite number); delete the run and redo it",
        RUNS,
        make=record(config={"optimizer": {"lr": NAN}, "epochs": 1}),
    ),
    Case(
        "a learning rate of a thousand digits",
        "runs/run/record.json: not a readable record (TypeError: config.optimizer.lr is no finite number); delete the run and redo it",
        RUNS,
        make=record(config={"optimizer": {"lr": 10**1000}, "epochs": 1}),
    ),
    Case(
        "a finished run without pictures",
        "runs/run/record.json: not a readable record (KeyError: 'data'); delete the run and redo it",
        RUNS,
        make=record(data=None),
    ),
    Case(
        "pictures that are no counts",
        "runs/run/record.json: not a readable record (TypeError: data.pictures.train is no whole number of 0 or above); delete the run and redo it",
        RUNS,
        make=record(data={"source": "drawn", "pictures": {"train": -1}}),
    ),
    Case(
        "memory in words",
        "runs/run/record.json: not a readable record (TypeError: memory.nbytes is no whole number of 0 or above); delete the run and redo it",
        RUNS,
        make=record(memory=MEMORY),
    ),
    Case(
        "a test cost in words",
        "runs/run/record.json: not a readable record (TypeError: test_cost is no finite number); delete the run and redo it",
        RUNS,
        make=record(test_cost="low"),
    ),
    Case(
        "a series without a column",
        "runs/run/steps.csv: has no column cost; delete the run and redo it",
        RUNS,
        make=replaced("steps.csv", "cost", "loss"),
    ),
    Case(
        "epochs without a column",
        "runs/run/epochs.csv: has no column val_cost; delete the run and redo it",
        RUNS,
        make=replaced("epochs.csv", "val_cost", "cost"),
    ),
    Case(
        "answers without a column",
        "runs/run/predictions.csv: has no column logit; delete the run and redo it",
        RUNS,
        make=replaced("predictions.csv", "logit", "p"),
    ),
    Case(
        "a series that is not there",
        "runs/run/record.json: not a readable record (FileNotFoundError: [Errno 2] No such file or directory: 'runs/run/steps.csv'); delete the run and redo it",
        RUNS,
        make=without("steps.csv"),
    ),
    Case(
        "answers that are not there",
        "runs/run/record.json: not a readable record (FileNotFoundError: [Errno 2] No such file or directory: 'runs/run/predictions.csv'); delete the run and redo it",
        RUNS,
        make=without("predictions.csv"),
    ),
    Case(
        "a series that is empty",
        "runs/run/steps.csv: has no column iteration; delete the run and redo it",
        RUNS,
        make=raw(b"", "steps.csv"),
    ),
    Case(
        "a series of zeros, as a crash leaves",
        "runs/run/steps.csv: has no column iteration; delete the run and redo it",
        RUNS,
        make=raw(bytes(99) + b"\n", "steps.csv"),
    ),
    Case(
        "a series that is no UTF-8",
        "runs/run/record.json: not a readable record (UnicodeDecodeError: 'utf-8' ...); delete the run and redo it",
        RUNS,
        make=raw(b"iteration,cost\n1,\xff\n", "steps.csv"),
    ),
    Case(
        "a cost in words",
        "runs/run/steps.csv: could not convert string to float: 'a quarter'; delete the run and redo it",
        RUNS,
        make=replaced("steps.csv", "0.25", "a quarter"),
    ),
    Case(
        "a cost that is no number in a finished run",
        "runs/run/steps.csv: the run is finished, and cost holds what is no number; delete the run and redo it",
        RUNS,
        make=replaced("steps.csv", "0.25", "nan"),
    ),
    Case(
        "a cost beyond all numbers",
        "runs/run/steps.csv: cost holds a number that is too large; delete the run and redo it",
        RUNS,
        make=replaced("steps.csv", "0.25", "1e300"),
    ),
    Case(
        "half an iteration",
        "runs/run/steps.csv: iteration holds what is no whole number; delete the run and redo it",
        RUNS,
        make=replaced("steps.csv", "1,", "0.5,"),
    ),
    Case(
        "seconds below zero",
        "runs/run/epochs.csv: seconds holds what is no time; delete the run and redo it",
        RUNS,
        make=replaced("epochs.csv", ",2.0\n", ",-2.0\n"),
    ),
    Case(
        "a line with a cell too many",
        "runs/run/steps.csv: a line has too many or too few cells; delete the run and redo it",
        RUNS,
        make=replaced("steps.csv", "0.25", "0.25,1"),
    ),
    Case(
        "a line with a cell too few",
        "runs/run/predictions.csv: a line has too many or too few cells; delete the run and redo it",
        RUNS,
        make=replaced("predictions.csv", ",-3.0", ""),
    ),
    Case(
        "a logit that is no number",
        "runs/run/predictions.csv: no usable test answers; delete the run and redo it",
        RUNS,
        make=replaced("predictions.csv", "test,cat.test0.jpg,1,3.0", "test,a,1,nan"),
    ),
    Case(
        "a logit in words",
        "runs/run/record.json: not a readable record (ValueError: could not convert string to float: 'low'); delete the run and redo it",
        RUNS,
        make=replaced("predictions.csv", ",-3.0", ",low"),
    ),
    Case(
        "a label that is neither cat nor dog",
        "runs/run/predictions.csv: no usable val answers; delete the run and redo it",
        RUNS,
        make=replaced("predictions.csv", "val,cat.val0.jpg,1,3.0", "val,a,2,3.0"),
    ),
    Case(
        "a label of a thousand digits",
        "runs/run/record.json: not a readable record (OverflowError: ...); delete the run and redo it",
        RUNS,
        make=replaced("predictions.csv", "val,cat.val0.jpg,1", "val,a,1" + "0" * 999),
    ),
    Case(
        "mistakes without a column",
        "runs/run/mistakes.csv: not readable ('label'); delete the run and redo it",
        RUNS,
        make=raw(b"rank,path\n1,a\n", "mistakes.csv"),
    ),
    Case(
        "weights that are damaged",
        "runs/custom_adam-seed0-lr0.001/last.safetensors: not readable (Error while deserializing header: ...); delete the run and redo it",
        RUNS,
        make=lambda f, _: (
            write_comparison(f / "runs", seeds=(0,))
            / run_name("custom_adam", 0, 1e-3)
            / "last.safetensors"
        ).write_bytes(b"no tensors"),
    ),
    Case(
        "a plan that is damaged",
        "runs/comparison.json: not a readable comparison (JSONDecodeError: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)); run compare again",
        RUNS,
        make=raw(b"{", "../comparison.json"),
    ),
    Case(
        "a plan of another format",
        "runs/comparison.json: not a comparison of format 1; run compare again",
        RUNS,
        make=plan(lambda content: content.update(format=2)),
    ),
    Case(
        "a plan that leads out of its folder",
        "runs/comparison.json: not a readable comparison (ValueError: '../elsewhere' is no name of a run directory); run compare again",
        RUNS,
        make=plan(lambda content: content["runs"][0].update(directory="../elsewhere")),
    ),
    Case(
        "a plan of runs that are no sections",
        "runs/comparison.json: not a readable comparison (TypeError: 'int' object is not subscriptable); run compare again",
        RUNS,
        make=plan(lambda content: content.update(runs=[1])),
    ),
    Case(
        "a plan of contenders without runs",
        "runs/comparison.json: not a readable comparison (ValueError: contenders are not those of the runs); run compare again",
        RUNS,
        make=plan(lambda content: content.update(contenders=["a"])),
    ),
    Case(
        "a plan with a step of no time",
        "runs/comparison.json: not a readable comparison (ValueError: step_seconds of 'native_adam' hold what is no time of a step); run compare again",
        RUNS,
        make=plan(lambda content: content.update(step_seconds={"native_adam": [NAN]})),
    ),
]
CASES = [dataclasses.replace(case, command="report") for case in CASES]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_records_that_no_run_writes_are_named(
    case: Case,
    run: Callable[..., int],
    small: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    judge(case, run, small, tmp_path, monkeypatch, capfd)


EVIL = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "native_../../../escaped",
    "native_$\\frac$",
    "javascript:alert(1)",
    "a\n| b | `c` [d](javascript:e)",
    "\x1b[2Jgone",
    "{{ 7 * 7 }}",
]


def test_labels_can_do_nothing_to_a_page_a_folder_or_a_terminal(
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
        assert " ".join(label.split()) in " ".join(elements.text.split()), label


def _rendered(file: Path) -> Elements:
    return Elements(MarkdownIt().enable("table").render(file.read_text()))


def _assert_harmless(elements: Elements) -> None:
    assert not elements.of("script")
    for tag, attributes in elements.found:
        assert not any(name.startswith("on") for name in attributes), (tag, attributes)
        assert not attributes.get("href", "").startswith("javascript:")
        assert tag != "img" or not attributes["src"].startswith("x")


def test_a_thumbnail_that_leads_out_of_its_run_is_not_shown(
    run: Callable[..., int], tmp_path: Path
) -> None:
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


def test_a_run_that_failed_before_it_saw_an_image_is_reported(
    run: Callable[..., int], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = write_run(tmp_path / "runs", status="failed") / "record.json"
    facts = json.loads(path.read_text())
    for name in ("data", "weights", "memory", "started"):
        facts.pop(name, None)
    path.write_text(json.dumps(facts))
    assert run(report.main, "runs=runs") == 0
    assert "UserError: optimizer: refuses its settings" in capfd.readouterr().out
