"""Fit the line with an optimizer of torch's kind, one small batch after the other."""

import dataclasses
import itertools
import math
import time
from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import StepLR

from catsdogs.errors import UserError

MakeOptimizer = Callable[[list[Tensor]], Optimizer]
Stopped = Literal["flat", "epochs", "diverged"]

FLAT = 1e-6  # a change of the cost between two epochs that ends a fit


Floats = NDArray[np.float64]
SEED, ROWS, TRAIN_ROWS, BATCH_SIZE = 42, 20_000, 16_000, 64


class Line(NamedTuple):
    """A straight line, in standard deviations unless something else is said."""

    slope: float
    intercept: float


@dataclasses.dataclass(frozen=True)
class Rows:
    """Carat and price of some diamonds, in standard deviations from the mean, (rows,) each."""

    carat: Floats
    price: Floats

    def cost(self, line: Line) -> float:
        """Return the mean squared error of a line; inf or nan for one too steep or too far."""
        with np.errstate(over="ignore", invalid="ignore"):
            error = self.price - (line.slope * self.carat + line.intercept)
            return float(np.mean(error**2))


@dataclasses.dataclass(frozen=True)
class Problem:
    """The rows to fit, the rows to judge by, and what leads back to carats and dollars.

    Attributes:
        train: The rows that are fitted.
        test: The rows that a fit is judged by.
        mean: (2,), of carat and of price in dollars, over both.
        deviation: (2,), as `mean`.
        random_state: Of numpy's generator, as the shuffling of the table left it.
    """

    train: Rows
    test: Rows
    mean: Floats
    deviation: Floats
    random_state: dict[str, object]

    def random(self) -> np.random.RandomState:
        """Return a generator that gives every caller the same start and the same orders."""
        random = np.random.RandomState()
        random.set_state(self.random_state)
        return random

    def in_dollars(self, line: Line) -> Line:
        """Return a line with the slope in dollars per carat and the intercept in dollars."""
        slope = line.slope * self.deviation[1] / self.deviation[0]
        intercept = self.mean[1] + self.deviation[1] * line.intercept - slope * self.mean[0]
        return Line(float(slope), float(intercept))

    def rmse(self, line: Line) -> float:
        """Return the root of the mean squared error on the test rows, in dollars."""
        return float(self.deviation[1] * np.sqrt(self.test.cost(line)))

    def least_squares(self) -> Line:
        """Return the line with the lowest cost on the training rows, without any optimizer."""
        columns = np.column_stack([self.train.carat, np.ones_like(self.train.carat)])
        slope, intercept = np.linalg.lstsq(columns, self.train.price)[0]
        return Line(float(slope), float(intercept))


def load_diamonds() -> Floats:
    """Return the diamonds table of plotnine: carat and price in dollars, (53940, 2).

    Raises:
        UserError: If plotnine, an extra of this project, is not installed.
    """
    try:
        from plotnine.data import diamonds
    except ImportError as error:
        raise UserError(
            f"the table of diamonds comes with plotnine, and that cannot be imported ({error}): "
            f"pip install 'catsdogs[diamonds]'"
        ) from error
    return np.array(diamonds[["carat", "price"]], dtype=np.float64)


def prepare(table: Floats, rows: int = ROWS, train_rows: int = TRAIN_ROWS) -> Problem:
    """Shuffle, cut, standardise and split a table as the tutorial does.

    Args:
        table: (at least `rows`, 2), carat and price; left as it is.
        rows: So many are kept, and standardised together.
        train_rows: The first of them, a multiple of `BATCH_SIZE`; the rest are for the test.
    """
    random = np.random.RandomState(SEED)  # the legacy generator, for the tutorial's own rows
    kept = table.copy("K")  # the layout in memory decides the last digit of the means
    random.shuffle(kept)
    kept = kept[:rows]
    mean, deviation = kept.mean(axis=0), kept.std(axis=0)
    carat, price = ((kept - mean) / deviation).T.copy()
    return Problem(
        train=Rows(carat[:train_rows], price[:train_rows]),
        test=Rows(carat[train_rows:], price[train_rows:]),
        mean=mean,
        deviation=deviation,
        random_state=random.get_state(legacy=False),
    )


def start(random: np.random.RandomState) -> Line:
    """Draw the line that a fit starts from."""
    return Line(random.randn(), random.randn())


