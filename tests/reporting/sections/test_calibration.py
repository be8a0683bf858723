"""Confusion matrix and calibration, compared with scikit-learn and manual results."""

import math
from pathlib import Path

import numpy as np
import pytest
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss, confusion_matrix

from catsdogs.reporting.sections.calibration import (
    calibration,
    calibration_table,
    confusion,
    confusion_table,
    pooled,
)
from catsdogs.runs.reader import Predictions, read_runs
from tests.support.synthetic_runs import mistaken, write_comparison


def predictions(labels: list[int], logits: list[float]) -> Predictions:
    return Predictions(("",) * len(labels), np.array(labels), np.array(logits))


def logit(probability: float) -> float:
    return math.log(probability / (1 - probability))


@pytest.fixture
def drawn() -> Predictions:
    random = np.random.default_rng(0)
    labels = random.integers(0, 2, 500)
    return predictions(labels.tolist(), (random.normal(0, 3, 500) + 2 * labels).tolist())


def test_confusion_is_scikit_learns_matrix_summed_over_seeds(tmp_path: Path) -> None:
    wrong = {0: (0, 2, 4), 1: (1, 4), 2: (3,)}
    runs = {
        ("native_adam", seed): {"test_logits": mistaken(*images)} for seed, images in wrong.items()
    }
    found = read_runs(write_comparison(tmp_path, ["native_adam"], runs=runs))
    tests = [run.test for run in found.found if run.test]
    expected = sum(confusion_matrix(test.labels, test.logits > 0) for test in tests)
    c = confusion("native_adam", found.found)
    assert [[c.dog_dog, c.dog_cat], [c.cat_dog, c.cat_cat]] == expected.tolist()
    assert c.seeds == 3
    assert confusion_table(found).rows == (("native_adam", "26", "4", "28", "2", "3"),)


def test_runs_that_did_not_finish_have_no_predictions(tmp_path: Path) -> None:
    runs = {("native_adam", 0): {"status": "diverged"}, ("native_adam", 1): {"status": "failed"}}
    found = read_runs(write_comparison(tmp_path, ["native_adam"], [0, 1], runs=runs))
    assert pooled(found.found) is None
    assert confusion_table(found).rows == (("native_adam", "0", "0", "0", "0", "0"),)
    assert calibration_table(found).rows == (("native_adam", *["-"] * 5),)


def test_the_bins_are_scikit_learns_calibration_curve_of_the_predicted_class(
    drawn: Predictions,
) -> None:
    found = calibration(drawn)
    cat = 1 / (1 + np.exp(-drawn.logits))
    confidence = np.maximum(cat, 1 - cat)
    # scikit-learn's bins span 0 to 1; confidence spans its upper half.
    accuracy, mean = calibration_curve(drawn.right(), 2 * confidence - 1, n_bins=10)
    filled = found.counts > 0
    assert found.accuracy[filled] == pytest.approx(accuracy)
    assert found.confidence[filled] == pytest.approx((mean + 1) / 2)
    assert found.counts.sum() == 500


def test_the_expected_error_is_the_weighted_gap_of_these_bins(drawn: Predictions) -> None:
    found = calibration(drawn)
    filled = found.counts > 0
    gaps = np.abs(found.accuracy - found.confidence)[filled]
    weights = found.counts[filled]
    assert found.expected_error == pytest.approx(np.average(gaps, weights=weights))


def test_the_brier_score_is_scikit_learns(drawn: Predictions) -> None:
    cat = 1 / (1 + np.exp(-drawn.logits))
    assert calibration(drawn).brier == pytest.approx(brier_score_loss(drawn.labels, cat))


def test_four_predictions_calculated_by_hand() -> None:
    # Confidence 0.79 three times, two correct (bin 0.75 to 0.8); 0.62 once, wrong (0.6 to 0.65).
    given = predictions([1, 0, 0, 1], [logit(0.79), -logit(0.79), logit(0.79), -logit(0.62)])
    found = calibration(given)
    assert found.counts.tolist() == [0, 0, 1, 0, 0, 3, 0, 0, 0, 0]
    assert found.expected_error == pytest.approx((3 * (0.79 - 2 / 3) + 0.62) / 4)
    assert found.brier == pytest.approx((2 * 0.21**2 + 0.79**2 + 0.62**2) / 4)
    assert found.mean_confidence == pytest.approx((3 * 0.79 + 0.62) / 4)
    assert found.mean_accuracy == 0.5
    assert found.base_rate == 0.5
    assert np.isnan(found.accuracy[0])


@pytest.mark.parametrize("size", [0.0, 800.0, math.inf])
def test_the_highest_and_the_lowest_confidence_have_a_bin(size: float) -> None:
    found = calibration(predictions([1, 0], [size, -size]))
    assert found.counts.sum() == 2
    assert found.counts[0 if size == 0 else -1] == 2
    assert found.brier == (0.25 if size == 0 else 0.0)


def test_pooling_concatenates_the_seeds(tmp_path: Path) -> None:
    runs = {("native_adam", 1): {"test_logits": mistaken(0)}}
    found = read_runs(write_comparison(tmp_path, ["native_adam"], [0, 1], runs=runs))
    both = pooled(found.found)
    assert both is not None
    assert len(both.paths) == len(both.labels) == 40
    assert np.flatnonzero(~both.right()).tolist() == [20]


def test_the_table_has_mean_and_deviation_over_seeds(tmp_path: Path) -> None:
    logits = [[logit(0.9) * sign for sign in mistaken(*wrong)] for wrong in ((), (0, 1))]
    runs = {
        ("native_adam", seed): {"test_logits": [x / 3 for x in logits[seed]]} for seed in (0, 1)
    }
    (row,) = calibration_table(
        read_runs(write_comparison(tmp_path, ["native_adam"], [0, 1], runs=runs))
    ).rows
    # 20 of 20 correct at a confidence of 0.9, then 18 of 20.
    assert row == (
        "native_adam",
        "90.0 (0.0) %",
        "95.0 (7.1) %",
        "5.0 (7.1) %",
        "0.0500 (0.0566)",
        "50.0 (0.0) %",
    )
