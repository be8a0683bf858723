"""The tutorial's rows and batches: what a diamond costs, from its weight alone."""

import dataclasses
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from catsdogs.errors import UserError

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
