"""A run that was cut off at any moment and gone on with is the run that was not cut off."""

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from catsdogs.command import conf_directory
from catsdogs.records import recorded_facts
from catsdogs.training.checkpoint import load_checkpoint
from catsdogs.training.resume import is_finished
from deaths import Death, Mortal, signal_in_step
from same_runs import run_differences

Run = Callable[..., int]
OPTIMIZERS = sorted(file.stem for file in (conf_directory() / "optimizer").glob("*.yaml"))
STEP = ["scheduler=step", "scheduler.step_size=1", "scheduler.gamma=0.5"]
LINEAR = ["model.head=linear", "epochs=2"]
ALSO = {
    "native_adam": STEP,
    "custom_momentum": STEP,
    "custom_linear_saga": LINEAR,
    "custom_saga": ["optimizer.table_dtype=bfloat16"],
    "custom_rmsprop": ["protocol=monograph"],
    "native_sgd": LINEAR,
}


def only_run(root: str | Path = ".") -> Path:
    (directory,) = (Path(root) / "outputs").iterdir()
    return directory


@pytest.fixture
def whole(run_train: Run, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Return a function that runs arguments without interruption and returns the directory."""

    def run(*arguments: str) -> Path:
        here = Path.cwd()
        Path("whole").mkdir()
        monkeypatch.chdir("whole")
        assert run_train(*arguments) == 0
        monkeypatch.chdir(here)
        return here / only_run("whole")

    return run


@pytest.fixture
def cut_off(run_train: Run) -> Callable[..., Path]:
    """Return a function that ends a run of arguments in a step, and returns the directory."""

    def run(*arguments: str, step: int, by: signal.Signals = signal.SIGTERM) -> Path:
        with pytest.MonkeyPatch.context() as patch:
            signal_in_step(patch, step, by)
            assert run_train(*arguments) == 128 + by
        return only_run()

    return run


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_run_that_was_cut_off_in_an_epoch_equals_the_uninterrupted_one_to_the_bit(
    run_train: Run,
    small: list[str],
    whole: Callable[..., Path],
    cut_off: Callable[..., Path],
    optimizer: str,
) -> None:
    arguments = [*small, f"optimizer={optimizer}", "epochs=2", *ALSO.get(optimizer, [])]
    cut_off(*arguments, step=5)  # of three in each epoch
    assert load_checkpoint(only_run() / "last.pt")["journey"]["position"]["batch"] == 2
    assert run_train(*arguments, "resume=auto") == 0
    assert run_differences(whole(*arguments), only_run()) == []


def test_every_step_of_an_epoch_is_a_place_to_go_on_from(
    run_train: Run, small: list[str], whole: Callable[..., Path], cut_off: Callable[..., Path]
) -> None:
    arguments = [*small, "optimizer=custom_adam", *STEP, *LINEAR, "resume=auto"]
    for _ in range(6):  # one step in each process
        cut_off(*arguments, step=1)
    assert run_train(*arguments) == 0
    assert len(recorded_facts(only_run())["resumed"]) == 6
    assert run_differences(whole(*arguments), only_run()) == []


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_process_may_die_before_any_write_or_renaming(
    run_train: Run,
    small: list[str],
    whole: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    arguments = [*small, "optimizer=custom_momentum", *STEP, "model.head=linear", "epochs=1"]
    arguments.append("resume=auto")
    uninterrupted = whole(*arguments)
    mortal = Mortal(monkeypatch)
    assert run_train(*arguments) == 0
    moments = mortal.moments
    assert sum("best.pt" in moment for moment in moments) > 1
    stride = int(os.environ.get("CATSDOGS_STRIDE", "5"))
    for moment in range(1, len(moments) + 1, stride):
        shutil.rmtree("outputs")
        mortal.die_at(moment)
        with pytest.raises(Death):
            run_train(*arguments)
        mortal.die_at(0)
        if not any(is_finished(recorded_facts(run)) for run in Path("outputs").iterdir()):
            assert run_train(*arguments) == 0
        (found,) = (record.parent for record in Path("outputs").glob("*/record.json"))
        assert run_differences(uninterrupted, found) == [], moments[moment - 1]
