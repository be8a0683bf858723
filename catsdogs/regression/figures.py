"""The comparison's two charts, as SVG and PNG."""

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from catsdogs.io.files import atomic_file
from catsdogs.regression.experiment import METHODS, ExperimentResult
from catsdogs.regression.fit import Floats
from catsdogs.regression.published import TABLE

STYLE: dict[Any, Any] = {
    "axes.grid": True,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": "medium",
    "font.size": 9.0,
    "grid.color": "#e6e6e6",
    "svg.hashsalt": "catsdogs",  # the same names inside the file every time
}
NAMES = {"sgd": "SGD", "momentum": "Momentum", "rmsprop": "RMSprop", "adam": "Adam"}
BARS = {"published": "#9a9a9a", "native": "#56b4e9", "custom": "#0072b2"}
LABEL: dict[str, Any] = {
    "va": "center",
    "fontsize": 7.5,
    "bbox": {"facecolor": "white", "edgecolor": "none", "pad": 0.5},
}
# A wide light line, and a thin dark one upon it, show that two equal curves are two.
LINES: dict[str, dict[str, Any]] = {
    "native": {"color": BARS["native"], "linewidth": 4.5},
    "custom": {"color": BARS["custom"], "linewidth": 1.3, "linestyle": (0, (3.6, 2.6))},
}


def write_figures(outcome: ExperimentResult, directory: Path) -> None:
    """Write `runtime_and_rmse` and `costs`, each as SVG and PNG; the same for the same numbers."""
    with matplotlib.rc_context(STYLE):
        for name, figure in (
            ("runtime_and_rmse", runtime_and_rmse(outcome)),
            ("costs", costs(outcome)),
        ):
            _save(figure, directory / f"{name}.svg", {"Date": None})
            _save(figure, directory / f"{name}.png", {})


def _save(figure: Figure, path: Path, metadata: dict[str, None]) -> None:
    with atomic_file(path) as partial:
        figure.savefig(partial, format=path.suffix[1:], dpi=160, metadata=metadata)


def runtime_and_rmse(outcome: ExperimentResult) -> Figure:
    """Draw runtime and RMSE, the latter on a logarithmic axis, beside the published ones."""
    figure = Figure(figsize=(9.0, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    best = outcome.problem.rmse(outcome.problem.least_squares())
    seconds = {"published": [TABLE[method].seconds for method in METHODS]}
    rmse = {"published": [TABLE[method].rmse for method in METHODS]}
    for kind in ("native", "custom"):
        fits = [outcome.fits[f"{kind}_{method}"] for method in METHODS]
        seconds[kind] = [found.seconds for found in fits]
        rmse[kind] = [outcome.problem.rmse(found.line) for found in fits]
    _bars(left, seconds, lambda value: f"{value:,.2f}")
    left.set(title="Runtime", xlabel="seconds")
    left.set_yticks(range(len(METHODS)), [NAMES[method] for method in METHODS])
    left.invert_yaxis()
    right.set_xscale("log")
    _bars(right, rmse, lambda value: f"{value:,.2f}" if value < 1e6 else f"{value:,.0f}")
    right.set(title="RMSE on the test rows", xlabel="dollars, logarithmic", xlim=(1e2, None))
    label = f"least squares, {best:,.2f} dollars"
    right.axvline(best, color="black", linewidth=1.0, linestyle="--", zorder=3, label=label)
    entries = right.get_legend_handles_labels()
    figure.legend(*entries, loc="outside lower center", ncols=4, frameon=False)
    return figure


def _bars(axes: Axes, values: Mapping[str, list[float]], text: Callable[[float], str]) -> None:
    height = 0.26
    for row, (name, lengths) in enumerate(values.items()):
        places = np.arange(len(lengths)) + (row - 1) * height
        axes.barh(places, _finite(lengths), 0.9 * height, color=BARS[name], label=name, zorder=2)
        for place, value in zip(places, lengths, strict=True):
            beside: dict[str, Any] = {"xytext": (4, 0), "textcoords": "offset points"}
            if math.isfinite(value):
                axes.annotate(text(value), (value, place), **beside, **LABEL)
            else:
                edge = axes.get_yaxis_transform()
                axes.annotate(f"{value}", (0, place), xycoords=edge, **beside, **LABEL)
    axes.margins(x=0.35)  # room for the labels
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0)


def costs(outcome: ExperimentResult) -> Figure:
    """Draw how far the cost of every epoch lies above that of least squares, method by method.

    A second row, if the tutorial's listings were run, shows theirs.
    """
    rows = 2 if outcome.climbs else 1
    figure = Figure(figsize=(9.0, 2.9 * rows), layout="constrained")
    panels = figure.subplots(rows, len(METHODS), sharex="row", sharey="row", squeeze=False)
    best = outcome.problem.train.cost(outcome.problem.least_squares())
    for method, axes in zip(METHODS, panels[0], strict=True):
        for kind, look in LINES.items():
            _curve(axes, outcome.fits[f"{kind}_{method}"].costs, best, label=kind, **look)
        axes.set(title=NAMES[method], xlabel="epoch", yscale="log")
    panels[0][0].legend(frameon=False, loc="upper right")
    if outcome.climbs:
        for method, axes in zip(METHODS, panels[1], strict=True):
            _curve(axes, outcome.climbs[method].costs, best, color=BARS["published"])
            axes.set(title=f"{NAMES[method]}, published", xlabel="epoch", xscale="log")
            axes.set(yscale="log")
    for row in panels:
        row[0].set_ylabel("cost above least squares")
    return figure


def _curve(axes: Axes, costs: list[float], best: float, **look: Any) -> None:
    axes.plot(np.arange(1, len(costs) + 1), _finite(costs) - best, **look)


def _finite(values: list[float]) -> Floats:
    """Return values with a gap for each that cannot be drawn."""
    found = np.array(values)
    return np.where(np.isfinite(found), found, np.nan)
