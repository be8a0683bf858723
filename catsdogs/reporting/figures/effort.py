"""What an optimizer costs: the way to a target accuracy, the time of a step, and memory."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing

from catsdogs.io.formatting import percent, seconds, size
from catsdogs.reporting.document import Figure, Panels
from catsdogs.reporting.plotting import SIZE, literal, method_panels, panel, styled
from catsdogs.reporting.sections.curves import DONE, drawable, stacked
from catsdogs.reporting.sections.time_and_memory import StepTime, step_times, target_accuracy
from catsdogs.reporting.style import GREY, look
from catsdogs.runs.reader import Run, Runs

MEGA = 1e6
TASK = ("parameters", "gradients")  # what every optimizer holds


@styled
def way_to_target(runs: Runs) -> Panels | None:
    """Draw validation accuracy over seconds of training; None without a run that finished.

    Args:
        runs: One for each contender and seed, as `chosen_runs` returns them.
    """
    finished = drawable(runs, (DONE,))
    if not finished:
        return None
    target = target_accuracy(runs)

    def draw(axes: Axes, label: str) -> str:
        of_label = finished[label]
        spent = stacked([np.cumsum(run.epochs["seconds"]) for run in of_label]).mean(axis=0)
        accuracy = stacked([run.epochs["val_accuracy"] for run in of_label]).mean(axis=0)
        style = look(label, runs.comparison.contenders)
        axes.plot(
            spent,
            100 * accuracy,
            label=f"{label} ({style.words})",
            marker="o",
            markersize=style.width + 1.5,
            **style.line(),
        )
        return f"{label} trains for {seconds(float(np.nan_to_num(spent).max()))}"

    figures, drawn = method_panels(
        "way-to-target", list(finished), "seconds of training", "validation accuracy, %", draw
    )
    for axes in drawn if np.isfinite(target) else ():
        axes.axhline(100 * target, color=GREY, linewidth=1.0)
    return Panels(
        "Validation accuracy over the seconds of training, evaluation left out; a point for every "
        f"epoch, means over the seeds. The grey line is the target, {percent(target)}.",
        figures,
    )


@styled
def step_time(runs: Runs) -> Figure | None:
    """Draw the time of one optimizer step: median and quartiles; None where none was timed."""
    times = step_times(runs)
    if not times:
        return None
    drawing, axes = _rows("Time of a step", [time.label for time in times], "milliseconds")
    for place, time in enumerate(times):
        low, median, high = (1e3 * value for value in time.quartiles)
        colour = look(time.label, runs.comparison.contenders).colour
        axes.plot([low, high], [place, place], color=colour, linewidth=5, solid_capstyle="butt")
        axes.plot([median], [place], marker="o", markersize=9, color=colour)
        axes.annotate(
            f"{median:.2f}", (median, place), (0, 8), textcoords="offset points", ha="center"
        )
    axes.set_xlim(0, 1.12e3 * max(time.quartiles[2] for time in times))
    return Figure(
        "step-time",
        "Time of one optimizer step on the head: the point is the median, the bar goes from the "
        "lower to the upper quartile. The contenders took turns in one process.",
        f"{'; '.join(_time_in_words(time) for time in times)}.",
        drawing,
    )


@styled
def memory(runs: Runs) -> Figure:
    """Draw the bytes in memory that training the head takes with each contender."""
    first = {run.label: run for run in reversed(runs.found)}
    labels = [label for label in runs.comparison.contenders if label in first]
    drawing, axes = _rows("Memory", labels, "megabytes")
    said = []
    for place, label in enumerate(labels):
        task, own = _bytes(first[label])
        colour = look(label, runs.comparison.contenders).colour
        axes.barh(place, task / MEGA, color=colour, alpha=0.35, height=0.6)
        axes.barh(place, own / MEGA, left=task / MEGA, color=colour, height=0.6)
        words = "no state" if own == 0 else f"{size(own)} of state"
        axes.annotate(
            words, ((task + own) / MEGA, place), (4, 0), textcoords="offset points", va="center"
        )
        said.append(f"{label}: {words}")
    most = max(sum(_bytes(first[label])) for label in labels)
    axes.set_xlim(0, 1.6 * max(most, 1) / MEGA)
    axes.grid(visible=False, axis="y")
    return Figure(
        "memory",
        "Memory of training the head: pale, its weights and gradients; full, what the optimizer "
        "itself keeps from step to step.",
        f"{'; '.join(said)}.",
        drawing,
    )


def _rows(title: str, labels: Sequence[str], x: str) -> tuple[Drawing, Axes]:
    """Return axes with a row for each contender, the first on top."""
    drawing, axes = panel(title, x, "", size=(SIZE[0], 1.2 + 0.42 * len(labels)))
    axes.set_yticks(range(len(labels)), map(literal, labels))
    axes.set_ylim(len(labels) - 0.4, -0.75)
    return drawing, axes


def _bytes(run: Run) -> tuple[int, int]:
    """Return the bytes that any optimizer takes for this head, and those that this one adds."""
    parts = {
        str(part["name"]): int(part["nbytes"])
        for part in run.facts.get("memory") or ()
        if part["place"] != "disk"
    }
    task = sum(parts.get(name, 0) for name in TASK)
    return task, sum(parts.values()) - task


def _time_in_words(time: StepTime) -> str:
    low, median, high = map(seconds, time.quartiles)
    return f"{time.label}: {median}, quartiles {low} and {high}"
