"""A run that is interrupted at any moment and resumed equals an uninterrupted one."""

import errno
import json
import os
import platform
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from catsdogs.cli import conf_directory
from catsdogs.features.folded_backbone import FoldedBackbone
from catsdogs.runs.writer import recorded_facts, write_facts
from catsdogs.training import loop
from catsdogs.training.checkpoint import load_checkpoint
from catsdogs.training.events import Evaluation
from catsdogs.training.resume import RunProgress, is_finished, lock_run
from scripts.chaos.same_runs import run_differences
from tests.support.deaths import Death, Mortal, signal_in_step
from tests.support.slow import slow_except

Run = Callable[..., int]
OPTIMIZERS = sorted(file.stem for file in (conf_directory() / "optimizer").glob("*_*.yaml"))
STEP = ["scheduler=step", "scheduler.step_size=1", "scheduler.gamma=0.5"]
STRIDE = 5  # 1 tries every moment, which takes half a minute
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
    """Return a function that trains without interruption and returns the run directory."""

    def run(*arguments: str) -> Path:
        here = Path.cwd()
        Path("whole").mkdir()
        monkeypatch.chdir("whole")
        assert run_train(*arguments) == 0
        monkeypatch.chdir(here)
        return here / only_run("whole")

    return run


@pytest.fixture
def interrupted(run_train: Run) -> Callable[..., Path]:
    """Return a function that interrupts a training in a step and returns the run directory."""

    def run(*arguments: str, step: int, by: signal.Signals = signal.SIGTERM) -> Path:
        with pytest.MonkeyPatch.context() as patch:
            signal_in_step(patch, step, by)
            assert run_train(*arguments) == 128 + by
        return only_run()

    return run


@pytest.mark.parametrize(
    "optimizer", slow_except(["native_adam", "custom_adam", "custom_saga"], OPTIMIZERS)
)
def test_a_run_interrupted_within_an_epoch_equals_the_uninterrupted_one_to_the_bit(
    run_train: Run,
    small: list[str],
    whole: Callable[..., Path],
    interrupted: Callable[..., Path],
    optimizer: str,
) -> None:
    arguments = [*small, f"optimizer={optimizer}", "epochs=2", *ALSO.get(optimizer, [])]
    interrupted(*arguments, step=5)  # of three in each epoch
    assert load_checkpoint(only_run() / "last.pt")["journey"]["position"]["batch"] == 2
    assert run_train(*arguments, "resume=auto") == 0
    assert run_differences(whole(*arguments), only_run()) == []


