"""The diamonds command: its output, its files, and its error messages."""

import csv
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from catsdogs.regression.fit import load_diamonds
from catsdogs.regression.published import TABLE

Run = Callable[..., int]
FILES = {
    "costs.csv",
    "costs.png",
    "costs.svg",
    "diamonds.json",
    "optimization_results.csv",
    "runtime_and_rmse.png",
    "runtime_and_rmse.svg",
}
OUTPUT = Path("outputs/diamonds")


def record() -> dict[str, Any]:
    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is not JSON")

    text = (OUTPUT / "diamonds.json").read_text()
    facts: dict[str, Any] = json.loads(text, parse_constant=refuse)
    return facts


def rows(name: str) -> list[dict[str, str]]:
    with (OUTPUT / name).open() as file:
        return list(csv.DictReader(file))


def files() -> set[str]:
    return {path.name for path in OUTPUT.iterdir()}


@pytest.mark.slow
def test_all_eight_reach_least_squares_and_custom_equals_native(
    run_diamonds: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_diamonds() == 0
    facts = record()
    # The expected line from the closed formula, not from the code under test.
    table = load_diamonds()
    np.random.RandomState(42).shuffle(table)
    train, test = table[:16_000].T, table[16_000:20_000].T
    slope = np.cov(train, bias=True)[0, 1] / train[0].var()
    intercept = train[1].mean() - slope * train[0].mean()
    rmse = np.sqrt(np.mean((slope * test[0] + intercept - test[1]) ** 2))
    expected = {"slope": slope, "intercept": intercept, "rmse": rmse}
    assert facts["least_squares"] == pytest.approx(expected, rel=1e-9)
    assert len(facts["optimizers"]) == 8
    for fit in facts["optimizers"].values():
        assert fit["rmse"] == pytest.approx(rmse, rel=1e-3)
        assert fit["slope"] == pytest.approx(slope, rel=0.02)
        assert fit["stopped"] == "flat"
    assert facts["custom_equals_native"] == dict.fromkeys(TABLE, True)
    assert facts["published_sign"] == {}
    out = capsys.readouterr().out
    assert "equal bit for bit" in out
    assert f"RMSE {rmse:,.2f}, slope {slope:,.2f}" in out
    assert "14,239,929,470.05" in out
    assert files() == FILES


def test_the_files_hold_the_same_numbers(
    run_diamonds: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_diamonds("epochs=2", "published_sign=true") == 0
    facts = record()
    results = rows("optimization_results.csv")
    assert [row["Optimization Method"] for row in results] == list(facts["optimizers"])
    costs = rows("costs.csv")
    for row, (label, fit) in zip(results, facts["optimizers"].items(), strict=True):
        assert float(row["Actual RMSE"]) == fit["rmse"]
        assert float(row["Runtime (seconds)"]) == fit["seconds"]
        assert float(row["Published RMSE"]) == TABLE[label.partition("_")[2]].rmse
        assert (fit["epochs"], fit["stopped"]) == (2, "epochs")
        assert [cost["epoch"] for cost in costs if cost["run"] == label] == ["1", "2"]
    assert len(costs) == 2 * (8 + 4)
    assert "the tutorial's listings" in capsys.readouterr().out
    for method, fit in facts["published_sign"].items():
        assert (fit["epochs"], fit["stopped"]) == (2, "epochs")
        ascends = fit["rmse"] > 10 * facts["least_squares"]["rmse"]
        assert ascends == (method != "adam")
    assert facts["settings"]["published_sign"] is True
    assert facts["versions"]["plotnine"]
    assert facts["hardware"]["processor"]


def test_a_cost_that_is_not_finite_is_printed_and_drawn(
    run_diamonds: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_diamonds("epochs=2", "hparams.sgd.lr=1e200") == 0
    fit = record()["optimizers"]["custom_sgd"]
    assert (fit["stopped"], fit["epochs"], fit["rmse"]) == ("diverged", 1, "inf")
    assert "cost not finite" in capsys.readouterr().out
    assert files() == FILES


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("epochs=0", "epochs=0: must be an integer from 1 to 2**63 - 1"),
        ("lr_step=0", "lr_step=0: must be null or an integer from 1 to 2**63 - 1"),
        ("published_sign=maybe", "published_sign=maybe: must be true or false"),
        ("hparams.sgd.lr=-1", "hparams.sgd={'lr': -1}: refused: Invalid learning rate: -1"),
        ("hparams.sgd.lr=nan", "hparams.sgd.lr=nan: must be a finite number"),
        ("hparams.adam=3", "hparams.adam=3: must be a section of settings"),
        ("+hparams.adam.beta=3", "beta"),
        ("+hparams.adagrad.lr=3", "hparams.adagrad={'lr': 3}: unknown setting"),
        ("clip_value.sgd=-1", "clip_value.sgd=-1: must be null or a finite number above 0"),
        ("epoch=3", "epoch: unknown setting of this command; did you mean epochs?"),
        ("output_dir=/proc/nowhere", "output_dir=/proc/nowhere: cannot write"),
    ],
)
def test_wrong_input_gets_one_line_on_stderr_and_status_2(
    run_diamonds: Run, capfd: pytest.CaptureFixture[str], argument: str, message: str
) -> None:
    assert run_diamonds(argument) == 2
    lines = capfd.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("error: ")
    assert message in lines[0]
    assert not Path("outputs").exists()


def test_without_plotnine_one_line_says_how_to_install_it(
    run_diamonds: Run, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "plotnine", None)
    monkeypatch.delitem(sys.modules, "plotnine.data", raising=False)
    assert run_diamonds() == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert "pip install 'catsdogs[diamonds]'" in line
    assert not Path("outputs").exists()


@pytest.mark.slow
def test_a_run_that_is_interrupted_while_it_draws_keeps_the_former_figures(
    run_diamonds: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_bytes = Path.write_bytes

    def interrupted(path: Path, content: bytes) -> int:
        write_bytes(path, content[:3])
        raise KeyboardInterrupt

    def figures() -> dict[str, bytes]:
        return {
            name: (OUTPUT / name).read_bytes() for name in FILES if name.endswith(("svg", "png"))
        }

    assert run_diamonds("epochs=1") == 0
    former = figures()
    monkeypatch.setattr(Path, "write_bytes", interrupted)
    assert run_diamonds("epochs=1") == 130
    assert files() == FILES
    assert figures() == former
