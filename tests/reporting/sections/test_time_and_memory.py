"""Step times, time to the target accuracy, and memory."""

import math
from pathlib import Path
from typing import Any

from catsdogs.reporting.sections.time_and_memory import (
    memory_table,
    reached,
    step_time_table,
    step_times,
    target_accuracy,
    training_time_table,
)
from catsdogs.runs.reader import Runs, read_runs
from tests.support.synthetic_runs import write_comparison


def timed(folder: Path, **seconds: tuple[float, ...]) -> Runs:
    contenders = ["native_adam", "custom_adam", "custom_saga"]
    return read_runs(write_comparison(folder, contenders, [0], step_seconds=seconds))


def test_a_step_has_quartiles_over_its_turns_and_a_ratio_to_the_native_twin(tmp_path: Path) -> None:
    runs = timed(tmp_path, native_adam=(1.0, 10.0, 2.0), custom_adam=(2.0, 10.0, 4.0))
    native, custom = step_times(runs)
    assert native.quartiles == (1.5, 2.0, 6.0)
    assert (native.reference, native.repeats) == ("", 3)
    assert math.isnan(native.ratio)
    assert custom.reference == "native_adam"
    assert custom.ratio == 2.0


def test_the_ratio_is_taken_turn_by_turn_so_that_load_on_both_cancels(tmp_path: Path) -> None:
    runs = timed(tmp_path, native_adam=(1.0, 9.0, 5.0), custom_adam=(1.5, 13.5, 4.0))
    assert step_times(runs)[1].ratio == 1.5


def test_a_contender_without_a_twin_is_timed_against_the_first_native_one(tmp_path: Path) -> None:
    runs = timed(tmp_path, native_adam=(1e-3, 1e-3), custom_saga=(3e-3, 5e-3))
    assert step_times(runs)[1].ratio == 4.0
    table = step_time_table(runs)
    assert table is not None
    assert table.rows == (
        ("native_adam", "1.00 ms", "1.00 ms to 1.00 ms", "-", "-", "2"),
        ("custom_saga", "4.00 ms", "3.50 ms to 4.50 ms", "native_adam", "4.00", "2"),
    )
    assert table.note.endswith(" Not timed: custom_adam.")


def test_a_reference_that_was_not_timed_gives_no_ratio(tmp_path: Path) -> None:
    (custom,) = step_times(timed(tmp_path, custom_adam=(1.0, 2.0)))
    assert math.isnan(custom.ratio)


def test_without_times_there_is_no_table(tmp_path: Path) -> None:
    assert step_time_table(timed(tmp_path)) is None


def race(folder: Path) -> Runs:
    """Return three contenders: fast, slow, and one that reaches the target in one seed of two."""
    fast, slow = (0.5, 0.95, 0.96, 0.96), (0.5, 0.6, 0.7, 0.96)
    never = (0.5, 0.6, 0.6, 0.6)
    costs = (0.7, 0.5, 0.4, 0.3)
    accuracies = {"native_sgd": (fast, slow), "custom_sgd": (slow, slow), "Own": (slow, never)}
    runs = {
        (label, seed): {"val_accuracies": own, "val_costs": costs, "seconds": 2.0}
        for label, both in accuracies.items()
        for seed, own in enumerate(both)
    }
    return read_runs(write_comparison(folder, list(accuracies), [0, 1], runs=runs))


def test_the_target_is_one_point_below_the_best_mean(tmp_path: Path) -> None:
    assert target_accuracy(race(tmp_path)) == 0.95


def test_the_target_is_rounded_as_printed(tmp_path: Path) -> None:
    best = {0: 0.96, 1: 0.96, 2: 0.97}
    runs = {("native_adam", seed): {"val_accuracies": (0.5, 0.5, best[seed])} for seed in best}
    found = read_runs(write_comparison(tmp_path, ["native_adam"], runs=runs))
    assert target_accuracy(found) == 0.953
    assert "of 95.3 %" in training_time_table(found).caption


def test_a_target_that_is_equalled_is_reached(tmp_path: Path) -> None:
    runs = race(tmp_path)
    found = {(one.run.label, one.run.seed): one for one in reached(runs, 0.95)}
    first = found["native_sgd", 0]
    assert (first.epoch, first.seconds) == (1, 2.0)
    last = found["custom_sgd", 1]
    assert (last.epoch, last.seconds) == (3, 6.0)
    never = found["Own", 1]
    assert (never.epoch, never.seconds) == (None, None)


def test_the_table_counts_the_runs_that_reach_the_target(tmp_path: Path) -> None:
    table = training_time_table(race(tmp_path))
    assert table.caption == "Training time, and time to a validation accuracy of 95.0 %."
    assert table.rows == (
        ("native_sgd", "2.00 (0.00) s", "2 of 2", "2.0 (1.4)", "4.00 (2.83) s"),
        ("custom_sgd", "2.00 (0.00) s", "2 of 2", "3.0 (0.0)", "6.00 (0.00) s"),
        ("Own", "2.00 (0.00) s", "1 of 2", "3.0", "6.00 s"),
    )


def test_runs_that_did_not_finish_have_no_times(tmp_path: Path) -> None:
    runs = {("native_adam", 0): {"status": "diverged"}}
    found = read_runs(write_comparison(tmp_path, ["native_adam"], [0], runs=runs))
    assert math.isnan(target_accuracy(found))
    assert training_time_table(found).rows == (("native_adam", "-", "0 of 0", "-", "-"),)


def test_memory_is_that_of_the_record(tmp_path: Path) -> None:
    parts = [
        {"name": "parameters", "place": "cpu", "nbytes": 8_415_244},
        {"name": "gradients", "place": "cpu", "nbytes": 8_415_244},
        {"name": "state", "place": "cpu", "nbytes": 8_000_000},
        {"name": "state", "place": "cuda", "nbytes": 415_244},
        {"name": "table", "place": "cpu", "nbytes": 530_160_372},
    ]
    runs = {("custom_saga", 0): {"facts": {"memory": parts}}}
    folder = write_comparison(
        tmp_path, ["custom_saga", "native_adam", "Gone"], [0], runs=runs, absent={("Gone", 0)}
    )
    assert memory_table(read_runs(folder)).rows == (
        ("custom_saga", "8.4 MB", "8.4 MB", "8.4 MB", "530.2 MB", "64.00"),
        ("native_adam", "24 B", "24 B", "48 B", "0 B", "2.00"),
        ("Gone", "-", "-", "-", "-", "-"),
    )


def test_a_record_without_memory_leaves_its_cells_empty(tmp_path: Path) -> None:
    runs: dict[tuple[str, int], dict[str, Any]] = {("native_adam", 0): {"facts": {"memory": []}}}
    folder = write_comparison(tmp_path, ["native_adam"], [0], runs=runs)
    assert memory_table(read_runs(folder)).rows == (("native_adam", "-", "-", "-", "-", "-"),)
