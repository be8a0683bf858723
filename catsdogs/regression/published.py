r"""Exhibit: the tutorial's published numbers, and the arithmetic that they came from.

DataCamp, "Tutorial do Adam Optimizer: Intuicao e implementacao em Python" (August 2024). Its
listings take

    m_gradient = 2 * mean(x * (y - y_pred))

which is minus the gradient, and then subtract it: SGD, momentum and RMSprop climb until they run
out of epochs. Each takes a step of about the same length every time, so they end at a distance
that grows with the number of epochs, and their nine to eleven digits are that distance. The
numbers are finite: two clip the gradient, one divides by its size.

Adam's printed listing has the same sign, and never increments `t`, so it divides by zero at its
first step. The published number is what it gives with both put right, as the script behind the
table must have had it.

All four drew from one generator, one after the other. So every method has a start and an order of
its own, and the whole table follows from the one seed: `run_listings` with the tutorial's 10,000
epochs returns it digit for digit.
"""

import dataclasses
import itertools
from collections.abc import Callable
from typing import NamedTuple

from catsdogs.regression.fit import Line, Problem, Stopped, epochs, start, stop_reason

EPOCHS = 10_000


class Published(NamedTuple):
    """A row of the tutorial's table: seconds on its author's machine, dollars on the test rows."""

    seconds: float
    rmse: float


TABLE = {
    "sgd": Published(49.9305, 1424002054.8658),
    "momentum": Published(50.7744, 14239929470.0458),
    "rmsprop": Published(41.9895, 137715232.4602),
    "adam": Published(1.8462, 1570.1177),
}

# What is subtracted from slope or intercept, for its gradient as the listing has it.
Step = Callable[[float], float]


@dataclasses.dataclass(frozen=True)
class Climb:
    """Where a listing came to; the attributes are those of `catsdogs.regression.fit.Fit`."""

    line: Line
    costs: list[float]
    stopped: Stopped


def run_listings(
    problem: Problem, max_epochs: int, after_epoch: Callable[[], object] = lambda: None
) -> dict[str, Climb]:
    """Run the four listings as the table's script did, one after the other."""
    random = problem.random()
    listings: dict[str, tuple[Callable[[], Step], float]] = {
        "sgd": (_sgd, -1.0),
        "momentum": (_momentum, -1.0),
        "rmsprop": (_rmsprop, -1.0),
        "adam": (_adam, 1.0),
    }
    climbs = {}
    for method, (make_step, sign) in listings.items():
        line, costs = start(random), list[float]()
        steps = make_step(), make_step()
        for batches in itertools.islice(epochs(problem.train, random), max_epochs):
            line = _epoch(line, steps, sign, batches.tolist())
            costs.append(problem.train.cost(line))
            after_epoch()
            if stop_reason(costs):
                break
        climbs[method] = Climb(line, costs, stop_reason(costs) or "epochs")
    return climbs


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