@pytest.mark.slow
def test_a_run_can_be_resumed_after_every_step(
    run_train: Run, small: list[str], whole: Callable[..., Path], interrupted: Callable[..., Path]
) -> None:
    arguments = [*small, "optimizer=custom_adam", *STEP, *LINEAR, "resume=auto"]
    for _ in range(6):  # one step in each process
        interrupted(*arguments, step=1)
    assert run_train(*arguments) == 0
    assert len(recorded_facts(only_run())["resumed"]) == 6
    assert run_differences(whole(*arguments), only_run()) == []


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_process_may_die_before_any_write_or_rename(
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
    for moment in range(1, len(moments) + 1, STRIDE):
        shutil.rmtree("outputs")
        mortal.die_at(moment)
        with pytest.raises(Death):
            run_train(*arguments)
        mortal.die_at(0)
        if not any(is_finished(recorded_facts(run)) for run in Path("outputs").iterdir()):
            assert run_train(*arguments) == 0
        (found,) = (record.parent for record in Path("outputs").glob("*/record.json"))
        assert run_differences(uninterrupted, found) == [], moments[moment - 1]


@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_a_run_after_the_step_and_the_message_says_how_to_continue(
    run_train: Run,
    small: list[str],
    interrupted: Callable[..., Path],
    by: signal.Signals,
    capfd: pytest.CaptureFixture[str],
) -> None:
    directory = interrupted(*small, *LINEAR, step=2, by=by)
    shown = capfd.readouterr().err
    assert "stopping after the current step; send the signal again to stop now" in shown
    assert "interrupted; saved after iteration 2; to continue: python -m catsdogs.train" in shown
    assert shown.rstrip().endswith(f" resume={directory}")
    assert "Traceback" not in shown
    position = load_checkpoint(directory / "last.pt")["journey"]["position"]
    assert (position["epoch"], position["batch"], position["iteration"]) == (1, 2, 2)
    assert run_train(*small, *LINEAR, f"resume={directory}") == 0


def test_a_second_signal_stops_immediately(
    run_train: Run,
    small: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    signal_in_step(monkeypatch, 2, signal.SIGTERM, signal.SIGINT)
    assert run_train(*small, *LINEAR) == 130
    assert "interrupted; to continue: " in capfd.readouterr().err
    assert load_checkpoint(only_run() / "last.pt")["journey"]["position"]["iteration"] == 0


def test_a_signal_during_the_last_validation_is_not_lost(
    run_train: Run, small: list[str], whole: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = [*small, "model.head=linear", "epochs=1"]
    uninterrupted = whole(*arguments)
    evaluate, calls = loop.evaluate, 0

    def signalling(*arguments: Any) -> Evaluation:
        nonlocal calls
        calls += 1
        if calls == 3:  # training and validation of the untrained head came first
            os.kill(os.getpid(), signal.SIGTERM)
        return evaluate(*arguments)

    monkeypatch.setattr(loop, "evaluate", signalling)
    assert run_train(*arguments) == 143
    assert run_train(*arguments, "resume=auto") == 0
    assert run_differences(uninterrupted, only_run()) == []


def test_a_signal_before_the_training_leaves_no_run(
    run_train: Run,
    small: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    forward = FoldedBackbone.__call__

    def signalling(backbone: FoldedBackbone, pixels: torch.Tensor) -> torch.Tensor:
        os.kill(os.getpid(), signal.SIGTERM)
        return forward(backbone, pixels)

    monkeypatch.setattr(FoldedBackbone, "__call__", signalling)
    assert run_train(*small, *LINEAR) == 143
    assert (
        "interrupted before training started; run the same command to continue"
        in capfd.readouterr().err
    )
    assert not Path("outputs").exists()


def test_other_settings_are_refused_by_name(
    run_train: Run,
    small: list[str],
    interrupted: Callable[..., Path],
    capsys: pytest.CaptureFixture[str],
) -> None:
    directory = interrupted(*small, *LINEAR, "optimizer=native_sgd", step=2)
    named = f"resume={directory}"
    capsys.readouterr()
    assert (
        run_train(*small, *LINEAR, "optimizer=native_sgd", "seed=1", "optimizer.lr=1", named) == 2
    )
    shown = capsys.readouterr().err
    assert (
        "other settings, optimizer.lr=1 (the run has 0.001), seed=1 (the run has 0); use" in shown
    )
    assert run_train(*small, *LINEAR, "optimizer=custom_sgd", named) == 2
    assert "this is a run of native_sgd, not of custom_sgd" in capsys.readouterr().err
    assert run_train(*small, *LINEAR, "resume=nowhere") == 2
    assert "resume=nowhere: no readable run found" in capsys.readouterr().err
    assert run_train(*small, *LINEAR, "optimizer=native_sgd", "seed=1", "resume=auto") == 0
    assert (
        "no unfinished run with these settings in outputs; starting a new one"
        in capsys.readouterr().out
    )
    assert len(list(Path("outputs").iterdir())) == 2


def test_other_images_are_refused(
    run_train: Run,
    small: list[str],
    images: Path,
    interrupted: Callable[..., Path],
    capsys: pytest.CaptureFixture[str],
) -> None:
    directory = interrupted(*small, *LINEAR, step=2)
    shutil.copytree(images, "others")
    shutil.copyfile("others/cat.0.jpg", "others/cat.1.jpg")
    assert run_train(*small, *LINEAR, "data.root=others", f"resume={directory}") == 2
    assert (
        "data.root has other data than this run; use the same data, or start"
        in capsys.readouterr().err
    )
    shutil.copytree(images, "moved")
    assert run_train(*small, *LINEAR, "data.root=moved", f"resume={directory}") == 0


def test_a_finished_run_can_be_extended(
    run_train: Run, small: list[str], whole: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [*small, "model.head=linear", "protocol=monograph"]
    assert run_train(*arguments, "epochs=1") == 0
    again = f"resume={only_run()}"
    assert run_train(*arguments, "epochs=1", again) == 0
    assert "is already finished; raise epochs= to continue it" in capsys.readouterr().out
    assert run_train(*arguments, "epochs=3", again) == 0
    found = run_differences(whole(*arguments, "epochs=3"), only_run())
    assert found == ["best.pt: config.epochs differs"]  # the best epoch came before


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255
    path.write_bytes(content)


def _flip_a_weight(path: Path) -> None:
    """Change one bit of the head's first weight, as a failing disk would."""
    content = bytearray(path.read_bytes())
    weight = load_checkpoint(path)["head"]["weight"].flatten()[:64].numpy().tobytes()
    content[content.index(weight)] ^= 1
    path.write_bytes(content)


def _copy_over(other: str) -> Callable[[Path], object]:
    return lambda path: shutil.copyfile(path.parent / other, path)


def _of_another_run(path: Path) -> None:
    """Replace a checkpoint by the equal one of another run with the same settings."""
    content = load_checkpoint(path) | {"id": "0" * 32}
    torch.save(content, path)


def _of_another_seed(path: Path) -> None:
    """Replace a checkpoint of version 0.1.0, which carries no identity, with another seed."""
    content = load_checkpoint(path)
    for key in ("id", "file", "series"):
        del content[key]
    torch.save(content | {"config": content["config"] | {"seed": 7}}, path)


def _digit(path: Path) -> None:
    """Change the last digit of the second row."""
    lines = path.read_text().splitlines(keepends=True)
    lines[2] = lines[2][:-2] + ("1" if lines[2][-2] != "1" else "2") + "\n"
    path.write_text("".join(lines))


def _cost_of_nan(path: Path) -> None:
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join([*lines[:2], lines[2].partition(",")[0] + ",nan\n", *lines[3:]]))


def _edit_record(path: Path) -> None:
    text = path.read_text()
    assert '"val_accuracy": 0.' in text
    path.write_text(text.replace('"val_accuracy": 0.', '"val_accuracy": 1.', 1))


def _shorten(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 3])


def _drop_row(path: Path) -> None:
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:1] + lines[2:] + ["9,9\n"]))


