"""The fits: exact gradients, the tutorial's rows and batches, and the reason why a fit ends."""

import itertools
import math
from functools import partial

import numpy as np
import pytest
import torch

from catsdogs import optim
from catsdogs.regression.fit import (
    BATCH_SIZE,
    Floats,
    Line,
    Problem,
    epochs,
    fit,
    gradient_terms,
    prepare,
    start,
    stop_reason,
)


@pytest.fixture(scope="module")
def table() -> Floats:
    """Return 900 diamonds whose price is a line with noise."""
    random = np.random.default_rng(0)
    carat = random.gamma(3.0, 0.3, 900)
    return np.column_stack([carat, 7000 * carat - 2000 + random.normal(0, 900, 900)])


@pytest.fixture(scope="module")
def problem(table: Floats) -> Problem:
    return prepare(table, rows=800, train_rows=640)


def test_the_rows_are_the_first_of_the_shuffled_table_in_standard_deviations(
    table: Floats, problem: Problem
) -> None:
    shuffled = table.copy()
    np.random.seed(42)
    np.random.shuffle(shuffled)
    kept = shuffled[:800]
    for rows, part in ((problem.train, kept[:640]), (problem.test, kept[640:])):
        for column, values in enumerate((rows.carat, rows.price)):
            expected = (part[:, column] - kept[:, column].mean()) / kept[:, column].std()
            np.testing.assert_allclose(values, expected, rtol=0, atol=1e-12)
    # The tutorial's script continues with the same generator.
    assert start(problem.random()) == (np.random.randn(), np.random.randn())
    np.testing.assert_array_equal(problem.random().permutation(5), problem.random().permutation(5))


def test_least_squares_in_dollars_is_the_polynomial_fit_of_the_raw_rows(
    table: Floats, problem: Problem
) -> None:
    shuffled = table.copy()
    np.random.RandomState(42).shuffle(shuffled)
    carat, price = shuffled[:640].T
    found = problem.in_dollars(problem.least_squares())
    assert found == pytest.approx(tuple(np.polyfit(carat, price, 1)), rel=1e-9)
    carat, price = shuffled[640:800].T
    error = price - (found.slope * carat + found.intercept)
    expected = math.sqrt(np.mean(error**2))
    assert problem.rmse(problem.least_squares()) == pytest.approx(expected, rel=1e-9)


def test_an_epoch_visits_every_row_once_in_the_order_that_the_listing_gives(
    problem: Problem,
) -> None:
    random, listing = problem.random(), problem.random()
    x, y = problem.train.carat, problem.train.price
    for batches in itertools.islice(epochs(problem.train, random), 3):
        order = listing.permutation(len(x))
        x, y = x[order], y[order]
        for number, means in enumerate(batches):
            rows = slice(number * BATCH_SIZE, (number + 1) * BATCH_SIZE)
            xs, ys = x[rows], y[rows]
            expected = [np.mean(xs * xs), np.mean(xs), np.mean(xs * ys), np.mean(ys)]
            np.testing.assert_allclose(means, expected, rtol=0, atol=1e-13)
        assert number == 9


def test_the_gradient_is_that_of_autograd(problem: Problem) -> None:
    rows = problem.train
    (batches,) = itertools.islice(epochs(rows, problem.random()), 1)
    matrices, offsets = gradient_terms(batches)
    order = problem.random().permutation(len(rows.carat))
    x = torch.from_numpy(rows.carat[order]).view(-1, BATCH_SIZE)
    y = torch.from_numpy(rows.price[order]).view(-1, BATCH_SIZE)
    weight = torch.tensor([0.3, -0.7], dtype=torch.float64, requires_grad=True)
    for xs, ys, matrix, offset in zip(x, y, matrices, offsets, strict=True):
        cost = torch.nn.functional.mse_loss(weight[0] * xs + weight[1], ys)
        (expected,) = torch.autograd.grad(cost, weight)
        torch.testing.assert_close(matrix @ weight.detach() + offset, expected, rtol=0, atol=1e-13)


def test_a_decaying_rate_ends_at_least_squares_with_a_flat_cost(problem: Problem) -> None:
    found = fit(problem, SGD, clip_value=1.0, max_epochs=500, lr_step=30)
    assert found.stopped == "flat"
    assert abs(found.costs[-1] - found.costs[-2]) < 1e-6
    assert all(
        abs(after - before) >= 1e-6 for before, after in itertools.pairwise(found.costs[:-1])
    )
    assert found.costs[-1] == problem.train.cost(found.line)
    assert problem.rmse(found.line) == pytest.approx(
        problem.rmse(problem.least_squares()), rel=1e-3
    )


def test_the_learning_rate_falls_to_a_tenth_after_every_step_of_epochs(problem: Problem) -> None:
    rates = []

    class Watched(optim.SGD):
        def step(self, closure: None = None) -> None:  # type: ignore[override]
            rates.append(self.param_groups[0]["lr"])
            super().step(closure)

    make = partial(Watched, lr=0.1)
    fit(problem, make, clip_value=None, max_epochs=5, lr_step=2)
    assert rates[::10] == pytest.approx([0.1, 0.1, 0.01, 0.01, 0.001])
    rates.clear()
    fit(problem, make, clip_value=None, max_epochs=5, lr_step=None)
    assert set(rates) == {0.1}


def test_gradients_are_clipped_if_a_clip_value_is_given(problem: Problem) -> None:
    moves = {}
    for clip_value in (1e-3, None):
        found = fit(problem, SGD, clip_value=clip_value, max_epochs=1, lr_step=None)
        begun = start(problem.random())
        moves[clip_value] = max(abs(a - b) for a, b in zip(begun, found.line, strict=True))
    assert moves[1e-3] <= 10 * 0.1 * 1e-3 + 1e-12  # ten batches
    assert moves[None] > 0.1


def test_a_fit_returns_the_reason_why_it_ends(problem: Problem) -> None:
    short = fit(problem, SGD, clip_value=1.0, max_epochs=3, lr_step=None)
    assert (len(short.costs), short.stopped) == (3, "epochs")
    wild = fit(problem, partial(optim.SGD, lr=1e100), clip_value=None, max_epochs=9, lr_step=None)
    assert (len(wild.costs), wild.stopped) == (1, "diverged")
    assert stop_reason([1.0]) is None
    assert stop_reason([1.0, 1.0 + 2e-6]) is None
    assert stop_reason([1.0, 1.0 + 5e-7]) == "flat"
    assert stop_reason([1.0, math.nan]) == "diverged"


SGD = partial(optim.SGD, lr=0.1)


def test_a_line_in_dollars_makes_the_same_predictions(problem: Problem) -> None:
    line = Line(0.4, -1.3)
    dollars = problem.in_dollars(line)
    carat = 1.7
    standard = (carat - problem.mean[0]) / problem.deviation[0]
    price = problem.mean[1] + problem.deviation[1] * (line.slope * standard + line.intercept)
    assert dollars.slope * carat + dollars.intercept == pytest.approx(price)
