"""Damaged and incomplete records of runs: cases of the catalogue of bad input."""

import dataclasses
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from catsdogs.runs.checksums import file_checksums
from catsdogs.runs.writer import recorded_facts, write_facts
from tests.support.catalogue import Case, Make
from tests.support.synthetic_runs import run_name, write_comparison, write_run

RUNS = ["runs=runs"]
NAN = float("nan")


def record(**replaced: Any) -> Make:
    """Write a run with other facts in its record; None leaves a fact out."""

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


def changed(file: str, old: str, new: str) -> Make:
    """Change a file of a run that has checksums, as a disk or a hand would."""

    def make(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        directory = write_run(folder / "runs", name="run")
        facts = recorded_facts(directory)
        write_facts(directory, facts | {"checksums": file_checksums(directory)})
        text = (directory / file).read_text()
        assert old in text
        (directory / file).write_text(text.replace(old, new, 1))

    return make


def nested(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_run(folder / "runs", name="run") / "record.json"
    text = path.read_text()
    path.write_text(text.replace('"batch_size": 2', f'"batch_size": {"[" * 1000}{"]" * 1000}'))


def as_folder(file: str) -> Make:
    def make(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = write_run(folder / "runs", name="run") / file
        path.unlink(missing_ok=True)
        path.mkdir()

    return make


def without(file: str) -> Make:
    return lambda folder, monkeypatch: (write_run(folder / "runs", name="run") / file).unlink()


def pipe(file: str) -> Make:
    def make(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = write_run(folder / "runs", name="run") / file
        path.unlink()
        os.mkfifo(path)

    return make


def plan(change: Callable[[dict[str, Any]], object]) -> Make:
    """Write a comparison with a changed plan."""

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
    Case("no folder of runs given", []),
    Case("a folder of runs that does not exist", RUNS),
    Case("a file as folder of runs", RUNS, make=lambda f, _: (f / "runs").touch()),
    Case("a folder without runs", RUNS, make=lambda f, _: (f / "runs").mkdir()),
    Case("a key of another command", [*RUNS, "seed=1"], make=good),
    Case(
        "a report inside a file",
        [*RUNS, "out=runs/x/record.json/y"],
        make=lambda f, _: write_run(f / "runs", name="x"),
    ),
    Case("a word as list of checks", [*RUNS, "checks=here"], make=good),
    Case("a check that does not exist", [*RUNS, "checks=[here]"], make=good),
    Case("a damaged check", [*RUNS, "checks=[check]"], make=a_check(b"{")),
    Case("a list as check", [*RUNS, "checks=[check]"], make=a_check(b"[]")),
    Case(
        "a check nested 100,000 levels deep",
        [*RUNS, "checks=[check]"],
        make=a_check(b"[" * 100_000),
    ),
    Case(
        "a check with an unknown verdict",
        [*RUNS, "checks=[check]"],
        make=a_check(b'{"format": 1, "name": "a", "findings": [{"verdict": "maybe"}]}'),
    ),
    Case("an empty record", RUNS, make=raw(b"")),
    Case("a truncated record", RUNS, make=raw(b'{"label": "a"')),
    Case("a record that is not UTF-8", RUNS, make=raw(b"\xff")),
    Case("a list as record", RUNS, make=raw(b"[]")),
    Case("a record nested 100,000 levels deep", RUNS, make=raw(b"[" * 100_000)),
    Case("a record without a label", RUNS, make=record(label=None)),
    Case("a list as label", RUNS, make=record(label=[1])),
    Case("a recorded seed of text", RUNS, make=record(seed="0")),
    Case("a recorded seed beyond 64 bits", RUNS, make=record(seed=10**30)),
    Case("an unknown status", RUNS, make=record(status="paused")),
    Case("a record without settings", RUNS, make=record(config=None)),
    Case(
        "a recorded learning rate of nan",
        RUNS,
        make=record(config={"optimizer": {"lr": NAN}, "epochs": 1}),
    ),
    Case(
        "a recorded learning rate of a thousand digits",
        RUNS,
        make=record(config={"optimizer": {"lr": 10**1000}, "epochs": 1}),
    ),
    Case("a finished run without image counts", RUNS, make=record(data=None)),
    Case(
        "a negative image count",
        RUNS,
        make=record(data={"source": "drawn", "pictures": {"train": -1}}),
    ),
    Case("a memory size of text", RUNS, make=record(memory=MEMORY)),
    Case("a record with a setting nested 1,000 levels deep", RUNS, make=nested),
    Case("a number as versions", RUNS, make=record(versions=5)),
    Case("a folder as record", RUNS, make=as_folder("record.json")),
    Case("a folder as costs", RUNS, make=as_folder("steps.csv")),
    Case("a folder as predictions", RUNS, make=as_folder("predictions.csv")),
    Case("a folder as mistakes", RUNS, make=as_folder("mistakes.csv")),
    Case("a test cost of text", RUNS, make=record(test_cost="low")),
    Case("a record with a changed digit", RUNS, make=changed("record.json", "0.0625", "0.0626")),
    Case("costs with a changed digit", RUNS, make=changed("steps.csv", "0.25", "0.26")),
    Case("epochs with a changed digit", RUNS, make=changed("epochs.csv", "0.95", "0.96")),
    Case("predictions with a changed digit", RUNS, make=changed("predictions.csv", "3.0", "3.1")),
    Case("costs without a column", RUNS, make=replaced("steps.csv", "cost", "loss")),
    Case("epochs without a column", RUNS, make=replaced("epochs.csv", "val_cost", "cost")),
    Case("predictions without a column", RUNS, make=replaced("predictions.csv", "logit", "p")),
    Case("costs that do not exist", RUNS, make=without("steps.csv")),
    Case("predictions that do not exist", RUNS, make=without("predictions.csv")),
    Case("a pipe in place of costs", RUNS, make=pipe("steps.csv")),
    Case("an empty file of costs", RUNS, make=raw(b"", "steps.csv")),
    Case(
        "costs overwritten with zero bytes, as by a crash",
        RUNS,
        make=raw(bytes(99) + b"\n", "steps.csv"),
    ),
    Case("costs that are not UTF-8", RUNS, make=raw(b"iteration,cost\n1,\xff\n", "steps.csv")),
    Case("a cost of text", RUNS, make=replaced("steps.csv", "0.25", "a quarter")),
    Case(
        "a cost of nan in a finished run",
        RUNS,
        make=replaced("steps.csv", "0.25", "nan"),
    ),
    Case("a cost beyond float32", RUNS, make=replaced("steps.csv", "0.25", "1e300")),
    Case("a fraction as iteration", RUNS, make=replaced("steps.csv", "1,", "0.5,")),
    Case("negative seconds", RUNS, make=replaced("epochs.csv", ",2.0\n", ",-2.0\n")),
    Case("a row with an extra cell", RUNS, make=replaced("steps.csv", "0.25", "0.25,1")),
    Case("a row with a missing cell", RUNS, make=replaced("predictions.csv", ",-3.0", "")),
    Case(
        "a logit of nan",
        RUNS,
        make=replaced("predictions.csv", "test,cat.test0.jpg,1,3.0", "test,a,1,nan"),
    ),
    Case("a logit of text", RUNS, make=replaced("predictions.csv", ",-3.0", ",low")),
    Case(
        "a label other than 0 and 1",
        RUNS,
        make=replaced("predictions.csv", "val,cat.val0.jpg,1,3.0", "val,a,2,3.0"),
    ),
    Case(
        "a label of a thousand digits",
        RUNS,
        make=replaced("predictions.csv", "val,cat.val0.jpg,1", "val,a,1" + "0" * 999),
    ),
    Case("mistakes without a column", RUNS, make=raw(b"rank,path\n1,a\n", "mistakes.csv")),
    Case(
        "damaged final weights",
        RUNS,
        make=lambda f, _: (
            write_comparison(f / "runs", seeds=(0,))
            / run_name("custom_adam", 0, 1e-3)
            / "last.safetensors"
        ).write_bytes(b"no tensors"),
    ),
    Case("a damaged plan", RUNS, make=raw(b"{", "../comparison.json")),
    Case("a plan of another format", RUNS, make=plan(lambda content: content.update(format=2))),
    Case(
        "a plan that names a folder outside its own",
        RUNS,
        make=plan(lambda content: content["runs"][0].update(directory="../elsewhere")),
    ),
    Case(
        "a plan whose runs are numbers",
        RUNS,
        make=plan(lambda content: content.update(runs=[1])),
    ),
    Case(
        "a plan of contenders without runs",
        RUNS,
        make=plan(lambda content: content.update(contenders=["a"])),
    ),
    Case(
        "a plan with a step time of nan",
        RUNS,
        make=plan(lambda content: content.update(step_seconds={"native_adam": [NAN]})),
    ),
]
CASES = [dataclasses.replace(case, command="report") for case in CASES]
