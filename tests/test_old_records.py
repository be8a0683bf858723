"""Records of version 0.1.0 are still read: a report, a classifier and a resumed run."""

import csv
import json
import lzma
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import PIL
import pytest

import catsdogs
from catsdogs import report
from catsdogs.data.sources import draw_folder
from catsdogs.reporting.verdict import verdicts
from catsdogs.runs.reader import read_runs

OLD = Path(__file__).parent / "support" / "old_records"
SIZES = ["data.train_per_class=16", "data.val_per_class=8", "data.test_per_class=8"]


def table(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8", newline="") as text:
        return list(csv.DictReader(text))


def facts(directory: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((directory / "record.json").read_text())
    return content


@pytest.fixture
def comparison(tmp_path: Path) -> Path:
    """Return a copy of the old comparison with the final weights of the SGD runs of seed 0."""
    copy = shutil.copytree(OLD / "comparison", tmp_path / "comparison")
    packed = copy / "sgd-seed0-last.safetensors.xz"
    for directory in copy.glob("*_sgd-seed0-*"):
        (directory / "last.safetensors").write_bytes(lzma.decompress(packed.read_bytes()))
    return copy


@pytest.fixture
def old_run(tmp_path: Path) -> Path:
    """Return a copy of the old run directory with its checkpoints."""
    copy = shutil.copytree(OLD / "run", tmp_path / "outputs" / "run")
    for packed in copy.glob("*.pt.xz"):
        packed.with_suffix("").write_bytes(lzma.decompress(packed.read_bytes()))
        packed.unlink()
    return copy


@pytest.fixture
def drawn() -> Path:
    """Return the folder of the drawn images that the old runs were made on."""
    if facts(OLD / "run")["versions"]["pillow"] != PIL.__version__:
        pytest.skip("another Pillow encodes the drawn images to other bytes")
    return draw_folder(32)


def test_a_report_reads_every_run_of_an_old_comparison(comparison: Path) -> None:
    runs = read_runs(comparison)
    assert [(run.label, run.seed, run.status) for run in runs.found] == [
        (label, seed, "finished")
        for label in ("native_sgd", "custom_sgd", "custom_adam")
        for seed in (0, 1)
    ]
    assert not runs.missing
    assert not runs.repeated
    pairs = {
        (found.comparison.pair.contender, found.comparison.pair.reference): found
        for found in verdicts(runs)
    }
    verdict = pairs["custom_sgd", "native_sgd"]
    assert verdict.kind == "identical bit for bit"
    assert [parity.identical for parity in verdict.parities] == [True, False]  # seed 1: no weights
    assert [parity.first_difference for parity in verdict.parities] == [None, None]


def test_the_results_of_an_old_comparison_are_the_numbers_of_its_records(
    comparison: Path, run: Callable[..., int]
) -> None:
    assert run(report.main, f"runs={comparison}", "out=report") == 0
    rows = {row["directory"]: row for row in table(Path("report/results.csv"))}
    directories = [path.parent for path in comparison.glob("*/record.json")]
    assert set(rows) == {directory.name for directory in directories}
    assert len(rows) == 6
    for directory in directories:
        row, record = rows[directory.name], facts(directory)
        epochs, steps = table(directory / "epochs.csv"), table(directory / "steps.csv")
        test = [line for line in table(directory / "predictions.csv") if line["split"] == "test"]
        state = [part["nbytes"] for part in record["memory"] if part["name"] == "state"]
        expected = {
            "optimizer": record["label"],
            "status": "finished",
            "seed": record["seed"],
            "learning_rate": record["config"]["optimizer"]["lr"],
            "iterations": len(steps),
            "best_epoch": record["best"]["epoch"],
            "best_val_accuracy": record["best"]["val_accuracy"],
            "best_epoch_val_cost": record["best"]["val_cost"],
            "lowest_val_cost_epoch": record["best_cost"]["epoch"],
            "lowest_val_cost": record["best_cost"]["val_cost"],
            "last_epoch": record["last"]["epoch"],
            "last_train_cost": float(epochs[-1]["train_cost"]),
            "last_val_cost": float(epochs[-1]["val_cost"]),
            "last_val_accuracy": float(epochs[-1]["val_accuracy"]),
            "test_cost": record["test_cost"],
            "test_accuracy": record["test_accuracy"],
            "test_pictures": len(test),
            "training_seconds": record["training_seconds"],
            "state_bytes": sum(state),
        }
        assert {name: row[name] for name in expected} == {
            name: str(value) for name, value in expected.items()
        }


def test_an_old_checkpoint_predicts_what_it_predicted(old_run: Path, drawn: Path) -> None:
    classifier = catsdogs.load(old_run / "best.pt", weights="embedded")
    recorded = table(OLD / "run" / "predictions.csv")
    predictions = classifier.predict([drawn / row["path"] for row in recorded])
    assert [one.path.name for one in predictions] == [row["path"] for row in recorded]
    assert [one.logit for one in predictions] == pytest.approx(
        [float(row["logit"]) for row in recorded], rel=1e-3, abs=1e-3
    )


@pytest.mark.usefixtures("drawn")
def test_an_old_run_resumes_and_ends_as_a_run_of_today(
    old_run: Path, run_train: Callable[..., int], capfd: pytest.CaptureFixture[str]
) -> None:
    settings = ["optimizer=custom_adam", "model.head=linear", *SIZES, "epochs=5"]
    assert run_train(*settings, f"resume={old_run}") == 0
    assert "error" not in capfd.readouterr().err
    resumed = facts(old_run)
    assert (resumed["status"], resumed["last"]["epoch"]) == ("finished", 5)
    assert resumed["started"] == facts(OLD / "run")["started"]
    for name, done in (("epochs.csv", 4), ("steps.csv", 3)):
        before = (OLD / "run" / name).read_text().splitlines()
        after = (old_run / name).read_text().splitlines()
        assert after[: done + 1] == before
        assert len(after) == len(before) + 2
    assert run_train(*settings, "output_dir=new") == 0
    (new,) = Path("new").iterdir()
    for name in ("train_cost", "val_cost", "val_accuracy", "learning_rate"):
        assert [float(row[name]) for row in table(old_run / "epochs.csv")] == pytest.approx(
            [float(row[name]) for row in table(new / "epochs.csv")], rel=1e-3
        )
    assert resumed["test_cost"] == pytest.approx(facts(new)["test_cost"], rel=1e-3)
