"""Linear regression of price on carat with any torch optimizer, batch by batch."""

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

Floats = NDArray[np.float64]
MakeOptimizer = Callable[[list[Tensor]], Optimizer]
Stopped = Literal["flat", "epochs", "diverged"]

SEED, ROWS, TRAIN_ROWS, BATCH_SIZE = 42, 20_000, 16_000, 64  # of the tutorial
FLAT = 1e-6  # a fit ends when the cost changes by less between two epochs


class Line(NamedTuple):
    """A straight line, in standard deviations unless stated otherwise."""

    slope: float
    intercept: float


@dataclasses.dataclass(frozen=True)
class Rows:
    """Carat and price of diamonds, in standard deviations from the mean, (rows,) each."""

    carat: Floats
    price: Floats

    def cost(self, line: Line) -> float:
        """Return the mean squared error of a line; inf or nan if it overflows."""
        with np.errstate(over="ignore", invalid="ignore"):
            error = self.price - (line.slope * self.carat + line.intercept)
            return float(np.mean(error**2))


@dataclasses.dataclass(frozen=True)
class Problem:
    """Training and test rows, with the scaling back to carats and dollars.

    Attributes:
        train: Rows that are fitted.
        test: Rows on which a fit is evaluated.
        mean: Means of carat and of price in dollars over all rows, (2,).
        deviation: Standard deviations, (2,).
        random_state: State of numpy's generator after the shuffling of the table.
    """

    train: Rows
    test: Rows
    mean: Floats
    deviation: Floats
    random_state: dict[str, object]

    def random(self) -> np.random.RandomState:
        """Return a new generator, so that every fit has the same start and the same batches."""
        random = np.random.RandomState()
        random.set_state(self.random_state)
        return random

    def in_dollars(self, line: Line) -> Line:
        """Return a line with the slope in dollars per carat and the intercept in dollars."""
        slope = line.slope * self.deviation[1] / self.deviation[0]
        intercept = self.mean[1] + self.deviation[1] * line.intercept - slope * self.mean[0]
        return Line(float(slope), float(intercept))

    def rmse(self, line: Line) -> float:
        """Return the root mean squared error on the test rows, in dollars."""
        return float(self.deviation[1] * np.sqrt(self.test.cost(line)))

    def least_squares(self) -> Line:
        """Return the line with the lowest cost on the training rows, in closed form."""
        columns = np.column_stack([self.train.carat, np.ones_like(self.train.carat)])
        slope, intercept = np.linalg.lstsq(columns, self.train.price)[0]
        return Line(float(slope), float(intercept))


def load_diamonds() -> Floats:
    """Return carat and price in dollars from plotnine's diamonds table, (53940, 2).

    Raises:
        UserError: If plotnine, an optional dependency, cannot be imported.
    """
    try:
        from plotnine.data import diamonds
    except ImportError as error:
        raise UserError(
            f"cannot import plotnine, which provides the diamonds table ({error}); "
            "pip install 'catsdogs[diamonds]'"
        ) from error
    return np.array(diamonds[["carat", "price"]], dtype=np.float64)


def prepare(table: Floats, rows: int = ROWS, train_rows: int = TRAIN_ROWS) -> Problem:
    """Shuffle, truncate, standardise and split a table as the tutorial does.

    Args:
        table: Carat and price, (at least `rows`, 2); not modified.
        rows: Number of rows that are kept and standardised together.
        train_rows: Number of training rows, a multiple of `BATCH_SIZE`; the rest are test rows.
    """
    random = np.random.RandomState(SEED)  # the legacy generator selects the tutorial's rows
    kept = table.copy("K")  # the memory layout affects the last digit of the means
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


@dataclasses.dataclass(frozen=True)
class Fit:
    """Result of a fit.

    Attributes:
        line: The final line.
        costs: Mean squared error on all training rows after each epoch.
        stopped: Why the fit ended: the cost was `flat`, the `epochs` were used up, or the fit
            `diverged`, so that the last cost is not finite.
        seconds: Duration of the fit.
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
    """Fit the line, with the same start and the same batches for every optimizer.

    Args:
        problem: Its training rows are fitted.
        make_optimizer: Returns the optimizer of one float64 tensor of slope and intercept.
        clip_value: Limit for the absolute value of each gradient entry; None for no limit.
        max_epochs: Maximum number of epochs.
        lr_step: Number of epochs after which the learning rate is divided by ten; None for never.
        after_epoch: Called after each epoch.
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
    """Return why a fit with these costs ends, or None if it continues."""
    if not math.isfinite(costs[-1]):
        return "diverged"
    return "flat" if len(costs) > 1 and abs(costs[-2] - costs[-1]) < FLAT else None


def start(random: np.random.RandomState) -> Line:
    """Return the random line that a fit starts from."""
    return Line(random.randn(), random.randn())


def epochs(rows: Rows, random: np.random.RandomState) -> Iterator[Floats]:
    """Yield the sufficient statistics of the batches of each epoch, without end.

    The cost of a batch is quadratic in slope and intercept, so four means determine it, and those
    of a whole epoch are computed at once. As in the tutorial, each epoch permutes the order of the
    previous one.

    Yields:
        Means of carat^2, carat, carat * price and price, (batches, 4).
    """
    order = np.arange(len(rows.carat))
    while True:
        order = order[random.permutation(len(order))]
        x = rows.carat[order].reshape(-1, BATCH_SIZE)
        y = rows.price[order].reshape(-1, BATCH_SIZE)
        yield np.stack([x * x, x, x * y, y]).mean(axis=2).T


def gradient_terms(batches: Floats) -> tuple[Tensor, Tensor]:
    """Return matrices and offsets such that `matrix @ weight + offset` is a batch's gradient.

    The gradient is that of the mean squared error. Autograd takes seven times as long on tensors
    of two numbers.

    Args:
        batches: Means from `epochs`, (batches, 4).

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
