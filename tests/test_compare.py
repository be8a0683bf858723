"""The compare command: equal conditions, each run once, and failures that stop no other run."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock

from catsdogs.errors import UserError
from catsdogs.runs import writer
from catsdogs.runs.comparison import Comparison, read_comparison
from catsdogs.training import run_comparison

Run = Callable[..., int]
HERE = Path("outputs/comparison")
FRAGILE = """
import torch

class Fragile(torch.optim.SGD):
    def step(self, closure=None):
        raise RuntimeError("broke in\\nits first step")
"""


def runs(label: str = "") -> list[Path]:
    return sorted(path.parent for path in HERE.glob(f"{label}*/record.json"))


def facts(label: str) -> dict[str, str]:
    (directory,) = runs(label)
    return writer.recorded_facts(directory)


def moments() -> dict[str, int]:
    return {path.name: (path / "steps.csv").stat().st_mtime_ns for path in runs()}


@pytest.fixture
def fragile(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """Return arguments that add `fragile`, an optimizer whose step fails."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    Path("fragile.py").write_text(FRAGILE)
    folder = Path("conf/optimizer")
    folder.mkdir(parents=True)
    (folder / "fragile.yaml").write_text("_target_: fragile.Fragile\n_partial_: true\nlr: 0.1\n")
    return ["--config-dir", "conf"]


def test_every_contender_runs_every_seed_as_train_would(
    run_compare: Run, run_train: Run, small: list[str]
) -> None:
    contenders = "contenders=[native_adam,custom_adam]"
    assert run_compare(*small, contenders, "seeds=[0,3]", "epochs=2") == 0
    found = read_comparison(HERE)
    assert found.contenders == ("native_adam", "custom_adam")
    assert [(run.label, run.seed, run.learning_rate) for run in found.runs] == [
        (label, seed, 1e-3) for label in found.contenders for seed in (0, 3)
    ]
    assert {run.directory for run in found.runs} == {path.name for path in runs()}
    assert run_train(*small, "optimizer=custom_adam", "seed=3", "epochs=2", "output_dir=one") == 0
    (alone,) = Path("one").iterdir()
    for label in found.contenders:
        together = HERE / next(r.directory for r in found.runs if (r.label, r.seed) == (label, 3))
        for name in ("steps.csv", "predictions.csv", "last.safetensors"):
            assert (together / name).read_bytes() == (alone / name).read_bytes()


def test_the_steps_of_all_contenders_are_timed_equally_often(
    run_compare: Run, small: list[str]
) -> None:
    assert run_compare(*small, "contenders=[native_sgd,custom_sgd]", "seeds=[0]", "epochs=0") == 0
    seconds = read_comparison(HERE).step_seconds
    assert set(seconds) == {"native_sgd", "custom_sgd"}
    assert len(set(map(len, seconds.values()))) == 1
    assert all(second > 0 for measured in seconds.values() for second in measured)


