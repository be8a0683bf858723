"""The tutorial's published results, and the listings that produce them.

DataCamp, "Tutorial do Adam Optimizer: Intuicao e implementacao em Python" (August 2024). Its
listings compute

    m_gradient = 2 * mean(x * (y - y_pred))

which is minus the gradient, and subtract it. SGD, momentum and RMSprop therefore ascend until the
last epoch. Each step has about the same length, because two of them clip the gradient and one
divides by its size, so the final distance, and the published errors of nine to eleven digits, are
finite and proportional to the number of epochs.

The printed listing of Adam has the same sign and never increments `t`, so its first step divides by
zero. The published number follows with both corrected, as the script behind the table must have
had it.

All four methods drew from one generator in turn, so each has another start and other batches, and
the whole table follows from one seed: `run_listings` with the tutorial's 10,000 epochs returns it
digit for digit.
"""

import itertools
import time
from collections.abc import Callable
from typing import NamedTuple

from catsdogs.regression.fit import Fit, Line, Problem, epochs, start, stop_reason

EPOCHS = 10_000


class Published(NamedTuple):
    """A row of the tutorial's table: seconds on its author's machine, RMSE in dollars."""

    seconds: float
    rmse: float


TABLE = {
    "sgd": Published(49.9305, 1424002054.8658),
    "momentum": Published(50.7744, 14239929470.0458),
    "rmsprop": Published(41.9895, 137715232.4602),
    "adam": Published(1.8462, 1570.1177),
}

# Maps the listing's gradient of slope or intercept to the amount that is subtracted.
Step = Callable[[float], float]


def run_listings(
    problem: Problem, max_epochs: int, after_epoch: Callable[[], object] = lambda: None
) -> dict[str, Fit]:
    """Run the four listings in turn, as the script behind the table did.

    Args:
        problem: Its training rows are fitted.
        max_epochs: Maximum number of epochs of each listing.
        after_epoch: Called after each epoch.
    """
    random = problem.random()
    listings: dict[str, tuple[Callable[[], Step], float]] = {
        "sgd": (_sgd, -1.0),
        "momentum": (_momentum, -1.0),
        "rmsprop": (_rmsprop, -1.0),
        "adam": (_adam, 1.0),
    }
    fits = {}
    for method, (make_step, sign) in listings.items():
        started, line, costs = time.perf_counter(), start(random), list[float]()
        steps = make_step(), make_step()
        for batches in itertools.islice(epochs(problem.train, random), max_epochs):
            line = _epoch(line, steps, sign, batches.tolist())
            costs.append(problem.train.cost(line))
            after_epoch()
            if stop_reason(costs):
                break
        seconds = time.perf_counter() - started
        fits[method] = Fit(line, costs, stop_reason(costs) or "epochs", seconds)
    return fits


def _epoch(line: Line, steps: tuple[Step, Step], sign: float, batches: list[list[float]]) -> Line:
    m, b = line
    step_m, step_b = steps
    for square, carat, product, price in batches:
        m_gradient = sign * 2 * (square * m + carat * b - product)
        b_gradient = sign * 2 * (carat * m + b - price)
        m -= step_m(m_gradient)
        b -= step_b(b_gradient)
    return Line(m, b)


def _sgd() -> Step:
    return lambda gradient: 0.1 * _clipped(gradient)


def _momentum() -> Step:
    velocity = 0.0

    def step(gradient: float) -> float:
        nonlocal velocity
        velocity = 0.9 * velocity + 0.1 * _clipped(gradient)
        return velocity

    return step


def _rmsprop() -> Step:
    square = 0.0

    def step(gradient: float) -> float:
        nonlocal square
        square = 0.9 * square + (1 - 0.9) * gradient**2
        return float(0.01 * gradient / (square**0.5 + 1e-8))

    return step


def _adam() -> Step:
    average, square, t = 0.0, 0.0, 0

    def step(gradient: float) -> float:
        nonlocal average, square, t
        t += 1
        average = 0.9 * average + (1 - 0.9) * gradient
        square = 0.999 * square + (1 - 0.999) * gradient**2
        root: float = (square / (1 - 0.999**t)) ** 0.5
        return 0.01 * (average / (1 - 0.9**t)) / (root + 1e-8)

    return step


def _clipped(gradient: float) -> float:
    return min(1.0, max(-1.0, gradient))
