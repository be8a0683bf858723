"""The tutorial's table follows from its listings, its seed and nothing else."""

import pytest

from catsdogs.regression.fit import Problem, load_diamonds, prepare
from catsdogs.regression.published import EPOCHS, TABLE, run_listings


@pytest.fixture(scope="module")
def problem() -> Problem:
    return prepare(load_diamonds())


def test_three_listings_climb_at_an_even_pace_and_adam_descends(problem: Problem) -> None:
    climbs = run_listings(problem, 8)
    adam = climbs.pop("adam")
    best = problem.rmse(problem.least_squares())
    assert problem.rmse(adam.line) == pytest.approx(best, rel=0.01)
    for method, climb in climbs.items():
        assert climb.costs == sorted(climb.costs)
        # Steps of one length: the distance is in proportion to the epochs.
        assert problem.rmse(climb.line) == pytest.approx(TABLE[method].rmse * 8 / EPOCHS, rel=0.1)


@pytest.mark.slow
def test_the_listings_give_the_published_errors_digit_for_digit(problem: Problem) -> None:
    climbs = run_listings(problem, EPOCHS)
    assert list(climbs) == list(TABLE)
    for method, climb in climbs.items():
        # Four decimals are published; another processor may sum in another order.
        close = pytest.approx(TABLE[method].rmse, abs=5.1e-5, rel=1e-12)
        assert problem.rmse(climb.line) == close
    assert [climb.stopped for climb in climbs.values()] == ["epochs", "epochs", "epochs", "flat"]
