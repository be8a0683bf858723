"""Numbers as text: one function for each kind of number, for reports and messages."""

import math
from collections.abc import Callable, Iterable, Sequence

import numpy as np

NOTHING = "-"
MOST_LISTED = 20  # items in a sentence
SI_PREFIXES = ("p", "n", "\N{MICRO SIGN}", "m", "", "k", "M", "G", "T", "P")
PREFIXES = dict(zip(range(-4, 6), SI_PREFIXES, strict=True))  # of each power of 1000


def percent(share: float) -> str:
    """Format a share from 0 to 1 as a percentage, such as 97.5 %."""
    return _or_nothing(share, lambda value: f"{100 * value:.1f} %")


def points(difference: float) -> str:
    """Format a difference of two shares in percentage points with its sign, such as +0.5."""
    return _or_nothing(difference, lambda value: f"{100 * value:+z.1f}")


def cost(value: float) -> str:
    """Format a cost, such as 0.1471."""
    return _or_nothing(value, lambda value: f"{value:.4f}")


def difference(value: float) -> str:
    """Format an absolute difference, such as 1.2e-07, or 0."""
    return "0" if value == 0 else _or_nothing(value, lambda value: f"{value:.1e}")


def seconds(value: float) -> str:
    """Format a time with its unit, such as 1.16 ms or 12.3 s."""
    if value >= 1:
        return f"{value:.1f} s"
    return _or_nothing(value, lambda value: _with_prefix(value, "s", 2))


def size(nbytes: int) -> str:
    """Format a number of bytes with a decimal unit, such as 16.8 MB."""
    return f"{nbytes} B" if nbytes < 1000 else _with_prefix(nbytes, "B", 1)


def ratio(value: float) -> str:
    """Format a ratio, such as 1.05."""
    return _or_nothing(value, lambda value: f"{value:.2f}")


def learning_rate(value: float | None) -> str:
    """Format a learning rate, such as 0.001."""
    return NOTHING if value is None else f"{value:g}"


def p_value(value: float | None) -> str:
    """Format a p-value, such as 0.031 or < 0.001."""
    if value is None:
        return NOTHING
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def count(number: int, noun: str) -> str:
    """Format a count with its noun, such as 1 seed or 3 seeds."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def listed(items: Iterable[object]) -> str:
    """Join items as a list in a sentence, such as 0, 1 and 2."""
    *first, last = map(str, items)
    return f"{', '.join(first)} and {last}" if first else last


def numbered(noun: str, numbers: Sequence[int]) -> str:
    """Join a noun and its numbers, such as seed 1 or seeds 1 and 2."""
    return f"{noun if len(numbers) == 1 else f'{noun}s'} {listed(some(numbers))}"


def some(items: Sequence[object]) -> list[str]:
    """Return items as texts; of a long sequence the first ones and the number of the others."""
    if len(items) <= MOST_LISTED:
        return list(map(str, items))
    return [*map(str, items[: MOST_LISTED - 1]), f"{len(items) - MOST_LISTED + 1:,} more"]


def mean_percent(shares: Sequence[float]) -> str:
    """Format the mean and standard deviation of shares, such as 97.5 (0.4) %."""
    return _mean(shares, lambda value: f"{100 * value:.1f}", " %")


def mean_cost(values: Sequence[float]) -> str:
    """Format the mean and standard deviation of costs, such as 0.1471 (0.0123)."""
    return _mean(values, lambda value: f"{value:.4f}")


def mean_seconds(values: Sequence[float]) -> str:
    """Format the mean and standard deviation of times, such as 2.15 (0.04) s."""
    return _mean(values, lambda value: f"{value:.2f}", " s")


def mean_number(values: Sequence[float]) -> str:
    """Format the mean and standard deviation of numbers near 1, such as 2.3 (0.6)."""
    return _mean(values, lambda value: f"{value:.1f}")


def mean_and_deviation(values: Sequence[float]) -> tuple[float, float]:
    """Return the mean and the standard deviation (n - 1) of a sample.

    Both are nan for an empty sample; the deviation is nan for a single value.
    """
    if not values:
        return math.nan, math.nan
    deviation = float(np.std(values, ddof=1)) if len(values) > 1 else math.nan
    return float(np.mean(values)), deviation


def _mean(values: Sequence[float], write: Callable[[float], str], unit: str = "") -> str:
    mean, deviation = mean_and_deviation(values)
    if math.isnan(mean):
        return NOTHING
    if math.isnan(deviation):
        return f"{write(mean)}{unit}"
    return f"{write(mean)} ({write(deviation)}){unit}"


def _or_nothing(value: float, write: Callable[[float], str]) -> str:
    return NOTHING if math.isnan(value) else write(value)


def _with_prefix(value: float, unit: str, places: int) -> str:
    """Format a value with the SI prefix that leaves 1 to 1000, as matplotlib's EngFormatter does.

    Commands that draw nothing need not import matplotlib for it.
    """
    power = math.floor(math.log10(value) / 3) if value > 0 else 0
    power = min(max(power, min(PREFIXES)), max(PREFIXES))
    if round(value / 1000**power, places) >= 1000 and power < max(PREFIXES):
        power += 1
    return f"{value / 1000**power:.{places}f} {PREFIXES[power]}{unit}"
