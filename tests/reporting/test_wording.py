"""One way to write each kind of number."""

import math
import statistics

import pytest

from catsdogs.reporting import wording


@pytest.mark.parametrize(
    ("written", "text"),
    [
        (wording.percent(0.975), "97.5 %"),
        (wording.percent(math.nan), "-"),
        (wording.points(0.005), "+0.5"),
        (wording.points(-0.0004), "+0.0"),
        (wording.points(-0.021), "-2.1"),
        (wording.cost(0.14708769), "0.1471"),
        (wording.difference(1.23e-7), "1.2e-07"),
        (wording.difference(0.0), "0"),
        (wording.difference(math.inf), "inf"),
        (wording.seconds(0.00116), "1.16 ms"),
        (wording.seconds(12.34), "12.3 s"),
        (wording.size(0), "0 B"),
        (wording.size(999), "999 B"),
        (wording.size(16_830_488), "16.8 MB"),
        (wording.size(25_276_514_304), "25.3 GB"),
        (wording.learning_rate(0.001), "0.001"),
        (wording.learning_rate(1e-5), "1e-05"),
        (wording.learning_rate(None), "-"),
        (wording.p_value(0.0312), "0.031"),
        (wording.p_value(1e-9), "< 0.001"),
        (wording.p_value(None), "-"),
        (wording.count(1, "seed"), "1 seed"),
        (wording.count(1890, "iteration"), "1,890 iterations"),
        (wording.listed("abc"), "a, b and c"),
        (wording.numbered("seed", [3]), "seed 3"),
        (wording.numbered("seed", [1, 2]), "seeds 1 and 2"),
        (wording.mean_percent([0.97, 0.98]), "97.5 (0.7) %"),
        (wording.mean_percent([0.97]), "97.0 %"),
        (wording.mean_percent([]), "-"),
        (wording.mean_cost([0.1, 0.2]), "0.1500 (0.0707)"),
        (wording.mean_seconds([2.0, 3.0]), "2.50 (0.71) s"),
        (wording.mean_number([1, 2]), "1.5 (0.7)"),
    ],
)
def test_a_number_is_written_as_it_should_be(written: str, text: str) -> None:
    assert written == text


def test_mean_and_deviation_are_the_standard_librarys() -> None:
    sample = [0.1, 0.4, 0.35, 0.8]
    mean, deviation = wording.mean_and_deviation(sample)
    assert mean == pytest.approx(statistics.mean(sample))
    assert deviation == pytest.approx(statistics.stdev(sample))
