"""Is an answer given with 80 % confidence right in 80 % of cases?"""

import numpy as np
from matplotlib.axes import Axes

from catsdogs.io.formatting import percent
from catsdogs.reporting.document import Panels
from catsdogs.reporting.plotting import method_panels, styled
from catsdogs.reporting.sections.calibration import calibration, pooled
from catsdogs.reporting.style import GREY, look, role_and_method
from catsdogs.runs.reader import Runs

MARKERS = {"custom": "x", "published": "+"}  # seen upon the disc of a twin


@styled
def reliability(runs: Runs) -> Panels | None:
    """Draw the share of right answers over their confidence; None without answers.

    Args:
        runs: One for each contender and seed, as `chosen_runs` returns them.
    """
    judged = {
        label: calibration(answers)
        for label in runs.comparison.contenders
        if (answers := pooled(runs.of(label))) is not None
    }
    if not judged:
        return None

    def draw(axes: Axes, label: str) -> str:
        found, style = judged[label], look(label, runs.comparison.contenders)
        there = found.counts > 0
        places, right = 100 * found.confidence[there], 100 * found.accuracy[there]
        area = 14 + 130 * np.sqrt(found.counts[there] / found.counts.sum())
        axes.scatter(
            places,
            right,
            area * style.width / 2,
            style.colour,
            marker=MARKERS.get(role_and_method(label)[0], "o"),
            linewidth=1.2,
            label=label,
            zorder=style.height,
        )
        sure, so = percent(found.mean_confidence), percent(found.mean_accuracy)
        return f"{label} is right in {so} of cases at a mean confidence of {sure}"

    figures, drawn = method_panels(
        "calibration", list(judged), "confidence, %", "right answers, %", draw
    )
    for axes in drawn:
        axes.plot([50, 100], [50, 100], color=GREY, linewidth=1.0, zorder=1)
        axes.set_ylim(-4, 104)
    return Panels(
        "Share of right answers over their confidence, on the test pictures of all seeds; a "
        "larger mark stands for more answers. Below the grey line a head is surer than right.",
        figures,
    )
