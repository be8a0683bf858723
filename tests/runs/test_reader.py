"""Reading runs: damaged files are named, absent ones reported, and none is dropped silently."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from catsdogs.errors import UserError
from catsdogs.runs.checksums import file_checksums
from catsdogs.runs.reader import Runs, read_run, read_runs
from catsdogs.runs.writer import recorded_facts, write_facts
from tests.support.synthetic_runs import (
    COSTS,
    LOGITS,
    mistaken,
    run_name,
    write_comparison,
    write_run,
)


def labels(runs: Runs) -> list[tuple[str, int]]:
    return [(run.label, run.seed) for run in runs.found]


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_a_run_reads_back_as_it_was_written(tmp_path: Path) -> None:
    weights = {"conv.weight": np.array([[0.1, -0.0]], np.float32)}
    written = write_run(tmp_path, "custom_adam", 3, learning_rate=0.01, weights=weights)
    run = read_run(written)
    assert (run.label, run.seed, run.learning_rate) == ("custom_adam", 3, 0.01)
    assert run.status == "finished"
    assert run.costs.tolist() == list(COSTS)
    assert run.epochs["epoch"].tolist() == [0, 1, 2]
    assert run.epochs["val_accuracy"].tolist() == [0.5, 0.9, 0.95]
    assert run.val is not None
    assert run.test is not None
    assert run.val.paths[:2] == ("cat.val0.jpg", "dog.val1.jpg")
    assert run.test.paths[:2] == ("cat.test0.jpg", "dog.test1.jpg")
    assert run.test.labels.tolist() == [1, 0] * 10
    assert run.test.logits.tolist() == list(LOGITS)
    read = run.weights()
    assert read is not None
    assert read["conv.weight"].tobytes() == weights["conv.weight"].tobytes()


def test_a_logit_above_zero_means_cat(tmp_path: Path) -> None:
    test = read_run(write_run(tmp_path, test_logits=mistaken(0, 1, 19))).test
    assert test is not None
    assert np.flatnonzero(~test.right()).tolist() == [0, 1, 19]
    assert test.accuracy() == 17 / 20
    small = (1e-9, -1e-9) * 9 + (0.0, 0.0)
    test = read_run(write_run(tmp_path, seed=1, test_logits=small)).test
    assert test is not None
    assert np.flatnonzero(~test.right()).tolist() == [18]


def test_an_optimizer_may_have_no_learning_rate(tmp_path: Path) -> None:
    assert read_run(write_run(tmp_path, learning_rate=None)).learning_rate is None


def test_a_comparison_lists_its_missing_runs(tmp_path: Path) -> None:
    runs = read_runs(write_comparison(tmp_path / "all", absent={("custom_adam", 1)}))
    assert len(runs.found) == 5
    assert [(run.label, run.seed) for run in runs.missing] == [("custom_adam", 1)]
    assert runs.get("custom_adam", 1) is None
    assert [run.seed for run in runs.of("custom_adam")] == [0, 2]


def test_a_run_directory_that_a_crash_left_empty_is_missing(tmp_path: Path) -> None:
    folder = write_comparison(tmp_path / "all")
    (folder / run_name("native_adam", 0, 1e-3) / "record.json").unlink()
    assert [(run.label, run.seed) for run in read_runs(folder).missing] == [("native_adam", 0)]


def test_a_grid_tells_runs_of_one_seed_apart(tmp_path: Path) -> None:
    folder = write_comparison(tmp_path, ["native_sgd"], [0], learning_rates=[0.01, 0.1])
    runs = read_runs(folder)
    for rate in (0.01, 0.1):
        run = runs.get("native_sgd", 0, rate)
        assert run is not None
        assert run.learning_rate == rate
    assert runs.get("native_sgd", 0, 0.5) is None


def test_a_folder_without_a_plan_is_read_at_any_depth_and_sorted_by_method(
    tmp_path: Path,
) -> None:
    write_run(tmp_path / "deep" / "er", "custom_sgd", 1)
    for label in ("custom_adam", "native_sgd", "native_adam", "published_adam"):
        write_run(tmp_path, label, 0)
    runs = read_runs(tmp_path)
    adam = ("native_adam", "custom_adam", "published_adam")
    assert runs.comparison.contenders == (*adam, "native_sgd", "custom_sgd")
    assert runs.comparison.seeds == (0, 1)
    assert runs.comparison.learning_rates == ()
    assert len(runs.found) == 5
    assert runs.missing == ()


def test_a_folder_without_a_plan_may_be_a_relative_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_run(tmp_path / "outputs", "native_adam", 4)
    monkeypatch.chdir(tmp_path)
    assert labels(read_runs(Path("outputs"))) == [("native_adam", 4)]


def test_several_learning_rates_of_one_contender_are_a_grid(tmp_path: Path) -> None:
    for label, rate in (("native_sgd", 0.1), ("native_sgd", 0.01), ("native_adam", 0.001)):
        write_run(tmp_path, label, learning_rate=rate)
    assert read_runs(tmp_path).comparison.learning_rates == (0.001, 0.01, 0.1)


def test_one_learning_rate_for_each_contender_is_not_a_grid(tmp_path: Path) -> None:
    write_run(tmp_path, "native_sgd", learning_rate=0.1)
    write_run(tmp_path, "native_adam", learning_rate=0.001)
    assert read_runs(tmp_path).comparison.learning_rates == ()


@pytest.mark.parametrize(
    ("first", "second", "kept"),
    [
        (("finished", "2026-01-01"), ("finished", "2026-01-02"), 1),
        (("finished", "2026-01-02"), ("finished", "2026-01-01"), 0),
        (("finished", "2026-01-01"), ("running", "2026-01-02"), 0),
        (("failed", "2026-01-01"), ("diverged", "2026-01-02"), 1),
    ],
)
def test_the_last_finished_of_repeated_runs_is_kept_and_the_other_is_listed(
    tmp_path: Path, first: tuple[str, str], second: tuple[str, str], kept: int
) -> None:
    for name, (status, started) in zip("ab", (first, second), strict=True):
        write_run(tmp_path, name=name, status=status, facts={"started": started})
    runs = read_runs(tmp_path)
    assert [run.directory.name for run in runs.found] == ["ab"[kept]]
    assert [run.directory.name for run in runs.repeated] == ["ab"[1 - kept]]


def test_an_absent_folder_and_one_without_runs_are_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="^runs=.*nowhere: no such folder"):
        read_runs(tmp_path / "nowhere")
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="no such folder"):
        read_runs(tmp_path / "file")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="^runs=.*empty: no runs found"):
        read_runs(tmp_path / "empty")


def test_a_plan_without_any_run_is_refused(tmp_path: Path) -> None:
    folder = write_comparison(tmp_path, ["native_adam"], [0], absent={("native_adam", 0)})
    with pytest.raises(UserError, match="no runs found"):
        read_runs(folder)


@pytest.mark.parametrize("text", ["{", "[]", '{"format": 2}', '{"format": 1}', "null", "\xff"])
def test_a_damaged_plan_is_named(tmp_path: Path, text: str) -> None:
    write_comparison(tmp_path)
    (tmp_path / "comparison.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(UserError, match=r"^.*comparison\.json: not a .*run compare again$"):
        read_runs(tmp_path)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", "3", '{"label": "a"}', '{"status": 1, "config": []}', "\xff"]
)
def test_a_damaged_record_is_named(tmp_path: Path, text: str) -> None:
    (write_run(tmp_path) / "record.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(UserError, match=r"^.*record\.json: not a readable record .*redo it$"):
        read_runs(tmp_path)


def test_an_unknown_status_is_named(tmp_path: Path) -> None:
    replace(write_run(tmp_path) / "record.json", '"finished"', '"paused"')
    with pytest.raises(UserError, match=r"record\.json: unknown status 'paused'"):
        read_runs(tmp_path)


@pytest.mark.parametrize(
    ("file", "old", "new", "words"),
    [
        ("steps.csv", "cost", "loss", "no column cost"),
        ("epochs.csv", "val_cost", "cost", "no column val_cost"),
        ("predictions.csv", "logit", "p", "no column logit"),
        ("steps.csv", "0.25", "a quarter", "could not convert string to float: 'a quarter'"),
        ("steps.csv", "0.25", "0.25,1", "too many or too few cells"),
        ("predictions.csv", ",-3.0", "", "too many or too few cells"),
        (
            "predictions.csv",
            "test,cat.test0.jpg,1,3.0",
            "test,a,1,nan",
            "no usable test pred",
        ),
        ("predictions.csv", "val,cat.val0.jpg,1,3.0", "val,a,2,3.0", "no usable val predictions"),
    ],
)
def test_a_damaged_table_is_named(
    tmp_path: Path, file: str, old: str, new: str, words: str
) -> None:
    replace(write_run(tmp_path) / file, old, new)
    with pytest.raises(UserError, match=f"{file}: .*{words}.*delete the run and redo it$"):
        read_runs(tmp_path)


@pytest.mark.parametrize("cell", ["a logit", ""])
def test_a_logit_that_is_not_a_number_is_refused(tmp_path: Path, cell: str) -> None:
    replace(write_run(tmp_path) / "predictions.csv", ",-3.0", f",{cell}")
    with pytest.raises(UserError, match="could not convert string to float"):
        read_runs(tmp_path)


@pytest.mark.parametrize("file", ["steps.csv", "epochs.csv", "predictions.csv"])
def test_a_finished_run_without_a_file_or_its_rows_is_refused(tmp_path: Path, file: str) -> None:
    path = write_run(tmp_path) / file
    path.write_text(path.read_text().split("\n", 1)[0] + "\n")
    with pytest.raises(UserError, match=f"{file}: .*redo it"):
        read_runs(tmp_path)
    path.unlink()
    with pytest.raises(UserError, match="redo it"):
        read_runs(tmp_path)


def test_damaged_weights_are_named_when_they_are_read(tmp_path: Path) -> None:
    directory = write_run(tmp_path)
    (directory / "last.safetensors").write_bytes(b"no tensors")
    run = read_run(directory)
    with pytest.raises(UserError, match=r"last\.safetensors: not readable .*redo it$"):
        run.weights()
    (directory / "last.safetensors").unlink()
    assert run.weights() is None


def test_a_line_truncated_by_a_crash_is_left_out_even_within_a_number(tmp_path: Path) -> None:
    directory = write_run(tmp_path, status="running", costs=(0.5, 0.123456))
    path = directory / "steps.csv"
    for cut in (1, 4, len("0.123456\n"), len("2,0.123456\n")):
        path.write_text("iteration,cost\n1,0.5\n2,0.123456\n"[:-cut])
        assert read_run(directory).costs.tolist() == [0.5]


@pytest.mark.parametrize("status", ["diverged", "failed", "running"])
def test_a_run_that_did_not_finish_is_found_with_its_status(tmp_path: Path, status: str) -> None:
    runs = read_runs(write_comparison(tmp_path, runs={("custom_adam", 1): {"status": status}}))
    run = runs.get("custom_adam", 1)
    assert run is not None
    assert run.status == status
    assert len(labels(runs)) == 6
    assert [run.seed for run in runs.finished("custom_adam")] == [0, 2]
    assert (run.test is not None) == (status == "diverged")


def test_a_diverged_run_has_its_last_cost_and_may_have_predictions_of_nan(
    tmp_path: Path,
) -> None:
    run = read_run(write_run(tmp_path, status="diverged", test_logits=[float("nan")] * 20))
    assert np.isnan(run.costs[-1])
    assert len(run.costs) == len(COSTS) + 1
    assert run.test is None


def test_a_run_that_failed_before_it_started_has_only_its_record(tmp_path: Path) -> None:
    directory = write_run(tmp_path, status="failed")
    for name in ("steps.csv", "epochs.csv"):
        (directory / name).unlink()
    run = read_run(directory)
    assert len(run.costs) == len(run.epochs["epoch"]) == 0
    assert run.facts["error"].startswith("UserError")


def test_a_label_and_a_name_with_markup_stay_text(tmp_path: Path) -> None:
    label = '<script>alert("1")</script>'
    directory = write_run(tmp_path, label, name="run")
    replace(directory / "predictions.csv", "cat.test0.jpg", "<b>.jpg")
    runs = read_runs(tmp_path)
    assert runs.comparison.contenders == (label,)
    assert runs.found[0].test is not None
    assert runs.found[0].test.paths[0] == "<b>.jpg"


def test_the_name_of_an_image_may_have_a_comma_a_quote_and_a_line_break(tmp_path: Path) -> None:
    directory = write_run(tmp_path)
    replace(directory / "predictions.csv", "cat.test0.jpg", '"a ""b"",\nc.jpg"')
    test = read_run(directory).test
    assert test is not None
    assert test.paths[0] == 'a "b",\nc.jpg'


def test_a_finished_run_that_differs_from_its_checksums_is_refused_by_file(tmp_path: Path) -> None:
    written = write_run(tmp_path)
    write_facts(written, recorded_facts(written) | {"checksums": file_checksums(written)})
    run = read_run(written)
    assert run.weights() is not None
    assert set(run.facts["checksums"]) == {
        "steps.csv",
        "epochs.csv",
        "predictions.csv",
        "last.safetensors",
    }
    for name, old, new in (
        ("steps.csv", "0.25", "0.26"),
        ("epochs.csv", "0.95", "0.96"),
        ("predictions.csv", ",-3.0", ",-3.5"),
    ):
        text = (written / name).read_text()
        replace(written / name, old, new)
        said = f"{written / name}: differs from its checksum in record.json; delete the run and"
        with pytest.raises(UserError, match=f"^{re.escape(said)}"):
            read_run(written)
        (written / name).write_text(text)
    weights = bytearray((written / "last.safetensors").read_bytes())
    weights[-1] ^= 1
    (written / "last.safetensors").write_bytes(weights)
    with pytest.raises(UserError, match=r"last\.safetensors: differs from its checksum"):
        read_run(written).weights()


def test_a_record_that_differs_from_its_checksum_is_refused_and_one_without_is_read(
    tmp_path: Path,
) -> None:
    path = write_run(tmp_path) / "record.json"
    whole = path.read_text()
    replace(path, '"test_accuracy": 1.0', '"test_accuracy": 0.9')
    with pytest.raises(UserError, match=r"record\.json: differs from its own checksum"):
        read_run(path.parent)
    assert recorded_facts(path.parent) == {}
    path.write_text(json.dumps(json.loads(whole)))  # in another layout
    assert read_run(path.parent).facts["test_accuracy"] == 1.0
    content = json.loads(whole)
    del content["checksum"]
    path.write_text(json.dumps(content | {"test_accuracy": 0.9}))  # as by version 0.1.0
    assert read_run(path.parent).facts["test_accuracy"] == 0.9
