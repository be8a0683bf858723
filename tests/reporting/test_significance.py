"""Intervals and tests, compared with statsmodels and with closed forms."""

import math
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import t

from catsdogs.reporting.significance import (
    MARGIN,
    PairedComparison,
    accuracy_table,
    compare_accuracy,
    disagreements_table,
)
from catsdogs.runs.contenders import Pair
from catsdogs.runs.reader import Runs, read_runs
from tests.support.synthetic_runs import mistaken, run_name, write_comparison

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of its imports
    from statsmodels.stats.contingency_tables import mcnemar
    from statsmodels.stats.weightstats import ttost_paired

PAIR = Pair("native_adam", "custom_adam", twins=True)
IMAGES = 20


def with_errors(folder: Path, native: Sequence[int], custom: Sequence[int]) -> Runs:
    """Return runs with these numbers of wrong predictions, seed by seed.

    The native runs misclassify the first test images, the custom ones the last.
    """
    runs = {}
    for seed, (wrong, also_wrong) in enumerate(zip(native, custom, strict=True)):
        runs["native_adam", seed] = {"test_logits": mistaken(*range(wrong))}
        last = range(IMAGES - also_wrong, IMAGES)
        runs["custom_adam", seed] = {"test_logits": mistaken(*last)}
    return read_runs(write_comparison(folder, seeds=range(len(native)), runs=runs))


def compared(folder: Path, native: Sequence[int], custom: Sequence[int]) -> PairedComparison:
    return compare_accuracy(with_errors(folder, native, custom), PAIR)


def accuracies(wrong: Sequence[int]) -> NDArray[np.float64]:
    return 1 - np.array(wrong) / IMAGES


SPREAD = [((1, 2, 3), (2, 2, 1)), ((5, 4, 6, 5), (1, 2, 1, 0)), ((0, 1), (1, 3))]


@pytest.mark.parametrize(("native", "custom"), SPREAD)
def test_equivalence_is_statsmodels_two_one_sided_tests(
    tmp_path: Path, native: Sequence[int], custom: Sequence[int]
) -> None:
    expected = ttost_paired(accuracies(custom), accuracies(native), -MARGIN, MARGIN)[0]
    assert compared(tmp_path, native, custom).equivalence_p == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("native", "custom"), SPREAD)
def test_the_interval_is_the_mean_and_a_quantile_of_t_times_its_standard_error(
    tmp_path: Path, native: Sequence[int], custom: Sequence[int]
) -> None:
    found = compared(tmp_path, native, custom)
    differences = accuracies(custom) - accuracies(native)
    n = len(differences)
    half = t.ppf(0.975, n - 1) * differences.std(ddof=1) / math.sqrt(n)
    assert found.mean == pytest.approx(differences.mean(), abs=1e-12)
    expected = differences.mean() - half, differences.mean() + half
    assert found.interval == pytest.approx(expected, abs=1e-12)


def test_pairing_narrows_the_interval_if_seeds_differ_more_than_optimizers(
    tmp_path: Path,
) -> None:
    found = compared(tmp_path, (1, 5, 9), (1, 5, 8))
    assert found.interval is not None
    assert found.interval[1] - found.interval[0] < 0.15


@pytest.mark.parametrize(("native", "custom"), [(0, 5), (3, 3), (2, 7), (0, 1)])
def test_mcnemar_is_the_exact_test_of_statsmodels(tmp_path: Path, native: int, custom: int) -> None:
    (seed,) = compared(tmp_path, [native], [custom]).seeds
    assert (seed.only_reference, seed.only_contender) == (custom, native)
    assert (seed.reference_right, seed.contender_right) == (20 - native, 20 - custom)
    table = [[IMAGES - native - custom, custom], [native, 0]]
    assert seed.p_value == pytest.approx(mcnemar(table, exact=True).pvalue, rel=1e-12)


def test_five_disagreements_of_one_kind_have_the_p_value_of_five_coins(tmp_path: Path) -> None:
    (seed,) = compared(tmp_path, [0], [5]).seeds
    assert seed.p_value == pytest.approx(2 * 0.5**5)


def test_the_p_value_without_disagreements_is_one(tmp_path: Path) -> None:
    (seed,) = compared(tmp_path, [0], [0]).seeds
    assert seed.p_value == 1.0


@pytest.mark.parametrize(
    ("native", "custom", "mean"),
    [
        ((0, 0, 0), (0, 0, 0), 0.0),
        ((1, 2, 3), (1, 2, 3), 0.0),
        ((2, 3, 4), (1, 2, 3), 0.05),
        ((3,), (1,), 0.1),
    ],
)
def test_one_seed_or_equal_differences_have_no_interval(
    tmp_path: Path, native: Sequence[int], custom: Sequence[int], mean: float
) -> None:
    found = compared(tmp_path, native, custom)
    assert found.mean == pytest.approx(mean, abs=1e-12)
    assert found.interval is None
    assert found.equivalence_p is None
    assert accuracy_table([found]).rows[0][3:] == ("none", "-")


def test_seeds_that_cannot_be_compared_are_named_with_the_reason(tmp_path: Path) -> None:
    folder = write_comparison(
        tmp_path,
        seeds=range(5),
        absent={("custom_adam", 0)},
        runs={
            ("native_adam", 1): {"status": "diverged"},
            ("custom_adam", 2): {"status": "failed"},
            ("custom_adam", 3): {"status": "running"},
        },
    )
    found = compare_accuracy(read_runs(folder), PAIR)
    assert [seed.seed for seed in found.seeds] == [4]
    assert found.left_out == (
        (0, "custom_adam has no run"),
        (1, "native_adam diverged"),
        (2, "custom_adam failed"),
        (3, "custom_adam was interrupted or is still running"),
    )


def test_predictions_for_other_images_are_not_paired(tmp_path: Path) -> None:
    folder = write_comparison(tmp_path)
    for label, seed in (("custom_adam", 1), ("native_adam", 2), ("custom_adam", 2)):
        path = folder / run_name(label, seed, 1e-3) / "predictions.csv"
        path.write_text(path.read_text().replace("cat.test0", "cat.test99"))
    found = compare_accuracy(read_runs(folder), PAIR)
    assert [seed.seed for seed in found.seeds] == [0]
    assert found.left_out == (
        (1, "the test images differ"),
        (2, "its test images differ from those of seed 0"),
    )


def test_without_any_seed_there_is_no_mean(tmp_path: Path) -> None:
    folder = write_comparison(tmp_path, seeds=[0], absent={("custom_adam", 0)})
    found = compare_accuracy(read_runs(folder), PAIR)
    assert math.isnan(found.mean)
    assert accuracy_table([found]).rows == (("custom_adam - native_adam", "0", "-", "none", "-"),)


def test_the_tables_show_the_difference_and_the_disagreements(tmp_path: Path) -> None:
    found = compared(tmp_path, (2, 3), (1, 1))
    assert accuracy_table([found]).rows == (
        ("custom_adam - native_adam", "2", "+7.5", "-24.3 to +39.3", "0.883"),
    )
    assert disagreements_table([found]).rows == (
        ("custom_adam and native_adam", "0", "19 and 18 of 20", "2", "1", "1.000"),
        ("custom_adam and native_adam", "1", "19 and 17 of 20", "3", "1", "0.625"),
    )