@pytest.mark.parametrize(
    ("name", "damage", "said"),
    [
        ("last.pt", _shorten, "renaming it to last.pt.damaged"),
        ("best.pt", _shorten, "no readable best.pt; starting the run over"),
        ("last.pt", _flip_a_weight, "differs from its checksum); renaming it to last.pt.damaged"),
        ("best.pt", _flip_a_weight, "differs from its checksum); renaming it to best.pt.damaged"),
        ("last.pt", _copy_over("best.pt"), "last.pt: is a copy of best.pt; renaming it to last.pt"),
        ("best.pt", _copy_over("last.pt"), "best.pt: is a copy of last.pt; renaming it to best.pt"),
        ("best.pt", _of_another_run, "best.pt: belongs to another run than record.json; renaming"),
        ("last.pt", _of_another_run, "last.pt: belongs to another run than record.json; renaming"),
        ("last.pt", _of_another_seed, "other settings, seed=0 (the run has 7); renaming it"),
        ("steps.csv", _digit, "steps.csv is damaged (its rows are not those that were written"),
        ("steps.csv", _cost_of_nan, "steps.csv is damaged (its rows are not those that were"),
        ("epochs.csv", _digit, "epochs.csv is damaged (its rows are not those that were written"),
        ("record.json", _edit_record, "record.json.damaged was damaged; rebuilding it"),
        ("steps.csv", _shorten, "renaming it to steps.csv.damaged and starting the run over"),
        ("steps.csv", _drop_row, "its rows are not consecutive"),
        ("steps.csv", Path.unlink, "No such file"),
        ("epochs.csv", _flip, "renaming it to epochs.csv.damaged"),
        (
            "record.json",
            _shorten,
            "record.json.damaged was damaged; rebuilding it",
        ),
    ],
)
@pytest.mark.parametrize("auto", slow_except([True], [True, False]))
def test_a_damaged_file_is_named_and_renamed_and_the_run_ends_the_same(
    run_train: Run,
    small: list[str],
    whole: Callable[..., Path],
    interrupted: Callable[..., Path],
    caplog: pytest.LogCaptureFixture,
    name: str,
    damage: Callable[[Path], object],
    said: str,
    auto: bool,
) -> None:
    arguments = [*small, *LINEAR]
    directory = interrupted(*arguments, step=5)
    damage(directory / name)
    assert run_train(*arguments, f"resume={'auto' if auto else directory}") == 0
    assert [said in message for message in caplog.messages].count(True) == 1
    aside = directory / f"{name}.damaged"
    assert aside.exists() == (damage is not Path.unlink)
    aside.unlink(missing_ok=True)
    assert run_differences(whole(*arguments), only_run()) == []


