"""The tutorial's table, reproduced from its listings and its seed."""

import pytest

from catsdogs.regression.fit import Problem, load_diamonds, prepare
from catsdogs.regression.published import EPOCHS, TABLE, run_listings


@pytest.fixture(scope="module")
def problem() -> Problem:
    return prepare(load_diamonds())


def test_three_listings_ascend_at_a_constant_rate_and_adam_descends(problem: Problem) -> None:
    fits = run_listings(problem, 8)
    adam = fits.pop("adam")
    best = problem.rmse(problem.least_squares())
    assert problem.rmse(adam.line) == pytest.approx(best, rel=0.01)
    for method, found in fits.items():
        assert found.costs == sorted(found.costs)
        # Steps of equal length: the distance is proportional to the epochs.
        assert problem.rmse(found.line) == pytest.approx(TABLE[method].rmse * 8 / EPOCHS, rel=0.1)


@pytest.mark.slow
def test_the_listings_give_the_published_errors_digit_for_digit(problem: Problem) -> None:
    fits = run_listings(problem, EPOCHS)
    assert list(fits) == list(TABLE)
    for method, found in fits.items():
        # Four decimals are published; other processors may sum in another order.
        close = pytest.approx(TABLE[method].rmse, abs=5.1e-5, rel=1e-12)
        assert problem.rmse(found.line) == close
    assert [found.stopped for found in fits.values()] == ["epochs", "epochs", "epochs", "flat"]
