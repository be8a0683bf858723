"""Curves: training cost by iteration, validation cost and accuracy by epoch."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes

from catsdogs.io import formatting
from catsdogs.reporting.document import Figure, Panels, Paragraph, Section
from catsdogs.reporting.plotting import method_panels, styled
from catsdogs.reporting.style import line_style, role_and_method
from catsdogs.runs.reader import Floats, Run, Runs

DONE, DIVERGED = "finished", "diverged"
POINTS = 800  # a longer series is drawn as means over blocks of iterations


@dataclass(frozen=True)
class Curve:
    """A series of every run and the axes it is drawn on.

    Attributes:
        name: Prefix of the figures' names.
        series: Returns the series of a run.
        x: Label of the x axis.
        y: Label of the y axis.
        start: x of the first value.
        step: Distance in x between values.
        ceiling: Upper limit of the y axis; None for automatic limits.
        weight: Factor for the line widths.
    """

    name: str
    series: Callable[[Run], Floats]
    x: str
    y: str
    start: float = 0.0
    step: float = 1.0
    ceiling: float | None = None
    weight: float = 1.0


def curves_section(runs: Runs) -> Section:
    """Return the curves, which are the counterparts of the monograph's figures 2 to 9.

    Args:
        runs: One run for each contender and seed, as `chosen_runs` returns them.
    """
    if not drawable(runs):
        return Section("Curves", (Paragraph("No run finished or diverged, so no curve is drawn."),))
    return Section(
        "Curves", (training_cost(runs), validation_cost(runs), validation_accuracy(runs))
    )


def drawable(runs: Runs, statuses: Sequence[str] = (DONE, DIVERGED)) -> dict[str, tuple[Run, ...]]:
    """Return the runs that ended by themselves, by contender; others would cut the mean short."""
    chosen = {
        label: tuple(run for run in runs.of(label) if run.status in statuses and len(run.costs))
        for label in runs.comparison.contenders
    }
    return {label: of_label for label, of_label in chosen.items() if of_label}


def stacked(series: Sequence[Floats]) -> Floats:
    """Return series as rows of one array, (runs, longest length); nan after a run's end."""
    stack = np.full((len(series), max(map(len, series))), np.nan)
    for row, values in zip(stack, series, strict=True):
        row[: len(values)] = values
    stack[~np.isfinite(stack)] = np.nan
    return stack


def training_cost(runs: Runs) -> Panels:
    """Draw the cost of each iteration's batch (the monograph's figures 2, 4, 6 and 8)."""
    lengths = [len(run.costs) for of_label in drawable(runs).values() for run in of_label]
    costs = np.concatenate([run.costs for run in runs.found])
    costs = costs[np.isfinite(costs)]
    highest = float(costs.max(initial=0.0))
    ceiling = max(1.0, 1.2 * float(np.quantile(costs, 0.99))) if len(costs) else 1.0
    block = -(-max(lengths) // POINTS)
    each = "of every iteration" if block == 1 else f"averaged over blocks of {block} iterations"
    clipped = f" The axis ends at {ceiling:.2g}; the highest cost is {highest:.3g}."
    curve = Curve(
        name="training-cost",
        series=lambda run: _means(run.costs, block),
        x="iteration",
        y="training cost",
        start=(1 + block) / 2,
        step=block,
        ceiling=ceiling,
        weight=0.6,
    )
    return Panels(
        caption=f"Training cost {each}: mean over the seeds, and a band from the lowest to the "
        "highest seed. Counterpart of the monograph's figures 2, 4, 6 and 8."
        + (clipped if highest > ceiling else ""),
        figures=_per_method(runs, curve),
    )


def validation_cost(runs: Runs) -> Panels:
    """Draw the validation cost of each epoch (the left halves of figures 3, 5, 7 and 9)."""
    return _per_epoch(runs, "validation cost", "", lambda run: run.epochs["val_cost"])


def validation_accuracy(runs: Runs) -> Panels:
    """Draw the validation accuracy of each epoch (the right halves of these figures)."""
    return _per_epoch(
        runs, "validation accuracy", ", %", lambda run: 100 * run.epochs["val_accuracy"]
    )


def _per_epoch(runs: Runs, what: str, unit: str, series: Callable[[Run], Floats]) -> Panels:
    curve = Curve(name=what.replace(" ", "-"), series=series, x="epoch", y=what + unit)
    return Panels(
        caption=f"{what.capitalize()} after every epoch; epoch 0 is the untrained head. "
        "Counterpart of the monograph's figures 3, 5, 7 and 9.",
        figures=_per_method(runs, curve),
    )


@styled
def _per_method(runs: Runs, curve: Curve) -> tuple[Figure, ...]:
    shown_runs = drawable(runs)
    values = {
        label: stacked([curve.series(run) for run in of_label])
        for label, of_label in shown_runs.items()
    }

    def draw(axes: Axes, label: str) -> str:
        style = line_style(label, runs.comparison.contenders)
        # Only where all runs have a value: the mean over fewer runs would jump.
        shared = np.asarray(~np.isnan(values[label]).any(axis=0))
        places = (curve.start + curve.step * np.arange(len(shared)))[shared]
        shown = values[label][:, shared]
        twin = _equal_native(label, values)
        words = [style.words, f"equal to {twin}" if twin else ""]
        diverged = [run.seed for run in shown_runs[label] if run.status != DONE]
        words += [f"{formatting.numbered('seed', diverged)} diverged" if diverged else ""]
        legend = f"{label} ({', '.join(filter(None, words))})"
        axes.plot(places, shown.mean(axis=0), label=legend, **style.line(curve.weight))
        if len(shown) > 1 and not twin:
            low, high = shown.min(axis=0), shown.max(axis=0)
            axes.fill_between(places, low, high, color=style.colour, alpha=0.2, linewidth=0)
        return _in_words(label, shown, twin)

    figures, drawn = method_panels(curve.name, list(values), curve.x, curve.y, draw)
    for axes in drawn if curve.ceiling else ():
        axes.set_ylim(0, curve.ceiling)
    return figures


def _equal_native(label: str, values: dict[str, Floats]) -> str:
    """Return the native twin if all values of all seeds equal the twin's, otherwise nothing."""
    role, method = role_and_method(label)
    twin = f"native_{method}"
    equal = role != "native" and twin in values
    return twin if equal and np.array_equal(values[label], values[twin], equal_nan=True) else ""


def _means(values: Floats, block: int) -> Floats:
    """Return the means over blocks of iterations; an incomplete block at the end is dropped."""
    whole = len(values) // block * block
    means: Floats = values[:whole].reshape(-1, block).mean(axis=1)
    return means


def _in_words(label: str, shown: Floats, twin: str) -> str:
    if not shown.size:
        return f"{label}: no value"
    ends = shown.mean(axis=0)[[0, -1]]
    equal = f", equal to {twin}" if twin else ""
    return f"{label} goes from {ends[0]:.3g} to {ends[1]:.3g}{equal}"
