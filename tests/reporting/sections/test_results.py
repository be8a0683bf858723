"""The tables of results, cell by cell."""

import math
from pathlib import Path

import pytest

from catsdogs.reporting.run_summary import summarize
from catsdogs.reporting.sections.results import published_table, results_table, seeds_table
from catsdogs.runs.reader import read_run, read_runs
from tests.support.synthetic_runs import mistaken, write_comparison, write_run


def test_the_best_epoch_is_the_first_with_the_highest_accuracy_not_the_lowest_cost(
    tmp_path: Path,
) -> None:
    run = read_run(
        write_run(
            tmp_path,
            val_accuracies=(0.5, 0.9, 0.95, 0.95, 0.8),
            val_costs=(0.7, 0.1, 0.3, 0.2, 0.4),
            test_logits=mistaken(3),
        )
    )
    found = summarize(run)
    assert (found.best_epoch, found.best_val_accuracy, found.best_epoch_val_cost) == (2, 0.95, 0.3)
    assert (found.lowest_val_cost_epoch, found.lowest_val_cost) == (1, 0.1)
    assert (found.last_epoch, found.last_val_accuracy, found.last_val_cost) == (4, 0.8, 0.4)
    assert (found.test_accuracy, found.test_cost) == (0.95, 0.0625)
    assert found.training_seconds == 8.0


def test_the_untrained_head_counts_as_an_epoch(tmp_path: Path) -> None:
    run = read_run(write_run(tmp_path, val_accuracies=(0.6, 0.5, 0.5)))
    assert summarize(run).best_epoch == 0


def test_a_cost_that_is_not_finite_is_never_the_lowest(tmp_path: Path) -> None:
    nan = math.nan
    run = read_run(write_run(tmp_path, status="diverged", val_costs=(0.7, 0.3, nan)))
    assert summarize(run).lowest_val_cost == 0.3
    assert math.isnan(summarize(run).last_val_cost)


def test_a_run_that_failed_before_its_first_epoch_has_no_results(tmp_path: Path) -> None:
    directory = write_run(tmp_path, status="failed", val_accuracies=(), val_costs=())
    found = summarize(read_run(directory))
    assert math.isnan(found.best_val_accuracy)
    assert math.isnan(found.best_epoch)
    assert math.isnan(found.test_accuracy)
    assert found.training_seconds == 0.0


def test_means_and_deviations_are_over_the_seeds_that_finished(tmp_path: Path) -> None:
    folder = write_comparison(
        tmp_path,
        ["native_adam"],
        seeds=range(4),
        absent={("native_adam", 3)},
        runs={
            ("native_adam", 0): {"val_accuracies": (0.5, 0.9, 0.9), "test_logits": mistaken(1)},
            ("native_adam", 1): {"val_accuracies": (0.5, 0.8, 1.0), "test_logits": mistaken(1, 2)},
            ("native_adam", 2): {"status": "diverged", "test_logits": mistaken(*range(9))},
        },
    )
    (row,) = results_table(read_runs(folder)).rows
    # Two numbers a and b have the standard deviation |a - b| / sqrt(2).
    assert row == (
        "native_adam",
        "0.001",
        "95.0 (7.1) %",
        "1.5 (0.7)",
        "0.2000 (0.0000)",
        "2.0 (0.0)",
        "95.0 (7.1) %",
        "92.5 (3.5) %",
        "0.0625 (0.0000)",
        "2 of 4",
    )


def test_one_seed_has_no_deviation_and_none_has_no_mean(tmp_path: Path) -> None:
    folder = write_comparison(tmp_path, seeds=[0], runs={("custom_adam", 0): {"status": "failed"}})
    one, none = results_table(read_runs(folder)).rows
    assert one[2:4] == ("95.0 %", "2.0")
    assert none == ("custom_adam", "0.001", *["-"] * 7, "0 of 1")


def test_every_run_has_its_row_whatever_its_status(tmp_path: Path) -> None:
    folder = write_comparison(
        tmp_path,
        seeds=[0, 1],
        absent={("native_adam", 1)},
        runs={("custom_adam", 0): {"status": "diverged"}, ("custom_adam", 1): {"status": "failed"}},
    )
    rows = seeds_table(read_runs(folder)).rows
    assert [row[:3] for row in rows] == [
        ("native_adam", "0", "finished"),
        ("native_adam", "1", "missing"),
        ("custom_adam", "0", "diverged"),
        ("custom_adam", "1", "failed"),
    ]
    assert rows[0][3:] == ("95.0 % (epoch 2)", "0.2000 (epoch 2)", "95.0 %", "0.2000") + (
        "100.0 %",
        "0.0625",
    )
    assert rows[1][3:] == ("-",) * 6
    assert rows[3][-2:] == ("-", "-")


@pytest.mark.parametrize(
    ("label", "published"),
    [
        ("native_sgd", ("SGD, built in", "98.0 %", "0.12")),
        ("custom_sgd", ("SGD, own", "96.2 %", "0.10")),
        ("published_sgd", ("SGD, own", "96.2 %", "0.10")),
        ("native_adam", ("Adam, built in", "96.2 %", "0.13")),
        ("custom_adam", ("Adam, own", "94.7 %", "0.21")),
        ("published_adam", ("Adam, own", "94.7 %", "0.21")),
    ],
)
def test_the_published_values_are_beside_those_of_the_runs(
    tmp_path: Path, label: str, published: tuple[str, str, str]
) -> None:
    table = published_table(read_runs(write_comparison(tmp_path, [label, "custom_saga"], [0])))
    assert table is not None
    assert table.rows == ((*published, label, "95.0 %", "0.2000", "100.0 %"),)
    assert "One standard error of such an accuracy is 1.0 to 1.6 points" in table.note
    assert "These runs: data: drawn; backbone: the weights; best of 2 epochs." in table.note


def test_without_a_contender_of_the_monograph_there_is_no_such_table(tmp_path: Path) -> None:
    runs = read_runs(write_comparison(tmp_path, ["native_rmsprop", "custom_saga"], [0]))
    assert published_table(runs) is None


def test_the_published_values_are_shown_even_if_no_run_finished(tmp_path: Path) -> None:
    runs = {("native_adam", 0): {"status": "running"}}
    table = published_table(read_runs(write_comparison(tmp_path, ["native_adam"], [0], runs=runs)))
    assert table is not None
    assert table.rows[0][4:] == ("-", "-", "-")
    assert "These runs: no run finished." in table.note
