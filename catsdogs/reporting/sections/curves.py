"""The monograph's figures 2 to 9: cost of every iteration, cost and accuracy of every epoch."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes

from catsdogs.reporting.document import Figure, Panels
from catsdogs.reporting.plotting import method_panels, styled
from catsdogs.reporting.style import line_style, role_and_method
from catsdogs.runs.reader import Floats, Run, Runs

DONE, DIVERGED = "finished", "diverged"
POINTS = 800  # a longer series is drawn as means of equal stretches


@dataclass(frozen=True)
class Curve:
    """What is drawn of every run.

    Attributes:
        name: Stem of the files.
        series: Takes it from a run.
        x: Name of the axis.
        y: Name of the axis.
        start: Place of the series' first value.
        step: From one value's place to the next.
        ceiling: Where the axis of y ends; None for above the highest value.
        weight: Factor to the width of lines.
    """

    name: str
    series: Callable[[Run], Floats]
    x: str
    y: str
    start: float = 0.0
    step: float = 1.0
    ceiling: float | None = None
    weight: float = 1.0


def training_cost(runs: Runs) -> Panels:
    """Draw the cost of every iteration's batch (figures 2, 4, 6 and 8)."""
    lengths = [len(run.costs) for of_label in drawable(runs).values() for run in of_label]
    costs = np.concatenate([run.costs for run in runs.found])
    costs = costs[np.isfinite(costs)]
    highest = float(costs.max(initial=0.0))
    ceiling = max(1.0, 1.2 * float(np.quantile(costs, 0.99))) if len(costs) else 1.0
    stretch = -(-max(lengths) // POINTS)
    each = "iteration" if stretch == 1 else f"{stretch} iterations"
    cut = f" Above {ceiling:.2g} it is cut off; the highest cost is {highest:.3g}."
    curve = Curve(
        name="training-cost",
        series=lambda run: _means(run.costs, stretch),
        x="iteration",
        y="training cost",
        start=(1 + stretch) / 2,
        step=stretch,
        ceiling=ceiling,
        weight=0.6,
    )
    return Panels(
        caption=f"Training cost of every {each}: the mean over the seeds, and as a band the range "
        "from the lowest to the highest. Counterpart of the monograph's figures 2, 4, 6 and 8."
        + (cut if highest > ceiling else ""),
        figures=_per_method(runs, curve),
    )


def validation_cost(runs: Runs) -> Panels:
    """Draw the validation cost of every epoch (the left halves of figures 3, 5, 7 and 9)."""
    curve = Curve(
        name="validation-cost",
        series=lambda run: run.epochs["val_cost"],
        x="epoch",
        y="validation cost",
    )
    return Panels(
        caption="Validation cost after every epoch; epoch 0 is the untrained head. "
        "Counterpart of the monograph's figures 3, 5, 7 and 9.",
        figures=_per_method(runs, curve),
    )


def validation_accuracy(runs: Runs) -> Panels:
    """Draw the validation accuracy of every epoch (the right halves)."""
    curve = Curve(
        name="validation-accuracy",
        series=lambda run: 100 * run.epochs["val_accuracy"],
        x="epoch",
        y="validation accuracy, %",
    )
    return Panels(
        caption="Validation accuracy after every epoch; epoch 0 is the untrained head. "
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
        there = np.asarray(~np.isnan(values[label]).any(axis=0))  # a mean over fewer would jump
        places = (curve.start + curve.step * np.arange(len(there)))[there]
        shown = values[label][:, there]
        twin = _equal_native(label, values)
        words = [style.words, f"equal to {twin}" if twin else ""]
        words += [f"seed {run.seed} diverged" for run in shown_runs[label] if run.status != DONE]
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


def drawable(runs: Runs, statuses: Sequence[str] = (DONE, DIVERGED)) -> dict[str, tuple[Run, ...]]:
    """Return the runs that end by themselves, by contender; others would cut a mean short."""
    chosen = {
        label: tuple(run for run in runs.of(label) if run.status in statuses and len(run.costs))
        for label in runs.comparison.contenders
    }
    return {label: of_label for label, of_label in chosen.items() if of_label}


def stacked(series: Sequence[Floats]) -> Floats:
    """Return (runs, length of the longest); where a run stopped or diverged it is nan."""
    stack = np.full((len(series), max(map(len, series))), np.nan)
    for row, values in zip(stack, series, strict=True):
        row[: len(values)] = values
    stack[~np.isfinite(stack)] = np.nan
    return stack


def _equal_native(label: str, values: dict[str, Floats]) -> str:
    """Return the native twin if every value of every seed is the twin's, otherwise nothing."""
    role, method = role_and_method(label)
    twin = f"native_{method}"
    equal = role != "native" and twin in values
    return twin if equal and np.array_equal(values[label], values[twin], equal_nan=True) else ""


def _means(values: Floats, stretch: int) -> Floats:
    """Return the means of stretches of that length; what is left over at the end is dropped."""
    whole = len(values) // stretch * stretch
    means: Floats = values[:whole].reshape(-1, stretch).mean(axis=1)
    return means


def _in_words(label: str, shown: Floats, twin: str) -> str:
    if not shown.size:
        return f"{label}: no value"
    ends = shown.mean(axis=0)[[0, -1]]
    return f"{label} goes from {ends[0]:.3g} to {ends[1]:.3g}" + (f", as {twin}" if twin else "")