def test_a_damaged_record_without_a_checkpoint_is_skipped(
    run_train: Run,
    small: list[str],
    interrupted: Callable[..., Path],
    caplog: pytest.LogCaptureFixture,
) -> None:
    directory = interrupted(*small, *LINEAR, step=2)
    _shorten(directory / "record.json")
    for name in ("best.pt", "last.pt"):
        (directory / name).unlink()
    assert run_train(*small, *LINEAR, f"resume={directory}") == 2
    assert run_train(*small, *LINEAR, "resume=auto") == 0
    assert f"{directory / 'record.json'} is not readable; skipping that run" in caplog.text
    assert len(list(Path("outputs").iterdir())) == 2


def test_a_run_that_another_process_has_locked_is_skipped_or_refused(
    run_train: Run,
    small: list[str],
    interrupted: Callable[..., Path],
    capsys: pytest.CaptureFixture[str],
) -> None:
    directory = interrupted(*small, *LINEAR, step=2)
    with lock_run(directory):
        assert run_train(*small, *LINEAR, f"resume={directory}") == 2
        assert f"{directory}: locked by another process" in capsys.readouterr().err
        assert run_train(*small, *LINEAR, "resume=auto") == 0
        assert f"resume=auto: skipping {directory}: locked by" in capsys.readouterr().out
    assert len(list(Path("outputs").iterdir())) == 2
    assert run_train(*small, *LINEAR, f"resume={directory}") == 0


def test_partial_files_of_a_killed_process_are_removed(
    run_train: Run, small: list[str], interrupted: Callable[..., Path]
) -> None:
    directory = interrupted(*small, *LINEAR, step=2)
    gone = subprocess.Popen(["true"])
    gone.wait()
    node = platform.node()
    left = directory / f".last.pt.{node}.{gone.pid}.partial"
    of_another_machine = directory / f".last.pt.another-machine.{gone.pid}.partial"
    for partial in (left, of_another_machine):
        partial.touch()
    assert run_train(*small, *LINEAR, "resume=auto") == 0
    assert list(directory.glob(".*.partial")) == [of_another_machine]


@pytest.mark.parametrize("full_from", [1, 9, 17])
def test_a_full_disk_leaves_the_last_good_state(
    run_train: Run,
    small: list[str],
    whole: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    full_from: int,
) -> None:
    arguments = [*small, *LINEAR, "resume=auto"]
    uninterrupted = whole(*arguments)
    syncs = 0

    def sync(_: int) -> None:
        nonlocal syncs
        syncs += 1
        if syncs >= full_from:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", sync)
        assert run_train(*arguments) in (1, 2)
    assert run_train(*arguments) == 0
    (directory,) = (record.parent for record in Path("outputs").glob("*/record.json"))
    assert run_differences(uninterrupted, directory) == []


