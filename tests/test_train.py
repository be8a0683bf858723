"""The train command from end to end: the files of a run, and the errors for invalid settings."""

import csv
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper
from safetensors.numpy import load_file

from catsdogs.io.text import typed
from catsdogs.runs.reader import read_runs
from catsdogs.training.checkpoint import load_checkpoint
from catsdogs.training.memory import BYTES_PER_EPOCH, BYTES_PER_STEP
from catsdogs.training.signals import Interrupted
from tests.support.event_files import hparams_table, read_events
from tests.support.processes import environment

Run = Callable[..., int]


def rows(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def only_run(output_dir: Path = Path("outputs")) -> Path:
    (directory,) = output_dir.iterdir()
    return directory


def test_a_run_writes_every_file_and_they_agree(run_train: Run, small: list[str]) -> None:
    assert run_train(*small, "epochs=2", "optimizer=custom_adam") == 0
    directory = only_run()
    assert re.fullmatch(r"custom_adam-seed0-\d{8}-\d{6}", directory.name)
    names = {file.name for file in directory.iterdir() if "tfevents" not in file.name}
    assert names == {
        ".lock",
        "record.json",
        "steps.csv",
        "epochs.csv",
        "predictions.csv",
        "mistakes.csv",
        "mistakes",
        "best.pt",
        "last.pt",
        "last.safetensors",
        "config.yaml",
    }
    record = json.loads((directory / "record.json").read_text())
    epochs, steps = rows(directory / "epochs.csv"), rows(directory / "steps.csv")
    assert record["status"] == "finished"
    assert [row["epoch"] for row in epochs] == ["0", "1", "2"]
    assert [row["iteration"] for row in steps] == [str(n) for n in range(1, 7)]
    assert record["last"]["val_cost"] == float(epochs[-1]["val_cost"])
    best = max(epochs, key=lambda row: float(row["val_accuracy"]))  # the first of equals
    assert record["best"]["epoch"] == int(best["epoch"])
    assert load_checkpoint(directory / "best.pt")["epoch"] == int(best["epoch"])
    last = load_checkpoint(directory / "last.pt")
    assert last["epoch"] == 2
    tensors = load_file(directory / "last.safetensors")
    assert tensors.keys() == last["head"].keys()
    assert all(np.array_equal(tensors[name], last["head"][name].numpy()) for name in tensors)
    predicted = {part["name"]: part["nbytes"] for part in record["memory"]}
    for name, files in (("checkpoints", ["best.pt", "last.pt"]), ("weights", ["last.safetensors"])):
        size = sum((directory / file).stat().st_size for file in files)
        assert 0.99 * predicted[name] - 32 * 1024 * len(files) < size <= predicted[name]
    predictions = rows(directory / "predictions.csv")
    assert [row["split"] for row in predictions] == ["val"] * 4 + ["test"] * 4
    test = [row for row in predictions if row["split"] == "test"]
    right = [(float(row["logit"]) > 0) == (row["label"] == "1") for row in test]
    assert record["test_accuracy"] == sum(right) / len(right)


def test_tensorboard_shows_the_numbers_of_the_records(run_train: Run, small: list[str]) -> None:
    assert run_train(*small, "epochs=2") == 0
    events = read_events(only_run())
    steps, epochs = rows(only_run() / "steps.csv"), rows(only_run() / "epochs.csv")
    for tag, expected in (
        ("train/cost", [(int(row["iteration"]), float(row["cost"])) for row in steps]),
        ("val/cost", [(int(row["epoch"]), float(row["val_cost"])) for row in epochs]),
        ("val/accuracy", [(int(row["epoch"]), float(row["val_accuracy"])) for row in epochs]),
    ):
        shown = [(event.step, event.value) for event in events.Scalars(tag)]
        assert [step for step, _ in shown] == [step for step, _ in expected]
        assert [value for _, value in shown] == pytest.approx(
            [value for _, value in expected], rel=1e-6
        )


def test_tensorboard_has_a_row_of_settings_and_results_for_every_run_a_diverged_one_too(
    run_train: Run, small: list[str]
) -> None:
    assert run_train(*small, "epochs=1", "optimizer=native_sgd") == 0
    assert run_train(*small, "epochs=1", "optimizer=custom_adam") == 0
    assert run_train(*small, "epochs=2", "optimizer=custom_sgd", "optimizer.lr=1e30") == 3
    runs = list(Path("outputs").iterdir())
    columns, table = hparams_table(Path("outputs"))
    assert set(table) == {run.name for run in runs}
    assert {"optimizer", "optimizer.lr", "optimizer.betas", "batch_size", "seed"} <= set(columns)
    for run in runs:
        record, row = json.loads((run / "record.json").read_text()), table[run.name]
        assert row["settings"]["optimizer"] == record["label"]
        assert row["settings"]["optimizer.lr"] == record["config"]["optimizer"]["lr"]
        assert row["status"] == ("STATUS_FAILURE" if "diverged" in record else "STATUS_SUCCESS")
        for tag, value in (
            ("test/accuracy", record["test_accuracy"]),
            ("test/cost", record["test_cost"]),
            ("val/best_accuracy", record["best"]["val_accuracy"]),
        ):
            assert row["metrics"][tag] == np.float32(value)
    assert len({tuple(sorted(read_events(run).Tags()["scalars"])) for run in runs}) == 1
    assert all(len(list(run.rglob("*tfevents*"))) == 1 for run in runs)


def test_the_mistakes_are_the_wrong_test_predictions_the_most_confident_first(
    run_train: Run, small: list[str]
) -> None:
    assert run_train(*small, "epochs=0") == 0
    wrong = [
        row
        for row in rows(only_run() / "predictions.csv")
        if row["split"] == "test" and (float(row["logit"]) > 0) != (row["label"] == "1")
    ]
    wrong.sort(key=lambda row: -abs(float(row["logit"])))
    assert wrong, "this test needs a run with mistakes"
    mistakes = rows(only_run() / "mistakes.csv")
    shared = ("path", "label", "logit")
    assert [[row[key] for key in shared] for row in mistakes] == [
        [row[key] for key in shared] for row in wrong
    ]
    assert [row["rank"] for row in mistakes] == [str(n) for n in range(1, len(wrong) + 1)]
    assert [row["file"] for row in mistakes] == [f"mistakes/{row['rank']}.jpg" for row in mistakes]
    assert all((only_run() / row["file"]).is_file() for row in mistakes)


@pytest.mark.parametrize("rule", ["sgd", "adam"])
def test_native_and_custom_runs_agree_to_the_last_bit(
    run_train: Run, small: list[str], rule: str
) -> None:
    for kind in ("native", "custom"):
        name = f"{kind}_{rule}"
        assert run_train(*small, f"optimizer={name}", "epochs=2", f"output_dir={name}") == 0
    native, custom = only_run(Path(f"native_{rule}")), only_run(Path(f"custom_{rule}"))
    for name in ("steps.csv", "predictions.csv", "mistakes.csv"):
        assert (native / name).read_bytes() == (custom / name).read_bytes()
    ours, theirs = (load_checkpoint(run / "last.pt")["head"] for run in (custom, native))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_the_seed_decides_the_run(run_train: Run, small: list[str]) -> None:
    for number, seed in enumerate((0, 0, 1)):
        assert run_train(*small, "epochs=1", f"seed={seed}", f"output_dir=run{number}") == 0
    first, again, other = ((only_run(Path(f"run{n}")) / "steps.csv").read_text() for n in range(3))
    assert first == again != other


def test_a_second_run_finds_the_features_of_the_first(
    run_train: Run, small: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_train(*small, "epochs=0", "output_dir=first") == 0
    assert "features: computed" in capsys.readouterr().out
    assert run_train(*small, "epochs=0", "output_dir=second", "optimizer=native_sgd") == 0
    assert "features: found" in capsys.readouterr().out


def test_a_diverged_run_is_a_recorded_result_with_status_3(
    run_train: Run, small: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_train(*small, "optimizer=custom_sgd", "optimizer.lr=1e30", "epochs=3") == 3
    record = json.loads((only_run() / "record.json").read_text())
    assert record["status"] == "diverged"
    steps = rows(only_run() / "steps.csv")
    assert record["diverged"]["iteration"] == int(steps[-1]["iteration"])
    assert "nan" in steps[-1]["cost"] or "inf" in steps[-1]["cost"]
    assert load_checkpoint(only_run() / "best.pt")["epoch"] == 0
    assert "Try a smaller optimizer.lr" in capsys.readouterr().out


def test_every_job_of_a_sweep_runs_and_a_table_says_what_became_of_each(
    run_train: Run, small: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    jobs = ["optimizer=custom_sgd", "optimizer.lr=-1,1e30,1e-3", "epochs=1"]
    assert run_train("-m", *small, *jobs) == 3
    records = [json.loads(path.read_text()) for path in Path("outputs").glob("*/record.json")]
    found = {record["config"]["optimizer"]["lr"]: record for record in records}
    assert {lr: record["status"] for lr, record in found.items()} == {
        1e30: "diverged",
        1e-3: "finished",
    }
    alone = shlex.split(found[1e-3]["command"])
    assert alone.count("-m") == 1  # python -m
    assert "optimizer.lr=0.001" in alone
    captured = capsys.readouterr()
    table = captured.out.partition("\nsweep:\n")[2].splitlines()
    assert [re.split(r"  +", row.strip(), maxsplit=3)[1:3] for row in table] == [
        ["status", "settings"],
        ["2", "optimizer.lr=-1"],
        ["3", "optimizer.lr=1e+30"],
        ["0", "optimizer.lr=0.001"],
    ]
    (line,) = [line for line in captured.err.splitlines() if line.startswith("error: ")]
    assert table[1].endswith(line.removeprefix("error: "))
    assert "  diverged, val_accuracy " in table[2]


class Climber(Sweeper):
    """One job at a time, as a sweeper that optimizes runs them; it survives failed jobs."""

    told: ClassVar[list[float | str]]

    def __init__(self, **_: object) -> None: ...

    def setup(self, **given: Any) -> None:
        self.launcher = Plugins.instance().instantiate_launcher(**given)

    def sweep(self, arguments: list[str]) -> None:
        assert self.launcher
        for number, lr in enumerate(("1e-3", "-1", "1e30")):
            job = [*arguments, f"optimizer.lr={lr}"]
            (done,) = self.launcher.launch([job], initial_job_idx=number)
            try:
                self.told.append(float(done.return_value))
            except Exception as error:  # noqa: BLE001
                self.told.append(type(error).__name__)


@pytest.mark.parametrize("objective", ["val_accuracy", "val_cost", "training_seconds"])
def test_a_sweeper_that_optimizes_is_told_the_objective_and_of_failed_jobs(
    run_train: Run,
    small: list[str],
    objective: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    name = "hydra_plugins.climber.Climber"
    monkeypatch.setitem(Plugins.instance().class_name_to_class, name, Climber)
    told = Climber.told = []
    sweeper = f"hydra.sweeper._target_={name}"
    job = ["optimizer=custom_sgd", "epochs=2", f"objective={objective}"]
    assert run_train("-m", *small, sweeper, *job) == 3
    assert told[1] == "_JobFailed"
    assert len(told) == 3
    for number, lr in ((0, 1e-3), (2, 1e30)):
        (run,) = [
            path.parent
            for path in Path("outputs").glob("*/record.json")
            if json.loads(path.read_text())["config"]["optimizer"]["lr"] == lr
        ]
        record, epochs = json.loads((run / "record.json").read_text()), rows(run / "epochs.csv")
        assert told[number] == {
            "val_accuracy": max(float(row["val_accuracy"]) for row in epochs),
            "val_cost": min(float(row["val_cost"]) for row in epochs),
            "training_seconds": record["training_seconds"],
        }.get(objective)
        assert "objective" not in record["config"]


def test_a_signal_ends_a_sweep_and_the_table_says_so(
    run_train: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(_: object) -> None:
        raise Interrupted(15, "interrupted before training started")

    monkeypatch.setattr("catsdogs.train.train", interrupted)
    assert run_train("-m", "seed=0,1") == 143
    captured = capsys.readouterr()
    assert captured.err == "\ninterrupted before training started\n"
    assert captured.out.partition("\nsweep:\n")[2].splitlines()[1:] == [
        "    0     143  seed=0    interrupted before training started"
    ]


def test_a_custom_class_runs_under_its_own_name(run_train: Run, small: list[str]) -> None:
    own = "optimizer._target_=torch.optim.AdamW"
    assert run_train(*small, "optimizer=native_adam", own, "epochs=1") == 0
    assert only_run().name.startswith("AdamW-seed0-")


def test_the_choice_class_passes_the_given_hyperparameters_only_in_any_part_of_a_sweep(
    run_train: Run, small: list[str]
) -> None:
    classes = "optimizer._target_=torch.optim.NAdam,torch.optim.Adadelta"
    own = ["optimizer=class", classes, "optimizer.lr=0.5", "optimizer.eps=1e-3"]
    assert run_train("-m", *small, *own, "epochs=0") == 0
    records = [json.loads(path.read_text()) for path in Path("outputs").glob("*/record.json")]
    assert {record["label"] for record in records} == {"NAdam", "Adadelta"}
    for record in records:
        assert record["config"]["optimizer"] == {
            "_target_": f"torch.optim.{record['label']}",
            "_partial_": True,
            "_convert_": "all",
            "lr": 0.5,
            "eps": 1e-3,
        }


def test_an_optimizer_of_a_folder_has_a_run_that_can_be_reported(
    run_train: Run, small: list[str]
) -> None:
    own = Path("own/optimizer/mine")
    own.mkdir(parents=True)
    text = "_target_: torch.optim.SGD\n_partial_: true\n_convert_: all\nlr: 1\n"
    (own / "sgd.yaml").write_text(text)
    assert run_train(*small, "--config-dir", "own", "optimizer=mine/sgd", "epochs=1") == 0
    assert only_run().name.startswith("mine-sgd-seed0-")
    (found,) = read_runs(Path("outputs")).found
    assert (found.label, found.status) == ("mine-sgd", "finished")


def test_a_printed_command_is_quoted_for_the_shell_and_for_hydra(
    run_train: Run, small: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = "it's (1) of $HOME"
    assert run_train(*small, shlex.split(typed("output_dir", folder))[0], "epochs=0") == 0
    (line,) = re.findall("to see the curves: (.*)", capsys.readouterr().out)
    assert shlex.split(line)[-1] == folder


def test_debug_shows_the_traceback(run_train: Run, capfd: pytest.CaptureFixture[str]) -> None:
    assert run_train("epochs=-1", "debug=true") == 2
    assert "Traceback" in capfd.readouterr().err


def test_a_bug_ends_in_one_line_and_status_1(
    run_train: Run, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def broken(_: object) -> None:
        raise ZeroDivisionError("two\nlines")

    monkeypatch.setattr("catsdogs.train.train", broken)
    assert run_train() == 1
    assert capfd.readouterr().err == (
        "error: unexpected ZeroDivisionError: two lines (debug=true shows the traceback)\n"
    )


@pytest.mark.parametrize(
    "wrong",
    [
        "optimizer.lr=-1",
        "output_dir=/proc/nowhere",
        "model.weights=nowhere.pth",
        "device=cuda:99",
        "model.precision=float16 device=cpu",
    ],
)
def test_no_image_is_read_for_a_run_with_an_invalid_setting(
    run_train: Run, monkeypatch: pytest.MonkeyPatch, wrong: str
) -> None:
    def forbidden(*_: object, **__: object) -> None:
        raise AssertionError("images were read first")

    monkeypatch.setattr("catsdogs.data.sources.draw_folder", forbidden)
    assert run_train(*wrong.split()) == 2


SAGA = ["optimizer=custom_saga", "batch_size=8"]
LINEAR_SAGA = ["optimizer=custom_linear_saga", "model.head=linear"]


@pytest.mark.parametrize("arguments", [SAGA, LINEAR_SAGA], ids=["blocks", "samples"])
def test_saga_trains_and_its_table_is_in_the_checkpoint(
    run_train: Run, small: list[str], arguments: list[str]
) -> None:
    assert run_train(*small, *arguments, "epochs=2") == 0
    state = load_checkpoint(only_run() / "last.pt")["optimizer"]["state"]
    rows = [len(entry["table"]) for entry in state.values() if "table" in entry]
    assert set(rows) == ({2} if arguments is SAGA else {10})  # 10 images in blocks of 8 and 2
    record = json.loads((only_run() / "record.json").read_text())
    assert any(part["name"] == "table" for part in record["memory"])


def test_a_table_of_half_precision_is_half_as_large(run_train: Run, small: list[str]) -> None:
    tables = {}
    for dtype in ("float32", "float16"):
        output_dir = f"output_dir={dtype}"
        named = f"optimizer.table_dtype={dtype}"
        assert run_train(*small, *SAGA, named, output_dir, "epochs=1") == 0
        record = json.loads((only_run(Path(dtype)) / "record.json").read_text())
        tables[dtype] = next(p["nbytes"] for p in record["memory"] if p["name"] == "table")
    assert tables["float32"] == 2 * tables["float16"] == 2 * 2_103_811 * 4


def test_a_run_that_does_not_fit_stops_before_allocating_and_says_what_would_fit(
    run_train: Run,
    small: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    # Two rows of a table take 16.8 MB, one 8.4 MB; the weights are allocated already.
    free = {"cpu": 30_000_000, "disk": 10**12}
    monkeypatch.setattr("catsdogs.training.memory.free_memory", lambda *_: free)
    assert run_train(*small, *SAGA) == 2
    message = capfd.readouterr().err
    assert "This run does not fit: it needs 3.7 MB more on cpu" in message
    assert "table         cpu      16.8 MB" in message
    assert "It would fit with optimizer.table_dtype=float16 or batch_size=16 or" in message
    assert not Path("outputs").exists()


@pytest.mark.parametrize(
    ("optimizer", "lacking", "advice"),
    [
        (SAGA[0], 0, "It would fit with optimizer.table_dtype=float16."),
        (SAGA[0], 1, "No setting tried fits."),
        ("optimizer=custom_adam", 0, "No setting tried fits."),  # it has no table
    ],
)
def test_a_table_of_half_precision_is_offered_where_it_fits_to_the_byte(
    run_train: Run,
    small: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    optimizer: str,
    lacking: int,
    advice: str,
) -> None:
    # Gradients and mean of four bytes; one row for all ten pictures, of two instead of four.
    free = {"cpu": 2_103_811 * (4 + 4 + 2) - lacking, "disk": 10**12}
    monkeypatch.setattr("catsdogs.training.memory.free_memory", lambda *_: free)
    assert run_train(*small, optimizer, "batch_size=16") == 2
    assert advice in capfd.readouterr().err


@pytest.mark.parametrize("own_disk", [False, True], ids=["one disk", "two disks"])
def test_the_plan_has_the_series_on_the_disk_of_the_run_and_the_epochs_that_would_fit(
    run_train: Run,
    small: list[str],
    cache: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    own_disk: bool,
) -> None:
    if own_disk:
        found = Path.stat(tmp_path)
        other = os.stat_result((*found[:2], found.st_dev + 1, *found[3:10]))
        cache.mkdir()
        stat = Path.stat
        monkeypatch.setattr(
            Path, "stat", lambda path, **how: other if path == cache else stat(path, **how)
        )
    usage = shutil.disk_usage(tmp_path)._replace(free=10**12)
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage)
    assert run_train(*small, "epochs=100000000000") == 2
    message = capfd.readouterr().err
    assert "more on the disk of outputs (1.0 TB free)" in message
    place = "output disk" if own_disk else "disk"
    assert re.search(rf"series +{place} +67\.2 TB", message)
    (epochs,) = re.findall(r"It would fit with epochs=(\d+)\.", message)
    series = int(epochs) * (3 * BYTES_PER_STEP + BYTES_PER_EPOCH)
    assert 0 <= 10**12 - series < 10**8
    assert not Path("outputs").exists()


def test_the_series_of_a_run_take_at_most_the_planned_bytes(
    run_train: Run, small: list[str]
) -> None:
    sizes, planned = [], []
    for epochs in (5, 105):
        assert run_train(*small, f"epochs={epochs}", f"output_dir={epochs}") == 0
        run = only_run(Path(str(epochs)))
        files = [run / "steps.csv", run / "epochs.csv", *run.glob("*tfevents*")]
        sizes.append(sum(file.stat().st_size for file in files))
        memory = json.loads((run / "record.json").read_text())["memory"]
        planned.append(next(part["nbytes"] for part in memory if part["name"] == "series"))
    spare = 3 * 100 * 20  # numbers of later iterations and seconds are longer
    assert sizes[1] - sizes[0] + spare <= planned[1] - planned[0] <= 2 * (sizes[1] - sizes[0])


def test_a_run_of_days_is_said(
    run_train: Run,
    small: list[str],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr("catsdogs.training.memory.STEPS_PER_DAY", 2)
    assert run_train(*small, "epochs=2") == 0
    assert "epochs=2: 6 steps, which take 3 days at a thousand a second" in caplog.messages


MONOGRAPH = ["protocol=monograph", "epochs=2"]


def test_under_the_monograph_protocol_native_and_custom_share_passes_and_agree_to_the_last_bit(
    run_train: Run, small: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    records = {}
    for kind in ("native", "custom"):
        name = f"{kind}_adam"
        assert run_train(*small, *MONOGRAPH, f"optimizer={name}", f"output_dir={name}") == 0
        records[kind] = json.loads((only_run(Path(name)) / "record.json").read_text())
    native, custom = only_run(Path("native_adam")), only_run(Path("custom_adam"))
    for name in ("steps.csv", "predictions.csv"):
        assert (native / name).read_bytes() == (custom / name).read_bytes()
    stores = [record["feature_store"] for record in records.values()]
    assert [store.pop("computed") for store in stores] == [[1, 2], []]
    assert stores[0] == stores[1]
    assert {record["protocol"] for record in records.values()} == {"monograph"}
    shown = capsys.readouterr().out
    line = "passes of the backbone: 2 for 2 epochs, each over 18 random views; 4.7 MB on disk, and "
    assert f"{line}3.5 MB once for the decoded images\n" in shown
    assert (
        "passes of the backbone: 0 for 2 epochs, each over 18 random views; 0 B on disk\n" in shown
    )
    planned = [{part["name"] for part in record["memory"]} for record in records.values()]
    assert [("pixel store" in names) for names in planned] == [True, False]


def test_the_protocols_have_different_features(run_train: Run, small: list[str]) -> None:
    for protocol in ("frozen", "monograph"):
        named = [f"protocol={protocol}", f"output_dir={protocol}"]
        assert run_train(*small, *named, "epochs=1") == 0
    frozen, monograph = (only_run(Path(name)) for name in ("frozen", "monograph"))
    assert (frozen / "steps.csv").read_text() != (monograph / "steps.csv").read_text()
    keys = [
        json.loads((run / "record.json").read_text())["feature_store"]["key"]
        for run in (frozen, monograph)
    ]
    assert keys[0] != keys[1]


@pytest.mark.slow
def test_a_precision_names_its_features_and_the_default_adds_no_name(
    run_train: Run, small: list[str]
) -> None:
    found = {}
    for precision in ("float32", "bfloat16"):
        for protocol in ("frozen", "monograph"):
            output_dir = f"{precision}-{protocol}"
            arguments = [f"model.precision={precision}", f"protocol={protocol}", "epochs=1"]
            assert run_train(*small, *arguments, f"output_dir={output_dir}") == 0
            record = json.loads((only_run(Path(output_dir)) / "record.json").read_text())
            found[output_dir] = record["feature_store"]["key"]["backbone"]
            assert np.isfinite(record["last"]["val_cost"])
    assert found == {
        "float32-frozen": "resnet18-layer4-folded",
        "float32-monograph": "resnet18-layer4-drifting",
        "bfloat16-frozen": "resnet18-layer4-folded-bfloat16",
        "bfloat16-monograph": "resnet18-layer4-drifting-bfloat16",
    }


def test_the_best_checkpoint_is_evaluated_on_the_features_of_its_own_epoch(
    run_train: Run, small: list[str]
) -> None:
    assert run_train(*small, *MONOGRAPH, "optimizer.lr=1e-2") == 0
    record = json.loads((only_run() / "record.json").read_text())
    val = [row for row in rows(only_run() / "predictions.csv") if row["split"] == "val"]
    cost = np.mean(
        [np.logaddexp(0, (1 - 2 * int(row["label"])) * float(row["logit"])) for row in val]
    )
    assert record["best"]["val_cost"] == pytest.approx(cost, rel=1e-5)
    best, last = (load_checkpoint(only_run() / name) for name in ("best.pt", "last.pt"))
    batches = [each["backbone_statistics"]["bn1.num_batches_tracked"] for each in (best, last)]
    start = batches[1] - 2 * 3  # two epochs of three batches
    assert batches[0] == start + 3 * max(1, best["epoch"])
    (checkpoints,) = (part for part in record["memory"] if part["name"] == "checkpoints")
    size = (only_run() / "last.pt").stat().st_size
    assert 0.99 * checkpoints["nbytes"] / 2 - 32 * 1024 < size <= checkpoints["nbytes"] / 2


@pytest.mark.slow
def test_views_that_do_not_fit_on_the_disk_are_streamed(
    run_train: Run,
    small: list[str],
    cache: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    # Three epochs take 7.1 MB and one 2.4 MB beside checkpoints of 59 MB and pixels of 3.5 MB.
    free = {"cpu": 10**12, "disk": 67_000_000}
    monkeypatch.setattr("catsdogs.training.memory.free_memory", lambda *_: free)
    assert run_train(*small, "protocol=monograph", "epochs=3") == 0
    shown = capsys.readouterr().out
    assert "3 for 3 epochs, each over 18 random views, and one more if the best epoch" in shown
    assert "Their 7.1 MB do not fit on the disk" in shown
    assert (
        "deletes each epoch's after use, and 3.5 MB once for the decoded images; data.store_dtype"
        in shown
    )
    assert not list((cache / "features").iterdir())
    record = json.loads((only_run() / "record.json").read_text())
    assert record["status"] == "finished"
    assert record["feature_store"]["streamed"]
    planned = {part["name"]: part["nbytes"] for part in record["memory"]}
    (decoded,) = (cache / "pixels").glob("*/*.npy")
    assert decoded.stat().st_size == planned["pixel store"] + 128  # numpy's header
    assert planned["feature store"] == 18 * 512 * 8 * 8 * 4


def test_a_schedule_and_an_early_stop_show_in_the_records(run_train: Run, small: list[str]) -> None:
    step = ["scheduler=step", "scheduler.step_size=1", "scheduler.gamma=0.5"]
    assert run_train(*small, *step, "epochs=9", "stop_when_flat=1e9") == 0
    rates = [float(row["learning_rate"]) for row in rows(only_run() / "epochs.csv")]
    assert rates == pytest.approx([1e-3, 1e-3, 5e-4])


def test_the_module_runs_from_any_directory_and_prints_its_configuration(tmp_path: Path) -> None:
    answer = subprocess.run(
        [sys.executable, "-m", "catsdogs.train", "--cfg", "job", "optimizer=native_sgd"],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert "_target_: torch.optim.SGD" in answer.stdout
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif("CATSDOGS_PHOTOS" not in os.environ, reason="CATSDOGS_PHOTOS names no folder")
def test_real_photographs_train_from_files_to_records(run_train: Run) -> None:
    root = os.environ["CATSDOGS_PHOTOS"]
    sizes = ["data.train_per_class=8", "data.val_per_class=4", "data.test_per_class=4"]
    assert run_train("data=folder", f"data.root={root}", *sizes, "epochs=2") == 0
    record = json.loads((only_run() / "record.json").read_text())
    assert record["data"]["pictures"] == {"train": 16, "val": 8, "test": 8}
    assert not record["data"]["unreadable"]


def test_images_that_are_in_no_split_are_counted(
    run_train: Run, small: list[str], images: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_train(*small, "data.train_per_class=3", "epochs=0") == 0
    shown = capsys.readouterr().out
    assert f"test, half of them cats, from {images}; 4 more are in no split\n" in shown
    assert run_train(*small, "epochs=0") == 0
    assert f"test, half of them cats, from {images}\n" in capsys.readouterr().out
