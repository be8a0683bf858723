"""The verdict on a pair, for every kind of evidence."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from catsdogs.reporting.verdict import Verdict, verdicts
from catsdogs.runs.reader import read_runs
from tests.support.synthetic_runs import COSTS, mistaken, write_comparison, write_run

OTHER_COSTS = (0.75, 0.5, 0.26, 0.125)


def verdict_of(folder: Path, **comparison: Any) -> Verdict:
    (verdict,) = verdicts(read_runs(write_comparison(folder, **comparison)))
    return verdict


def with_errors(
    native: Sequence[int], custom: Sequence[int], images: int = 400
) -> dict[tuple[str, int], Mapping[str, Any]]:
    """Return runs with these numbers of wrong predictions, seed by seed, and with other costs."""
    runs: dict[tuple[str, int], Mapping[str, Any]] = {}
    for seed, (wrong, also_wrong) in enumerate(zip(native, custom, strict=True)):
        runs["native_adam", seed] = {"test_logits": mistaken(*range(wrong), images=images)}
        last = range(images - also_wrong, images)
        logits = mistaken(*last, images=images)
        runs["custom_adam", seed] = {"test_logits": logits, "costs": OTHER_COSTS}
    return runs


def test_the_same_bits_are_identical_and_the_sentence_counts_the_evidence(tmp_path: Path) -> None:
    verdict = verdict_of(tmp_path)
    assert verdict.kind == "identical bit for bit"
    assert verdict.sentence == (
        "custom_adam and native_adam are identical bit for bit: in 3 seeds, the costs of all 12 "
        "iterations, the final weights and the logits of all 20 test images are equal in every "
        "bit."
    )


def test_a_grid_counts_every_pair_of_runs(tmp_path: Path) -> None:
    verdict = verdict_of(tmp_path, seeds=[0, 1], learning_rates=[0.1, 0.01])
    assert verdict.kind == "identical bit for bit"
    assert "in 4 pairs of runs (2 seeds, 2 learning rates), the costs of all 16" in verdict.sentence


def test_identity_is_said_of_the_seeds_that_are_there_and_the_others_are_named(
    tmp_path: Path,
) -> None:
    verdict = verdict_of(
        tmp_path, absent={("custom_adam", 0)}, runs={("custom_adam", 2): {"status": "failed"}}
    )
    assert verdict.kind == "identical bit for bit"
    assert "in 1 seed, the costs of all 4 iterations" in verdict.sentence
    assert verdict.sentence.endswith(
        " Not fully compared: seed 0 (custom_adam has no run), seed 2 (custom_adam failed)."
    )


@pytest.mark.parametrize(
    "other",
    [{"costs": OTHER_COSTS}, {"weights": {"conv.weight": np.full((2, 3), 1.5, np.float32)}}],
)
def test_one_seed_that_differs_is_enough_not_to_be_identical(
    tmp_path: Path, other: dict[str, Any]
) -> None:
    verdict = verdict_of(tmp_path, runs={("custom_adam", 2): other})
    assert verdict.kind == "the same predictions"


def test_the_same_predictions_with_other_costs_say_where_the_costs_differ(tmp_path: Path) -> None:
    weights = {"conv.weight": np.full((2, 3), 1.5, np.float32)}
    verdict = verdict_of(
        tmp_path,
        runs={("custom_adam", 1): {"costs": (0.75, 0.5, 0.25, 0.1875), "weights": weights}},
    )
    assert verdict.sentence == (
        "custom_adam makes the same predictions as native_adam: in 3 seeds, both predict the same "
        "label for each of 20 test images; the costs first differ at iteration 4, and by at most "
        "6.2e-02; the final weights differ by at most 5.0e-01 (conv.weight)."
    )


def test_a_small_gap_with_a_narrow_interval_is_equivalent(tmp_path: Path) -> None:
    verdict = verdict_of(
        tmp_path, seeds=range(5), runs=with_errors((8, 9, 7, 8, 9), (8, 8, 8, 8, 8))
    )
    assert verdict.kind == "equivalent within one point"
    assert verdict.sentence == (
        "custom_adam is equivalent to native_adam within one point of accuracy: over 5 seeds, the "
        "mean accuracy of custom_adam on 400 test images is 0.1 points above that of native_adam "
        "(95 % interval -0.2 to +0.3 points); the costs first differ at iteration 3, and by at "
        "most 1.0e-02."
    )


def test_a_gap_that_is_small_but_sure_is_equivalent_and_said(tmp_path: Path) -> None:
    verdict = verdict_of(tmp_path, seeds=range(4), runs=with_errors((8, 8, 8, 8), (9, 10, 9, 9)))
    assert verdict.kind == "equivalent within one point"
    assert "is 0.3 points below that of native_adam" in verdict.sentence
    assert "-0.5 to -0.1 points, which excludes zero)" in verdict.sentence


def test_an_interval_that_misses_zero_and_reaches_a_point_is_different(tmp_path: Path) -> None:
    verdict = verdict_of(tmp_path, seeds=range(3), runs=with_errors((8, 9, 8), (28, 30, 29)))
    assert verdict.kind == "different"
    assert verdict.sentence.startswith(
        "custom_adam and native_adam are different: over 3 seeds, the mean accuracy of custom_adam "
        "on 400 test images is 5.2 points below that of native_adam (95 % interval -5.5 to -4.8 "
        "points, which excludes zero); the costs first differ at iteration 3"
    )


def test_an_interval_that_holds_zero_and_a_point_decides_nothing(tmp_path: Path) -> None:
    verdict = verdict_of(tmp_path, seeds=range(3), runs=with_errors((8, 20, 8), (12, 10, 9)))
    assert verdict.kind == "the evidence does not decide"
    assert verdict.sentence.startswith(
        "The evidence does not decide whether custom_adam is as accurate as native_adam: over 3 "
    )
    interval = re.search(
        r"interval (\S+) to (\S+) points, which contains both zero and a difference of one point",
        verdict.sentence,
    )
    assert interval is not None
    low, high = map(float, interval.groups())
    assert low < 0 < high
    assert max(-low, high) > 1


def test_one_seed_decides_nothing_but_is_shown(tmp_path: Path) -> None:
    verdict = verdict_of(tmp_path, seeds=[0], runs=with_errors((2,), (1,)))
    assert verdict.kind == "the evidence does not decide"
    assert (
        ": in seed 0, custom_adam classifies 399 of 400 test images correctly and native_adam 398 "
        "(2 only by custom_adam, 1 only by native_adam); one seed does not show how much seeds "
        "vary; " in verdict.sentence
    )


@pytest.mark.parametrize(
    ("native", "custom", "words"),
    [
        (
            (2, 3, 4),
            (2, 3, 4),
            "accuracy of custom_adam on 400 test images equals that of native_adam",
        ),
        ((2, 3, 4), (4, 5, 6), "is 0.5 points below that of native_adam"),
        ((0, 0, 0), (2, 2, 2), "is 0.5 points below that of native_adam"),
    ],
)
def test_the_same_gap_in_every_seed_has_no_interval_and_decides_nothing(
    tmp_path: Path, native: Sequence[int], custom: Sequence[int], words: str
) -> None:
    verdict = verdict_of(tmp_path, runs=with_errors(native, custom))
    assert verdict.kind == "the evidence does not decide"
    assert words in verdict.sentence
    assert "a difference that is the same in every seed has no interval" in verdict.sentence


@pytest.mark.parametrize(
    ("diverged", "finished"), [("custom_adam", "native_adam"), ("native_adam", "custom_adam")]
)
def test_one_that_diverges_where_the_other_does_not_is_different(
    tmp_path: Path, diverged: str, finished: str
) -> None:
    ends = {(diverged, seed): {"status": "diverged", "costs": COSTS[:2]} for seed in (0, 2)}
    verdict = verdict_of(tmp_path, runs=ends)
    assert verdict.kind == "different"
    assert f"{diverged} diverged in seeds 0 and 2, where {finished} finished" in verdict.sentence
    assert (
        "differ at iteration 3, and in some iteration only one of them is finite"
        in verdict.sentence
    )
    assert verdict.sentence.endswith(
        f"Not fully compared: seed 0 ({diverged} diverged), seed 2 ({diverged} diverged)."
    )


def test_two_that_diverge_alike_are_identical_and_both_are_mentioned(tmp_path: Path) -> None:
    ends = {(label, 0): {"status": "diverged"} for label in ("native_adam", "custom_adam")}
    verdict = verdict_of(tmp_path, runs=ends)
    assert verdict.kind == "identical bit for bit"
    assert "in 3 seeds, the costs of all 13 iterations" in verdict.sentence
    assert verdict.sentence.endswith("are equal in every bit; in seed 0, both diverged alike.")


def test_with_a_grid_the_learning_rate_at_which_both_diverge_is_named(tmp_path: Path) -> None:
    for label in ("native_adam", "custom_adam"):
        for seed in (0, 1):
            write_run(tmp_path, label, seed, learning_rate=0.01)
            write_run(tmp_path, label, seed, learning_rate=100.0, status="diverged")
    (verdict,) = verdicts(read_runs(tmp_path))
    assert verdict.kind == "identical bit for bit"
    assert verdict.sentence.endswith(
        "; in seeds 0 and 1 at learning rate 100, both diverged alike."
    )


def test_without_two_runs_there_is_nothing_to_compare(tmp_path: Path) -> None:
    verdict = verdict_of(tmp_path, absent={("custom_adam", seed) for seed in (0, 1, 2)})
    assert verdict.kind == "nothing to compare"
    assert verdict.sentence.startswith(
        "custom_adam and native_adam have no runs that can be compared. Not fully compared: seed"
    )


def test_the_costs_of_optimizers_that_are_not_twins_are_not_compared(tmp_path: Path) -> None:
    runs = {("custom_saga", 0): {"costs": OTHER_COSTS, "test_logits": mistaken(0)}}
    verdict = verdict_of(tmp_path, contenders=["native_sgd", "custom_saga"], runs=runs)
    assert "costs" not in verdict.sentence


def test_the_verdict_on_accuracy_is_of_the_chosen_learning_rates(tmp_path: Path) -> None:
    for seed in (0, 1):
        for label in ("native_adam", "custom_adam"):
            costs, worse = COSTS if label == "native_adam" else OTHER_COSTS, (0.5, 0.6, 0.6)
            write_run(tmp_path, label, seed, learning_rate=0.1, costs=costs)
            write_run(
                tmp_path,
                label,
                seed,
                learning_rate=0.01,
                costs=costs,
                val_accuracies=worse,
                test_logits=mistaken(*range(10)),
            )
    (verdict,) = verdicts(read_runs(tmp_path))
    assert [seed.reference_right for seed in verdict.comparison.seeds] == [20, 20]
    assert {parity.learning_rate for parity in verdict.parities} == {0.1, 0.01}


def test_costs_that_differ_only_in_length_are_said_to_be_equal_up_to_the_end(
    tmp_path: Path,
) -> None:
    verdict = verdict_of(tmp_path, seeds=[0], runs={("custom_adam", 0): {"costs": COSTS[:3]}})
    assert "; the costs are equal up to iteration 3, where one run ends" in verdict.sentence


def test_the_same_predictions_are_mentioned_even_if_a_seed_diverged(tmp_path: Path) -> None:
    verdict = verdict_of(tmp_path, runs={("custom_adam", 1): {"status": "diverged"}})
    assert verdict.kind == "different"
    assert "; in 2 seeds, both predict the same label for each of 20 test" in verdict.sentence