def epochs(rows: Rows, random: np.random.RandomState) -> Iterator[Floats]:
    """Yield what the gradients of every epoch need of its batches, without end.

    The cost of a batch is quadratic in slope and intercept, so four means say all about it, and a
    whole epoch of them is taken at once. As in the tutorial, an epoch shuffles the order of the
    one before.

    Yields:
        (batches, 4): the means of carat^2, carat, carat * price and price.
    """
    order = np.arange(len(rows.carat))
    while True:
        order = order[random.permutation(len(order))]
        x = rows.carat[order].reshape(-1, BATCH_SIZE)
        y = rows.price[order].reshape(-1, BATCH_SIZE)
        yield np.stack([x * x, x, x * y, y]).mean(axis=2).T


@dataclasses.dataclass(frozen=True)
class Fit:
    """What an optimizer came to.

    Attributes:
        line: At the end.
        costs: Mean squared error on all training rows, after each epoch.
        stopped: Why: the cost went `flat`, the `epochs` were used up, or it `diverged`, which says
            that the last cost is no finite number.
        seconds: From the first draw to the last cost.
    """

    line: Line
    costs: list[float]
    stopped: Stopped
    seconds: float


def fit(
    problem: Problem,
    make_optimizer: MakeOptimizer,
    *,
    clip_value: float | None,
    max_epochs: int,
    lr_step: int | None,
    after_epoch: Callable[[], object] = lambda: None,
) -> Fit:
    """Fit the line, from the same start and with the same batches for every optimizer.

    Args:
        problem: Its training rows are used.
        make_optimizer: Builds the optimizer of one tensor, slope and intercept in float64.
        clip_value: Every gradient entry is cut to this absolute value, if given.
        max_epochs: At most so many.
        lr_step: Epochs after which the learning rate falls to a tenth; None keeps it constant.
        after_epoch: Is called when an epoch is done.
    """
    started = time.perf_counter()
    random = problem.random()
    weight = torch.tensor(start(random), dtype=torch.float64)
    weight.grad = torch.zeros_like(weight)
    optimizer = make_optimizer([weight])
    schedule = None if lr_step is None else StepLR(optimizer, lr_step)
    costs: list[float] = []
    for batches in itertools.islice(epochs(problem.train, random), max_epochs):
        _take_steps(optimizer, weight, weight.grad, batches, clip_value)
        if schedule is not None:
            schedule.step()
        costs.append(problem.train.cost(_line(weight)))
        after_epoch()
        if stop_reason(costs):
            break
    seconds = time.perf_counter() - started
    return Fit(_line(weight), costs, stop_reason(costs) or "epochs", seconds)


def stop_reason(costs: list[float]) -> Stopped | None:
    """Return why a fit with these costs goes no further, or None where it does."""
    if not math.isfinite(costs[-1]):
        return "diverged"
    return "flat" if len(costs) > 1 and abs(costs[-2] - costs[-1]) < FLAT else None


def gradient_terms(batches: Floats) -> tuple[Tensor, Tensor]:
    """Return what the gradient of each batch's mean squared error is made of.

    It is `matrix @ weight + offset`. Autograd gives the same in seven times the time, on tensors
    of two numbers.

    Args:
        batches: (batches, 4), see `catsdogs.regression.fit.epochs`.

    Returns:
        The matrices, (batches, 2, 2), and the offsets, (batches, 2).
    """
    squares, carats, products, prices = batches.T
    ones = np.ones_like(carats)
    matrices = np.array([[squares, carats], [carats, ones]]).transpose(2, 0, 1)
    offsets = np.array([products, prices]).T
    return torch.from_numpy(2 * matrices), torch.from_numpy(-2 * offsets)


def _take_steps(
    optimizer: Optimizer, weight: Tensor, grad: Tensor, batches: Floats, clip_value: float | None
) -> None:
    matrices, offsets = gradient_terms(batches)
    for matrix, offset in zip(matrices.unbind(), offsets.unbind(), strict=True):
        torch.addmv(offset, matrix, weight, out=grad)
        if clip_value is not None:
            grad.clamp_(-clip_value, clip_value)
        optimizer.step()


def _line(weight: Tensor) -> Line:
    return Line(*weight.tolist())
