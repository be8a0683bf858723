"""How a number is written: one way for each kind, everywhere in a report."""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.ticker import EngFormatter

NOTHING = "-"


def percent(share: float) -> str:
    """Write a share of 0 to 1 as percent, such as 97.5 %."""
    return NOTHING if math.isnan(share) else f"{100 * share:.1f} %"


def points(difference: float) -> str:
    """Write a difference of two shares in percentage points with its sign, such as +0.5."""
    return NOTHING if math.isnan(difference) else f"{100 * difference:+.1f}"


def cost(value: float) -> str:
    """Write a cost, such as 0.1471."""
    return NOTHING if math.isnan(value) else f"{value:.4f}"


def difference(value: float) -> str:
    """Write an absolute difference, such as 1.2e-07; 0 is said to be 0."""
    return "0" if value == 0 else NOTHING if math.isnan(value) else f"{value:.1e}"


def seconds(value: float) -> str:
    """Write a time with its unit, such as 1.16 ms or 12.3 s."""
    if math.isnan(value):
        return NOTHING
    return f"{value:.1f} s" if value >= 1 else EngFormatter(unit="s", places=2)(value)


def size(nbytes: int) -> str:
    """Write a number of bytes with a decimal unit, such as 16.8 MB."""
    return f"{nbytes} B" if nbytes < 1000 else EngFormatter(unit="B", places=1)(nbytes)


def learning_rate(value: float | None) -> str:
    """Write a learning rate, such as 0.001."""
    return NOTHING if value is None else f"{value:g}"


def count(number: int, noun: str) -> str:
    """Write a number of things, such as 1 seed or 3 seeds."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def mean_and_deviation(values: Sequence[float]) -> tuple[float, float]:
    """Return the mean and the standard deviation (n - 1) of a sample; nan where there is none."""
    if not values:
        return math.nan, math.nan
    deviation = float(np.std(values, ddof=1)) if len(values) > 1 else math.nan
    return float(np.mean(values)), deviation
