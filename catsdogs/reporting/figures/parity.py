"""How far a contender's cost is from its native twin's, iteration by iteration."""

import numpy as np
from matplotlib.axes import Axes

from catsdogs.io.formatting import count
from catsdogs.reporting.document import Panels
from catsdogs.reporting.plotting import method_panels, styled
from catsdogs.reporting.sections.parity import cost_differences
from catsdogs.reporting.style import look, role_and_method
from catsdogs.runs.contenders import Pair, pairs_of
from catsdogs.runs.reader import Floats, Runs


@styled
def cost_difference(runs: Runs) -> Panels | None:
    """Draw the distance of every contender that has a native twin; None where none has.

    Args:
        runs: One for each contender and seed, as `chosen_runs` returns them.
    """
    distances = {
        pair.contender: found
        for pair in pairs_of(runs.comparison.contenders)
        if pair.twins and role_and_method(pair.reference)[0] == "native"
        for found in [_distances(runs, pair)]
        if found.size
    }
    if not distances:
        return None

    def draw(axes: Axes, label: str) -> str:
        words = _in_words(label, distances[label])
        largest = distances[label].max(axis=0)
        places = np.arange(1, len(largest) + 1)
        colour = look(label, runs.comparison.contenders).colour
        shown = np.where((largest > 0) & np.isfinite(largest), largest, np.nan)
        axes.plot(places, shown, color=colour, linewidth=1.1, label=words)
        return words

    figures, drawn = method_panels(
        "cost-difference", list(distances), "iteration", "distance from the native cost", draw
    )
    longest = max(found.shape[1] for found in distances.values())
    _scale(drawn, longest, np.concatenate([found.max(axis=0) for found in distances.values()]))
    return Panels(
        "Distance of a contender's training cost from its native twin's at every iteration, the "
        "largest over the seeds; a logarithmic axis has no place for 0, so that stands in words.",
        figures,
    )


def _distances(runs: Runs, pair: Pair) -> Floats:
    """Return (seeds, iterations) of the seeds and iterations that both have."""
    both = [
        (runs.get(pair.reference, seed), runs.get(pair.contender, seed))
        for seed in runs.comparison.seeds
    ]
    found = [cost_differences(one, other) for one, other in both if one and other]
    shortest = min(map(len, found), default=0)
    return np.array([values[:shortest] for values in found])


def _in_words(label: str, found: Floats) -> str:
    seeds, iterations = count(len(found), "seed"), count(found.shape[1], "iteration")
    highest = found.max()
    if highest == 0:
        return f"{label}: exactly 0 ({iterations}, {seeds})"
    zeros = int((found.max(axis=0) == 0).sum())
    exactly = f", 0 at {zeros:,} of {iterations}" if zeros else ""
    return f"{label}: up to {highest:.2g}{exactly}"


def _scale(drawn: list[Axes], longest: int, shown: Floats) -> None:
    above = shown[np.isfinite(shown) & (shown > 0)]
    for axes in drawn:
        axes.set_yscale("log")
        axes.set_xlim(0, longest + 1)
        axes.set_ylim(*((above.min() / 3, above.max() * 3) if above.size else (1e-9, 1.0)))
        if not any(np.isfinite(line.get_ydata()).any() for line in axes.lines):
            words = "exactly 0 at every iteration:\nthe same bits"
            axes.text(0.5, 0.5, words, transform=axes.transAxes, ha="center", va="center")
