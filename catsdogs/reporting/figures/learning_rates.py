"""How much an optimizer's result depends on its learning rate."""

import math

from matplotlib.axes import Axes

from catsdogs.reporting.document import Panels
from catsdogs.reporting.plotting import method_panels, styled
from catsdogs.reporting.sections.learning_rates import Choice, choose_learning_rates
from catsdogs.reporting.style import look
from catsdogs.runs.reader import Runs


@styled
def sensitivity(runs: Runs) -> Panels | None:
    """Draw the best validation accuracy over the grid; None without a grid.

    Args:
        runs: All of them.
    """
    if len(runs.comparison.learning_rates) < 2:
        return None
    choices = {choice.label: choice for choice in choose_learning_rates(runs)}

    def draw(axes: Axes, label: str) -> str:
        choice, style = choices[label], look(label, runs.comparison.contenders)
        places, values = _points(choice)
        axes.set_xscale("log")
        axes.plot(
            places,
            values,
            label=f"{label} ({style.words})",
            marker="o",
            markersize=style.width + 2,
            **style.line(),
        )
        if choice.chosen.learning_rate is not None:
            axes.axvline(choice.chosen.learning_rate, color=style.colour, linewidth=1, zorder=1)
        reached = [f"{y:.1f} % at {x:g}" for x, y in zip(places, values, strict=True)]
        return f"{label}: {', '.join(reached) or 'no run that finished'}"

    figures, _ = method_panels(
        "learning-rates", list(choices), "learning rate", "best validation accuracy, %", draw
    )
    return Panels(
        "Best validation accuracy at every learning rate, mean over the seeds that finished; a "
        "vertical line marks the one that was chosen. A learning rate without a point has no run "
        "that finished.",
        figures,
    )


def _points(choice: Choice) -> tuple[list[float], list[float]]:
    tried = [one for one in choice.tried if one.learning_rate and not math.isnan(one.val_accuracy)]
    return [one.learning_rate or 0.0 for one in tried], [100 * one.val_accuracy for one in tried]
