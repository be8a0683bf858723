"""The two figures of the comparison, as SVG and PNG in the style of the report."""

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from catsdogs.io.files import atomic_file
from catsdogs.regression.experiment import KINDS, METHODS, ExperimentResult
from catsdogs.regression.fit import Floats
from catsdogs.regression.published import TABLE
from catsdogs.reporting.plotting import png, styled, svg
from catsdogs.reporting.style import GREY, line_style, method_title


@styled
def write_figures(result: ExperimentResult, directory: Path) -> None:
    """Write `runtime_and_rmse` and `costs`, the same bytes for the same numbers."""
    for name, figure in (("runtime_and_rmse", runtime_and_rmse(result)), ("costs", costs(result))):
        for suffix, content in (("svg", svg(figure).encode()), ("png", png(figure))):
            with atomic_file(directory / f"{name}.{suffix}") as partial:
                partial.write_bytes(content)


def runtime_and_rmse(result: ExperimentResult) -> Figure:
    """Draw runtime and RMSE beside the published values, the RMSE on a logarithmic axis."""
    figure = Figure(figsize=(9.4, 5.2), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    seconds, rmse = {}, {}
    for method in METHODS:
        seconds[f"published_{method}"], rmse[f"published_{method}"] = TABLE[method]
        for label in (f"{kind}_{method}" for kind in KINDS):
            seconds[label] = result.fits[label].seconds
            rmse[label] = result.problem.rmse(result.fits[label].line)
    _bars(left, seconds, lambda value: f"{value:,.2f}")
    left.set(title="Runtime", xlabel="seconds")
    left.set_yticks(range(len(seconds)), list(seconds))
    left.invert_yaxis()
    right.set_xscale("log")
    _bars(right, rmse, lambda value: f"{value:,.2f}" if value < 1e6 else f"{value:,.0f}")
    right.set(title="RMSE on the test rows", xlabel="dollars", xlim=(1e2, None))
    best = result.problem.rmse(result.problem.least_squares())
    right.axvline(best, color=GREY, label=f"least squares, {best:,.2f} dollars")
    figure.legend(loc="outside lower right")
    return figure


def costs(result: ExperimentResult) -> Figure:
    """Draw the excess of the cost over that of least squares after every epoch, by method.

    A second row shows the tutorial's listings, if they were run.
    """
    rows = 2 if result.listings else 1
    figure = Figure(figsize=(9.4, 3.0 * rows), layout="constrained")
    grid = figure.subplots(rows, len(METHODS), sharex="row", sharey="row", squeeze=False)
    best = result.problem.train.cost(result.problem.least_squares())
    for method, axes in zip(METHODS, grid[0], strict=True):
        for kind in KINDS:
            _curve(axes, f"{kind}_{method}", result.fits[f"{kind}_{method}"].costs, best)
        axes.set(title=method_title(method))
    for method, axes in zip(result.listings, grid[-1], strict=False):
        _curve(axes, f"published_{method}", result.listings[method].costs, best)
        axes.set(title=f"{method_title(method)}, published", xscale="log")
    for axes in grid.flat:
        axes.set(xlabel="epoch", yscale="log")
    for axes in grid[:, 0]:
        axes.set_ylabel("cost above least squares")
    lines = [line for axes in grid[0] for line in axes.lines]
    figure.legend(handles=lines, loc="outside lower left", ncols=len(METHODS))
    return figure


def _bars(axes: Axes, values: Mapping[str, float], text: Callable[[float], str]) -> None:
    colours = [line_style(label, ()).colour for label in values]
    axes.barh(range(len(values)), _finite(list(values.values())), height=0.7, color=colours)
    for place, value in enumerate(values.values()):
        finite = math.isfinite(value)
        axes.annotate(
            text(value) if finite else f"{value}",
            (value if finite else 0, place),
            (4, 0),
            xycoords="data" if finite else axes.get_yaxis_transform(),
            textcoords="offset points",
            va="center",
            fontsize=8.5,
        )
    axes.margins(x=0.35)  # room for the annotations
    axes.grid(visible=False, axis="y")


def _curve(axes: Axes, label: str, costs: Sequence[float], best: float) -> None:
    style = line_style(label, ())
    axes.plot(np.arange(1, len(costs) + 1), _finite(costs) - best, label=label, **style.line())


def _finite(values: Sequence[float]) -> Floats:
    """Return the values with nan for those that cannot be drawn."""
    found = np.array(values)
    return np.where(np.isfinite(found), found, np.nan)
