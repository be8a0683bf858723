"""Differences between two runs, down to the last bit."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from catsdogs.reporting.sections.parity import Parity, cost_differences, parities, parity_table
from catsdogs.runs.contenders import Pair
from catsdogs.runs.reader import read_run, read_runs
from tests.support.synthetic_runs import COSTS, LOGITS, run_name, write_comparison, write_run

PAIR = Pair("native_adam", "custom_adam", twins=True)


def parity(
    folder: Path, custom: Mapping[str, Any], native: Mapping[str, Any] | None = None
) -> Parity:
    """Return the parity of two runs of seed 0."""
    runs = {("custom_adam", 0): custom, ("native_adam", 0): native or {}}
    (found,) = parities(read_runs(write_comparison(folder, seeds=[0], runs=runs)), PAIR)
    return found


def weights(*values: float, name: str = "conv.weight") -> dict[str, Any]:
    return {name: np.array(values, np.float32)}


def test_two_equal_runs_are_identical(tmp_path: Path) -> None:
    assert parity(tmp_path, {}) == Parity(
        seed=0,
        learning_rate=1e-3,
        remark="",
        iterations=4,
        first_difference=None,
        largest_cost_difference=0.0,
        largest_weight_difference=0.0,
        tensor="",
        largest_logit_difference=0.0,
        identical=True,
    )


def test_the_last_bit_of_one_cost_is_a_difference_at_its_iteration(tmp_path: Path) -> None:
    changed = [*COSTS]
    changed[2] = math.nextafter(changed[2], 1.0)
    found = parity(tmp_path, {"costs": changed})
    assert found.first_difference == 3
    assert found.largest_cost_difference == changed[2] - COSTS[2] > 0
    assert not found.identical


def test_the_largest_difference_is_not_the_first(tmp_path: Path) -> None:
    found = parity(tmp_path, {"costs": (0.75, 0.5 + 1e-9, 0.0, 0.125)})
    assert found.first_difference == 2
    assert found.largest_cost_difference == 0.25


def test_the_weights_that_differ_most_are_named(tmp_path: Path) -> None:
    native = weights(1.0, 2.0) | weights(0.0, name="bias")
    custom = weights(1.0, 2.25) | weights(-0.5, name="bias")
    found = parity(tmp_path, {"weights": custom}, {"weights": native})
    assert found.first_difference is None
    assert (found.largest_weight_difference, found.tensor) == (0.5, "bias")
    assert not found.identical


def test_a_zero_of_the_other_sign_is_not_identical(tmp_path: Path) -> None:
    found = parity(tmp_path, {"weights": weights(-0.0)}, {"weights": weights(0.0)})
    assert found.largest_weight_difference == 0.0
    assert not found.identical


def test_one_test_logit_is_a_difference(tmp_path: Path) -> None:
    found = parity(tmp_path, {"test_logits": (3.5, *LOGITS[1:])})
    assert found.largest_logit_difference == 0.5
    assert not found.identical


@pytest.mark.parametrize("custom", [weights(1.0, 2.0, 3.0), weights(1.0, 2.0, name="other")])
def test_weights_of_another_head_are_not_compared(tmp_path: Path, custom: dict[str, Any]) -> None:
    found = parity(tmp_path, {"weights": custom}, {"weights": weights(1.0, 2.0)})
    assert math.isnan(found.largest_weight_difference)
    assert found.remark == "the final weights are missing or have other names or shapes"
    assert not found.identical


def test_logits_of_other_images_are_not_compared(tmp_path: Path) -> None:
    folder = write_comparison(tmp_path, seeds=[0])
    path = folder / run_name("custom_adam", 0, 1e-3) / "predictions.csv"
    path.write_text(path.read_text().replace("cat.test0", "cat.test99"))
    (found,) = parities(read_runs(folder), PAIR)
    assert math.isnan(found.largest_logit_difference)
    assert found.remark == "the test images differ"
    assert not found.identical


@pytest.mark.parametrize("absent", ["native_adam", "custom_adam"])
def test_a_missing_run_is_named(tmp_path: Path, absent: str) -> None:
    folder = write_comparison(tmp_path, seeds=[0, 1], absent={(absent, 0)})
    alone, both = parities(read_runs(folder), PAIR)
    assert (alone.seed, alone.iterations, alone.remark) == (0, 0, f"{absent} has no run")
    assert not alone.identical
    assert both.identical


def test_a_cost_that_is_finite_in_one_run_alone_is_infinitely_far(tmp_path: Path) -> None:
    found = parity(tmp_path, {"status": "diverged", "costs": COSTS[:2]})
    assert found.iterations == 3
    assert found.first_difference == 3
    assert found.largest_cost_difference == math.inf
    assert found.remark == "custom_adam diverged"


def test_two_runs_that_diverge_alike_do_not_differ(tmp_path: Path) -> None:
    both = {"status": "diverged"}
    found = parity(tmp_path, both, both)
    assert found.first_difference is None
    assert found.largest_cost_difference == 0
    assert found.remark == "native_adam diverged and custom_adam diverged"


def test_an_interrupted_run_does_not_differ_in_missing_iterations(tmp_path: Path) -> None:
    found = parity(tmp_path, {"status": "running", "costs": COSTS[:3]})
    assert (found.iterations, found.first_difference) == (3, None)
    assert found.remark == "custom_adam was interrupted or is still running"
    assert not found.identical


def test_a_finished_run_that_is_shorter_differs(tmp_path: Path) -> None:
    assert parity(tmp_path, {"costs": COSTS[:3]}).first_difference == 4


def test_with_a_grid_every_learning_rate_is_compared_with_its_own(tmp_path: Path) -> None:
    for rate, costs in ((0.1, COSTS), (0.01, COSTS[::-1])):
        for seed in (0, 1):
            for label in ("native_adam", "custom_adam"):
                write_run(tmp_path, label, seed, learning_rate=rate, costs=costs)
    found = parities(read_runs(tmp_path), PAIR)
    keys = {(p.seed, p.learning_rate) for p in found}
    assert keys == {(0, 0.1), (1, 0.1), (0, 0.01), (1, 0.01)}
    assert all(p.identical for p in found)


def test_without_a_grid_each_keeps_its_own_learning_rate(tmp_path: Path) -> None:
    write_run(tmp_path, "native_adam", learning_rate=0.1)
    write_run(tmp_path, "custom_adam", learning_rate=0.2)
    (found,) = parities(read_runs(tmp_path), PAIR)
    assert found.identical


def test_differences_of_every_iteration_that_both_have(tmp_path: Path) -> None:
    costs = {"a": (1.0, math.inf, 2.0, 3.0), "b": (1.5, math.inf, math.inf)}
    one, other = (
        read_run(write_run(tmp_path, name=name, status="running", costs=of_run))
        for name, of_run in costs.items()
    )
    assert cost_differences(one, other).tolist() == [0.5, 0.0, math.inf]


def test_the_table_names_the_first_difference_and_the_tensor(tmp_path: Path) -> None:
    runs: dict[tuple[str, int], dict[str, Any]] = {
        ("custom_adam", 0): {"costs": (0.75, 0.25, 0.25, 0.125), "weights": weights(1.0)},
        ("native_adam", 0): {"weights": weights(2.0)},
    }
    folder = write_comparison(tmp_path, seeds=[0, 1], runs=runs, absent={("custom_adam", 1)})
    table = parity_table({PAIR: parities(read_runs(folder), PAIR)})
    assert table.rows == (
        ("custom_adam and native_adam", "0", "0.001", "4", "2", "2.5e-01", "1.0e+00 (conv.weight)")
        + ("0", "no", ""),
        ("custom_adam and native_adam", "1", "0.001", "0", "-", "-", "-", "-", "no")
        + ("custom_adam has no run",),
    )
