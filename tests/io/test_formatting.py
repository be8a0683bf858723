"""Numbers as text, each kind in one form."""

import math
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.ticker import EngFormatter

from catsdogs.io import formatting


@pytest.mark.parametrize(
    ("written", "text"),
    [
        (formatting.percent(0.975), "97.5 %"),
        (formatting.percent(math.nan), "-"),
        (formatting.points(0.005), "+0.5"),
        (formatting.points(-0.0004), "+0.0"),
        (formatting.points(-0.021), "-2.1"),
        (formatting.cost(0.14708769), "0.1471"),
        (formatting.difference(1.23e-7), "1.2e-07"),
        (formatting.difference(0.0), "0"),
        (formatting.difference(math.inf), "inf"),
        (formatting.seconds(0.00116), "1.16 ms"),
        (formatting.seconds(12.34), "12.3 s"),
        (formatting.size(0), "0 B"),
        (formatting.size(999), "999 B"),
        (formatting.size(999_950), "1.0 MB"),
        (formatting.size(16_830_488), "16.8 MB"),
        (formatting.size(25_276_514_304), "25.3 GB"),
        (formatting.learning_rate(0.001), "0.001"),
        (formatting.learning_rate(1e-5), "1e-05"),
        (formatting.learning_rate(None), "-"),
        (formatting.p_value(0.0312), "0.031"),
        (formatting.p_value(1e-9), "< 0.001"),
        (formatting.p_value(None), "-"),
        (formatting.count(1, "seed"), "1 seed"),
        (formatting.count(1890, "iteration"), "1,890 iterations"),
        (formatting.listed("abc"), "a, b and c"),
        (formatting.numbered("seed", [3]), "seed 3"),
        (formatting.numbered("seed", [1, 2]), "seeds 1 and 2"),
        (formatting.mean_percent([0.97, 0.98]), "97.5 (0.7) %"),
        (formatting.mean_percent([0.97]), "97.0 %"),
        (formatting.mean_percent([]), "-"),
        (formatting.mean_cost([0.1, 0.2]), "0.1500 (0.0707)"),
        (formatting.mean_seconds([2.0, 3.0]), "2.50 (0.71) s"),
        (formatting.mean_number([1, 2]), "1.5 (0.7)"),
    ],
)
def test_each_kind_of_number_has_its_form(written: str, text: str) -> None:
    assert written == text


@given(st.integers(1000, 10**15 - 1))
def test_a_size_is_formatted_as_matplotlib_formats_it(nbytes: int) -> None:
    assert formatting.size(nbytes) == EngFormatter(unit="B", places=1)(nbytes)


@given(st.floats(1e-12, 0.9999))
def test_a_time_below_a_second_is_formatted_as_matplotlib_formats_it(value: float) -> None:
    assert formatting.seconds(value) == EngFormatter(unit="s", places=2)(value)


def test_mean_and_deviation_equal_those_of_the_standard_library() -> None:
    sample = [0.1, 0.4, 0.35, 0.8]
    mean, deviation = formatting.mean_and_deviation(sample)
    assert mean == pytest.approx(statistics.mean(sample))
    assert deviation == pytest.approx(statistics.stdev(sample))
