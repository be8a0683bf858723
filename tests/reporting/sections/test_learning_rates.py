"""The choice of learning rates, on validation images alone."""

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

import numpy as np
import pytest

from catsdogs.reporting.sections.learning_rates import (
    Choice,
    choose_learning_rates,
    chosen_runs,
    edge_warning,
    learning_rate_table,
)
from catsdogs.runs.reader import Runs, read_runs
from tests.support.synthetic_runs import mistaken, write_comparison, write_run

Tries = Sequence[tuple[float, float, float]]  # learning rate, best accuracy, its cost


def tried(folder: Path, tries: Tries, label: str = "native_sgd", seed: int = 0) -> Runs:
    for rate, accuracy, cost in tries:
        write_run(
            folder,
            label,
            seed,
            learning_rate=rate,
            val_accuracies=(0.5, accuracy, 0.5),
            val_costs=(0.7, cost, 0.01),
        )
    return read_runs(folder)


def choice(runs: Runs, label: str = "native_sgd") -> Choice:
    (found,) = (choice for choice in choose_learning_rates(runs) if choice.label == label)
    return found


def test_the_highest_mean_best_validation_accuracy_chooses(tmp_path: Path) -> None:
    tried(tmp_path, [(0.1, 0.9, 0.1), (0.01, 0.94, 0.5), (0.001, 0.85, 0.2)])
    runs = tried(tmp_path, [(0.1, 0.96, 0.1), (0.01, 0.94, 0.5), (0.001, 0.99, 0.2)], seed=1)
    found = choice(runs)
    assert found.chosen.learning_rate == 0.01
    assert [tried.learning_rate for tried in found.tried] == [0.001, 0.01, 0.1]
    assert [round(tried.val_accuracy, 9) for tried in found.tried] == [0.92, 0.94, 0.93]
    assert not found.at_edge
    assert edge_warning(runs) is None


def test_the_cost_at_that_epoch_and_then_the_smaller_rate_decide_a_tie(
    tmp_path: Path,
) -> None:
    runs = tried(tmp_path / "a", [(0.1, 0.9, 0.3), (0.01, 0.9, 0.2), (0.001, 0.9, 0.4)])
    assert choice(runs).chosen.learning_rate == 0.01
    runs = tried(tmp_path / "b", [(0.1, 0.9, 0.3), (0.01, 0.9, 0.3)])
    assert choice(runs).chosen.learning_rate == 0.01


def test_means_of_equally_many_correct_predictions_are_equal(tmp_path: Path) -> None:
    accuracies = (0.9, 0.905, 0.925), (0.9, 0.91, 0.92)
    assert fmean(accuracies[0]) == pytest.approx(fmean(accuracies[1]), abs=1e-15)
    assert np.mean(accuracies[0]) > np.mean(accuracies[1])
    for seed, (one, other) in enumerate(zip(*accuracies, strict=True)):
        runs = tried(tmp_path, [(0.1, one, 0.3), (0.01, other, 0.2)], seed=seed)
    assert choice(runs).chosen.learning_rate == 0.01


def test_the_choice_does_not_use_test_images(tmp_path: Path) -> None:
    write_run(tmp_path, learning_rate=0.1, val_accuracies=(0.5, 0.6, 0.6))
    write_run(tmp_path, learning_rate=0.01, test_logits=mistaken(*range(20)))
    assert choice(read_runs(tmp_path), "native_adam").chosen.learning_rate == 0.01


def test_a_learning_rate_at_which_a_run_diverged_is_not_chosen_if_another_is_complete(
    tmp_path: Path,
) -> None:
    write_run(tmp_path, learning_rate=0.1, val_accuracies=(0.5, 1.0, 1.0))
    write_run(tmp_path, learning_rate=0.1, seed=1, status="diverged")
    for seed in (0, 1):
        write_run(tmp_path, learning_rate=0.01, seed=seed, val_accuracies=(0.5, 0.8, 0.8))
    found = choice(read_runs(tmp_path), "native_adam")
    assert found.chosen.learning_rate == 0.01
    assert [(tried.finished, tried.planned) for tried in found.tried] == [(2, 2), (1, 2)]


def test_a_choice_at_the_edge_of_the_grid_gives_a_warning(tmp_path: Path) -> None:
    tried(tmp_path, [(0.1, 0.9, 0.1), (0.01, 0.94, 0.5), (0.001, 0.95, 0.2)])
    runs = tried(tmp_path, [(0.1, 0.9, 0.1), (0.01, 0.95, 0.5), (0.001, 0.9, 0.2)], "custom_sgd")
    assert choice(runs).at_edge
    assert not choice(runs, "custom_sgd").at_edge
    warning = edge_warning(runs)
    assert warning is not None
    assert "at the edge of the grid for native_sgd (0.001)." in warning.text


def test_one_learning_rate_is_not_a_grid_and_has_no_edge(tmp_path: Path) -> None:
    runs = tried(tmp_path, [(0.1, 0.9, 0.1)])
    assert not choice(runs).at_edge
    assert learning_rate_table(runs) is None
    assert chosen_runs(runs) == runs


def test_the_chosen_runs_are_one_for_each_contender_and_seed(tmp_path: Path) -> None:
    for seed in (0, 1):
        tried(tmp_path, [(0.1, 0.9, 0.1), (0.01, 0.94, 0.5)], seed=seed)
        runs = tried(tmp_path, [(0.1, 0.95, 0.1), (0.01, 0.94, 0.5)], "custom_sgd", seed)
    chosen = chosen_runs(runs)
    assert {(run.label, run.seed, run.learning_rate) for run in chosen.found} == {
        ("native_sgd", 0, 0.01),
        ("native_sgd", 1, 0.01),
        ("custom_sgd", 0, 0.1),
        ("custom_sgd", 1, 0.1),
    }
    assert chosen_runs(chosen).found == chosen.found


def test_the_table_shows_which_rates_were_tried(tmp_path: Path) -> None:
    tried(tmp_path, [(0.1, 0.9, 0.1), (0.01, 0.94, 0.5)])
    tried(tmp_path, [(0.01, 0.8, 0.1)], "custom_sgd")
    write_run(tmp_path, "native_sgd", 1, learning_rate=0.1, status="diverged")
    write_run(tmp_path, "Own", learning_rate=None)
    table = learning_rate_table(read_runs(tmp_path))
    assert table is not None
    assert table.columns == ("optimizer", "0.01", "0.1", "chosen", "test accuracy")
    assert table.rows == (
        ("Own", "not tried", "not tried", "-", "100.0 %"),
        ("native_sgd", "94.0 %", "90.0 % (1 of 2 finished)", "0.01", "100.0 %"),
        ("custom_sgd", "80.0 %", "not tried", "0.01", "100.0 %"),
    )


def test_a_grid_in_any_order_is_shown_ascending(tmp_path: Path) -> None:
    folder = write_comparison(tmp_path, ["native_adam"], [0], learning_rates=[0.1, 0.001, 0.01])
    table = learning_rate_table(read_runs(folder))
    assert table is not None
    assert table.columns[1:4] == ("0.001", "0.01", "0.1")


def test_a_contender_without_any_finished_run_still_has_a_choice(tmp_path: Path) -> None:
    for rate in (0.1, 0.01):
        write_run(tmp_path, learning_rate=rate, status="failed")
    assert choice(read_runs(tmp_path), "native_adam").chosen.finished == 0