def test_the_same_command_again_runs_only_what_is_missing(
    run_compare: Run, small: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    command = [*small, "contenders=[native_sgd,custom_sgd]", "seeds=[0,1]", "epochs=1"]
    assert run_compare(*command) == 0
    before, plan = moments(), (HERE / "comparison.json").read_bytes()
    shutil.rmtree(runs("custom_sgd-seed1")[0])
    unfinished = runs("native_sgd-seed0")[0]
    begun = writer.recorded_facts(unfinished) | {"status": "running"}
    del begun["finished"]
    writer.write_facts(unfinished, begun)
    capsys.readouterr()
    assert run_compare(*command) == 0
    after = moments()
    redone = {name.rpartition("-")[0] for name in after if after[name] != before[name]}
    assert redone == {"custom_sgd-seed1", "native_sgd-seed0"}
    assert after.keys() == before.keys()
    assert (HERE / "comparison.json").read_bytes() == plan
    assert capsys.readouterr().out.count("(kept)") == 2


def test_other_settings_make_other_runs_but_other_folders_do_not(
    run_compare: Run, small: list[str]
) -> None:
    command = [*small, "contenders=[native_sgd]", "seeds=[0]"]
    assert run_compare(*command, "epochs=1") == 0
    assert run_compare(*command, "epochs=2") == 0
    assert len(runs()) == 2
    assert [run.directory for run in read_comparison(HERE).runs] == [
        path.name for path in runs() if writer.recorded_facts(path)["config"]["epochs"] == 2
    ]
    names = {path.name for path in runs()}
    assert run_compare(*command, "epochs=2", "output_dir=elsewhere", "debug=true") == 0
    assert {path.parent.name for path in Path("elsewhere").glob("*/record.json")} < names


@pytest.mark.slow
def test_neither_the_place_of_the_images_nor_the_workers_make_another_run(
    run_compare: Run, small: list[str], images: Path, tmp_path: Path
) -> None:
    command = [*small, "contenders=[native_sgd]", "seeds=[0]", "epochs=0"]
    assert run_compare(*command) == 0
    before = moments()
    copy = shutil.copytree(images, tmp_path / "copy")
    assert run_compare(*command, f"data.root={copy}", "data.workers=auto") == 0
    assert moments() == before
    (copy / "cat.0.jpg").write_bytes((copy / "cat.1.jpg").read_bytes())
    assert run_compare(*command, f"data.root={copy}") == 0
    assert len(moments()) == 2


@pytest.mark.slow
def test_the_protocol_makes_other_runs_and_each_seeds_passes_are_announced_first(
    run_compare: Run, small: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    arguments = [*small, "contenders=[native_sgd,custom_sgd]", "epochs=0"]
    assert run_compare(*arguments, "protocol=monograph", "seeds=[0,1]") == 0
    announced = capfd.readouterr().out.split("native_sgd")[0]
    for seed in (0, 1):
        assert (
            f"backbone, seed {seed}: 1 for 1 epochs, each over 18 random views; 2.4 MB" in announced
        )
    computed = [
        json.loads((path / "record.json").read_text())["feature_store"]["computed"]
        for path in sorted(runs())
    ]
    assert sorted(computed) == [[], [], [1], [1]]
    assert run_compare(*arguments, "seeds=[0]") == 0
    assert "backbone, all runs: 1, over 18 images" in capfd.readouterr().out
    assert len(runs()) == 6


def test_a_failing_run_is_recorded_and_does_not_stop_the_others(
    run_compare: Run, small: list[str], fragile: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    contenders = "contenders=[native_sgd,fragile,custom_sgd]"
    assert run_compare(*fragile, *small, contenders, "seeds=[0]", "epochs=1") == 1
    captured = capsys.readouterr()
    assert "error: 1 of 3 runs failed" in captured.err
    assert "RuntimeError: broke in its first step" in captured.out
    assert "Traceback" not in captured.out + captured.err
    assert facts("fragile")["status"] == "failed"
    assert facts("fragile")["error"] == (
        "optimizer: fragile.Fragile failed in its step: RuntimeError: broke in its first step "
        "(fragile.py, line 6); correct the class"
    )
    assert "Traceback" in (runs("fragile")[0] / "log.txt").read_text()
    assert facts("native_sgd")["status"] == facts("custom_sgd")["status"] == "finished"


def test_a_diverged_run_is_a_result_and_is_not_repeated(run_compare: Run, small: list[str]) -> None:
    command = [*small, "contenders=[native_sgd,custom_adam]", "seeds=[0]", "epochs=3"]
    assert run_compare(*command, "optimizer.lr=1e30") == 0
    assert facts("native_sgd")["status"] == "diverged"
    before = moments()
    assert run_compare(*command, "optimizer.lr=1e30") == 0
    assert moments() == before


@pytest.mark.slow
def test_every_contender_gets_the_whole_grid_of_learning_rates(
    run_compare: Run, small: list[str]
) -> None:
    arguments = ["contenders=[custom_sgd,custom_adam]", "seeds=[0]", "epochs=0"]
    assert run_compare(*small, *arguments, "learning_rates=[1e-4,1e-2]") == 0
    found = read_comparison(HERE)
    assert found.learning_rates == (1e-4, 1e-2)
    assert [(run.label, run.learning_rate) for run in found.runs] == [
        ("custom_sgd", 1e-4),
        ("custom_sgd", 1e-2),
        ("custom_adam", 1e-4),
        ("custom_adam", 1e-2),
    ]
    assert all(
        writer.recorded_facts(HERE / run.directory)["config"]["optimizer"]["lr"]
        == run.learning_rate
        for run in found.runs
    )


def test_a_folder_locked_by_another_compare_is_refused(
    run_compare: Run, small: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    HERE.mkdir(parents=True)
    with FileLock(HERE / ".compare.lock"):
        assert run_compare(*small, "contenders=[native_sgd]", "seeds=[0]", "epochs=0") == 2
    assert "locked by another compare" in capsys.readouterr().err


def test_a_damaged_plan_is_named(tmp_path: Path) -> None:
    whole = Comparison("typed", ("a",), (0,), (), ())
    whole.write(tmp_path)
    assert read_comparison(tmp_path) == whole
    path = tmp_path / "comparison.json"
    for damage in ("", "[]", "{}", path.read_text()[:-9], path.read_text().replace("1", "2", 1)):
        path.write_text(damage)
        with pytest.raises(UserError, match=re.escape(str(path))):
            read_comparison(tmp_path)


def test_an_interruption_stops_the_whole_comparison(
    run_compare: Run, small: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(run_comparison, "train", interrupt)
    assert run_compare(*small, "contenders=[native_sgd,custom_sgd]", "seeds=[0]") == 130
    assert json.loads((HERE / "comparison.json").read_text())["step_seconds"] == {}
    assert len(list(HERE.glob("*seed*"))) == 1
