"""Facts that runs have in common, and facts that differ."""

import json
from pathlib import Path
from typing import Any

import pytest

from catsdogs.reporting.document import Paragraph, Table
from catsdogs.reporting.sections.provenance import (
    commands_table,
    disagreement,
    provenance_table,
    settings_table,
)
from catsdogs.runs.reader import read_runs
from tests.support.synthetic_runs import run_name, usual_facts, write_comparison, write_run


def usual(**changed: Any) -> dict[str, Any]:
    return usual_facts("native_adam", 0, 1e-3) | changed


def test_facts_of_all_runs_are_listed_once(tmp_path: Path) -> None:
    runs = read_runs(write_comparison(tmp_path))
    facts = {row[0]: row[1] for row in provenance_table(runs).rows}
    assert facts == {
        "seeds": "0, 1, 2",
        "runs": "6",
        "images": "4 train, 20 val, 20 test",
        "images, SHA-256": "d" * 64,
        "unreadable images skipped": "0",
        "image preprocessing": "resize256x256",
        "backbone": "the weights",
        "backbone, SHA-256": "e" * 64,
        "commit": "0123456789abcdef0123456789abcdef01234567",
        "uncommitted changes": "false",
        "hardware: system": "Linux",
        "hardware: processor": "a processor",
        "hardware: cores": "2",
        "hardware: memory": "8.0 GB",
        "hardware: device": "cpu (2 threads)",
        "threads": "2",
        "version of python": "3.11.7",
        "version of catsdogs": "0.1.0",
        "version of torch": "2.15.0",
        "setting data.source": "drawn",
        "setting data.train_per_class": "2",
        "setting epochs": "2",
        "setting batch_size": "2",
    }
    assert disagreement(runs) == Paragraph(
        "All runs agree on images, weights, settings, versions, hardware, threads and commit."
    )


@pytest.mark.parametrize(
    ("changed", "name", "value"),
    [
        ({"data": usual()["data"] | {"sha256": "f" * 64}}, "images, SHA-256", "f" * 64),
        ({"weights": usual()["weights"] | {"sha256": "0"}}, "backbone, SHA-256", "0"),
        ({"versions": usual()["versions"] | {"torch": "2.14.0"}}, "version of torch", "2.14.0"),
        ({"versions": {"python": "3.11.7", "torch": "2.15.0"}}, "version of catsdogs")
        + ("not recorded",),
        ({"threads": 1}, "threads", "1"),
        ({"hardware": usual()["hardware"] | {"device": "H200"}}, "hardware: device", "H200"),
        ({"git": None}, "commit", "none (installed package)"),
        ({"git": usual()["git"] | {"changed": True}}, "uncommitted changes", "true"),
        ({"config": usual()["config"] | {"epochs": 3}}, "setting epochs", "3"),
    ],
)
def test_a_run_that_differs_is_named_with_both_values(
    tmp_path: Path, changed: dict[str, Any], name: str, value: str
) -> None:
    runs = read_runs(write_comparison(tmp_path, runs={("custom_adam", 1): {"facts": changed}}))
    table = disagreement(runs)
    assert isinstance(table, Table)
    found = {row[1]: row[2:] for row in table.rows if row[0] == name}
    assert found.pop(value) == ("1 run", "custom_adam (1)")
    assert list(found.values()) == [("5 runs", "native_adam (3), custom_adam (2)")]
    assert name not in [row[0] for row in provenance_table(runs).rows]


def test_a_run_that_failed_before_it_started_differs_from_none(tmp_path: Path) -> None:
    folder = write_comparison(tmp_path, runs={("custom_adam", 1): {"status": "failed"}})
    path = folder / run_name("custom_adam", 1, 1e-3) / "record.json"
    known = ("label", "seed", "status", "error", "command", "config", "versions")
    facts = json.loads(path.read_text())
    path.write_text(json.dumps({name: facts[name] for name in known}))
    runs = read_runs(folder)
    assert isinstance(disagreement(runs), Paragraph)
    assert ("threads", "2") in provenance_table(runs).rows


def test_seed_optimizer_and_folder_are_meant_to_differ(tmp_path: Path) -> None:
    config = usual()["config"] | {"output_dir": "elsewhere", "debug": True}
    write_run(tmp_path, "native_adam", 0, facts={"config": config})
    write_run(tmp_path, "custom_sgd", 1, learning_rate=0.5)
    assert isinstance(disagreement(read_runs(tmp_path)), Paragraph)


def test_the_hyperparameters_of_a_contender_are_listed_with_its_class(tmp_path: Path) -> None:
    write_run(tmp_path, "native_adam", 0)
    write_run(tmp_path, "native_adam", 1, learning_rate=0.5)
    write_run(tmp_path, "Own", learning_rate=None)
    assert settings_table(read_runs(tmp_path)).rows == (
        ("Own", "an.Own"),
        ("native_adam", "an.native_adam, lr=0.001 or an.native_adam, lr=0.5"),
    )


def test_every_command_is_listed_once(tmp_path: Path) -> None:
    runs = {("custom_adam", seed): {"facts": {"command": "typed"}} for seed in (0, 1, 2)}
    folder = write_comparison(tmp_path, runs=runs, absent={("native_adam", 1)})
    assert commands_table(read_runs(folder)).rows == (
        ("python -m catsdogs.compare contenders=[native_adam,custom_adam]", "comparison"),
        ("python -m catsdogs.train optimizer=native_adam seed=0", "1 run"),
        ("python -m catsdogs.train optimizer=native_adam seed=2", "1 run"),
        ("typed", "3 runs"),
    )
