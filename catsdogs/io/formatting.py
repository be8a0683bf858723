"""How a number is written: one way for each kind, everywhere in a report."""

import math
from collections.abc import Callable, Iterable, Sequence

import numpy as np
from matplotlib.ticker import EngFormatter

NOTHING = "-"


def percent(share: float) -> str:
    """Write a share of 0 to 1 as percent, such as 97.5 %."""
    return _or_nothing(share, lambda value: f"{100 * value:.1f} %")


def points(difference: float) -> str:
    """Write a difference of two shares in percentage points with its sign, such as +0.5."""
    return _or_nothing(difference, lambda value: f"{100 * value:+z.1f}")


def cost(value: float) -> str:
    """Write a cost, such as 0.1471."""
    return _or_nothing(value, lambda value: f"{value:.4f}")


def difference(value: float) -> str:
    """Write an absolute difference, such as 1.2e-07; none at all is 0."""
    return "0" if value == 0 else _or_nothing(value, lambda value: f"{value:.1e}")


def seconds(value: float) -> str:
    """Write a time with its unit, such as 1.16 ms or 12.3 s."""
    short = EngFormatter(unit="s", places=2)
    return _or_nothing(value, lambda value: f"{value:.1f} s" if value >= 1 else short(value))


def size(nbytes: int) -> str:
    """Write a number of bytes with a decimal unit, such as 16.8 MB."""
    return f"{nbytes} B" if nbytes < 1000 else EngFormatter(unit="B", places=1)(nbytes)


def ratio(value: float) -> str:
    """Write how many times as much, such as 1.05."""
    return _or_nothing(value, lambda value: f"{value:.2f}")


def learning_rate(value: float | None) -> str:
    """Write a learning rate, such as 0.001."""
    return NOTHING if value is None else f"{value:g}"


def p_value(value: float | None) -> str:
    """Write a p value, such as 0.031; a small one is below 0.001."""
    if value is None:
        return NOTHING
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def count(number: int, noun: str) -> str:
    """Write a number of things, such as 1 seed or 3 seeds."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def listed(items: Iterable[object]) -> str:
    """Write things one after another, such as 0, 1 and 2."""
    *first, last = map(str, items)
    return f"{', '.join(first)} and {last}" if first else last


def numbered(noun: str, numbers: Sequence[int]) -> str:
    """Name things by their numbers, such as seed 1 or seeds 1 and 2."""
    return f"{noun if len(numbers) == 1 else f'{noun}s'} {listed(numbers)}"


def mean_percent(shares: Sequence[float]) -> str:
    """Write mean and standard deviation of shares, such as 97.5 (0.4) %."""
    return _mean(shares, lambda value: f"{100 * value:.1f}", " %")


def mean_cost(values: Sequence[float]) -> str:
    """Write mean and standard deviation of costs, such as 0.1471 (0.0123)."""
    return _mean(values, lambda value: f"{value:.4f}")


def mean_seconds(values: Sequence[float]) -> str:
    """Write mean and standard deviation of times, such as 2.15 (0.04) s."""
    return _mean(values, lambda value: f"{value:.2f}", " s")


def mean_number(values: Sequence[float]) -> str:
    """Write mean and standard deviation of numbers near 1, such as 2.3 (0.6)."""
    return _mean(values, lambda value: f"{value:.1f}")


def mean_and_deviation(values: Sequence[float]) -> tuple[float, float]:
    """Return the mean and the standard deviation (n - 1) of a sample; nan where there is none."""
    if not values:
        return math.nan, math.nan
    deviation = float(np.std(values, ddof=1)) if len(values) > 1 else math.nan
    return float(np.mean(values)), deviation


def _mean(values: Sequence[float], write: Callable[[float], str], unit: str = "") -> str:
    mean, deviation = mean_and_deviation(values)
    if math.isnan(mean):
        return NOTHING
    return (
        f"{write(mean)}{unit}"
        if math.isnan(deviation)
        else f"{write(mean)} ({write(deviation)}){unit}"
    )


def _or_nothing(value: float, write: Callable[[float], str]) -> str:
    return NOTHING if math.isnan(value) else write(value)


def readable(nbytes: int) -> str:
    """Return a number of bytes with a decimal unit, such as 16.8 MB."""
    number = float(nbytes)
    for unit in ("B", "KB", "MB", "GB"):
        if number < 1000:
            return f"{nbytes} B" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1000
    return f"{number:.1f} TB"