@pytest.mark.parametrize("full", [False, True])
def test_an_interrupted_comparison_resumes_within_the_run(
    run_compare: Run, small: list[str], monkeypatch: pytest.MonkeyPatch, full: bool
) -> None:
    arguments = [*small, "contenders=[native_sgd,custom_adam]", "seeds=[0]", *LINEAR]
    assert run_compare(*arguments, "output_dir=outputs/whole") == 0
    shutil.move("outputs/whole", "whole")
    arguments.append("output_dir=outputs/whole")
    train_step, steps = loop.train_step, 0

    def step(*arguments: Any) -> float:
        nonlocal steps
        steps += 1
        if steps == 11 and full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if steps == 11:
            os.kill(os.getpid(), signal.SIGINT)
        return train_step(*arguments)

    monkeypatch.setattr(loop, "train_step", step)
    assert run_compare(*arguments) in ((1, 2) if full else (130,))
    assert run_compare(*arguments) == 0
    runs = sorted(record.parent for record in Path("outputs/whole").glob("*/record.json"))
    assert [len(recorded_facts(run).get("resumed", [])) for run in runs] == [1, 0]
    for run in runs:
        assert run_differences(Path("whole") / run.name, run) == []
    # Six steps of the first run, then those of the second: five and one, or five and three.
    assert steps == 6 + (5 + 1 if not full else 5 + 3)


@pytest.mark.parametrize(
    "content",
    ["[" * 100_000, '{"label": []}', '{"config": 5}', "FOLDER", '{"resumed": 5}', "LOCK"],
)
def test_one_bad_run_does_not_block_the_others(
    run_train: Run, small: list[str], interrupted: Callable[..., Path], content: str
) -> None:
    good = interrupted(*small, *LINEAR, step=2)
    bad = shutil.copytree(good, good.with_name("bad"))
    facts = recorded_facts(bad) | {"started": "9999"}  # the newest, so it is tried first
    write_facts(bad, facts)
    if content == "LOCK":
        (bad / ".lock").unlink(missing_ok=True)
        (bad / ".lock").mkdir()
    else:
        (bad / "last.pt").unlink()
        (bad / "best.pt").write_bytes(b"PK")
        (bad / "record.json").unlink()
        if content == "FOLDER":
            (bad / "record.json").mkdir()
        elif content.startswith("["):
            (bad / "record.json").write_text(content)
        else:
            (bad / "record.json").write_text(json.dumps(facts | json.loads(content)))
    assert run_train(*small, *LINEAR, "resume=auto") == 0
    assert is_finished(recorded_facts(good))


def test_a_best_checkpoint_replaced_while_the_run_trains_is_refused(
    run_train: Run,
    small: list[str],
    whole: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    uninterrupted = whole(*small, *LINEAR)
    train_step, steps = loop.train_step, 0

    def step(*arguments: Any) -> float:
        nonlocal steps
        steps += 1
        if steps == 6:  # the last
            _of_another_run(only_run() / "best.pt")
        return train_step(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "train_step", step)
        # The last epoch may be the best, and then writes the file anew.
        patch.setattr(RunProgress, "add_epoch", _never_better(RunProgress.add_epoch))
        assert run_train(*small, *LINEAR) == 2
    said = capfd.readouterr().err
    assert "best.pt: belongs to another run than record.json; resume=outputs" in said
    assert run_train(*small, *LINEAR, f"resume={only_run()}") == 0
    (only_run() / "best.pt.damaged").unlink()
    assert run_differences(uninterrupted, only_run()) == []


def _never_better(add_epoch: Callable[..., bool]) -> Callable[..., bool]:
    """Let only the untrained head count as the best."""
    return lambda progress, last, *others: add_epoch(progress, last, *others) and not last["epoch"]
