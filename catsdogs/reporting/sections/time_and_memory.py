"""What an optimizer costs: the time of a step and an epoch, the way to a target, and memory."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing

from catsdogs.io import formatting
from catsdogs.io.formatting import percent, seconds, size
from catsdogs.reporting.document import Figure, Panels, Table
from catsdogs.reporting.plotting import SIZE, literal, method_panels, panel, styled
from catsdogs.reporting.run_summary import outcome
from catsdogs.reporting.sections.curves import DONE, drawable, stacked
from catsdogs.reporting.style import GREY, line_style
from catsdogs.runs.contenders import pairs_of
from catsdogs.runs.reader import Run, Runs

BELOW_BEST = 0.01  # the target of the race: one percentage point below the best


MEGA = 1e6
TASK = ("parameters", "gradients")  # what every optimizer holds


@dataclass(frozen=True)
class StepTime:
    """Seconds of one optimizer step on the head.

    Attributes:
        label: The contender.
        repeats: How many times it was timed; contenders took turns.
        quartiles: Lower quartile, median and upper quartile.
        reference: Whom the ratio is taken to, empty for a contender that is itself a reference.
        ratio: Median over the repeats of own time by reference's time; nan without one.
    """

    label: str
    repeats: int
    quartiles: tuple[float, float, float]
    reference: str
    ratio: float


@dataclass(frozen=True)
class Reached:
    """When a run first had the target validation accuracy; None where it never had it.

    Attributes:
        run: Which.
        epoch: The first epoch that ends with it.
        seconds: Of training until then, evaluation left out.
    """

    run: Run
    epoch: int | None
    seconds: float | None


def step_times(runs: Runs) -> tuple[StepTime, ...]:
    """Return the step time of every contender that was timed."""
    timed = runs.comparison.step_seconds
    references: dict[str, str] = {}
    for pair in pairs_of(runs.comparison.contenders):
        references.setdefault(pair.contender, pair.reference)
    return tuple(
        _step_time(label, timed[label], references.get(label, ""), timed)
        for label in runs.comparison.contenders
        if timed.get(label)
    )


def step_time_table(runs: Runs) -> Table | None:
    """Return a row for each contender that was timed; None if none was."""
    times = step_times(runs)
    if not times:
        return None
    timed = [time.label for time in times]
    untimed = [label for label in runs.comparison.contenders if label not in timed]
    return Table(
        "Time of one optimizer step on the head.",
        ("optimizer", "median", "quartiles", "times as long as", "ratio", "repeats"),
        tuple(
            (
                time.label,
                formatting.seconds(time.quartiles[1]),
                " to ".join(formatting.seconds(time.quartiles[index]) for index in (0, 2)),
                time.reference or formatting.NOTHING,
                formatting.ratio(time.ratio),
                str(time.repeats),
            )
            for time in times
        ),
        "The optimizers took turns in one process. The ratio is the median over the repeats of "
        "both times of the same turn, which noise of the machine hardly touches."
        + (f" Not timed: {formatting.listed(untimed)}." if untimed else ""),
    )


def target_accuracy(runs: Runs) -> float:
    """Return the target: one point below the best contender's mean best validation accuracy.

    Args:
        runs: One for each contender and seed, as `chosen_runs` returns them.
    """
    means = [
        fmean(outcome(run).best_val_accuracy for run in finished)
        for label in runs.comparison.contenders
        if (finished := runs.finished(label))
    ]
    # As many digits as are printed: the target is the number that a reader sees.
    return round(max(means) - BELOW_BEST, 3) if means else math.nan


def reached(runs: Runs, target: float) -> tuple[Reached, ...]:
    """Return for every run that finished when it first reached the target.

    Args:
        runs: One for each contender and seed, as `chosen_runs` returns them.
        target: Validation accuracy, 0 to 1.
    """
    return tuple(
        _reached(run, target)
        for label in runs.comparison.contenders
        for run in runs.finished(label)
    )


def training_time_table(runs: Runs) -> Table:
    """Return a row for each contender: seconds of an epoch, and epochs and seconds to the target.

    Args:
        runs: One for each contender and seed, as `chosen_runs` returns them.
    """
    target = target_accuracy(runs)
    everyone = reached(runs, target)
    rows = []
    for label in runs.comparison.contenders:
        own = [one for one in everyone if one.run.label == label]
        there = [one for one in own if one.epoch is not None]
        rows.append(
            (
                label,
                formatting.mean_seconds([_epoch_seconds(one.run) for one in own]),
                f"{len(there)} of {len(own)}",
                formatting.mean_number([one.epoch for one in there if one.epoch is not None]),
                formatting.mean_seconds([one.seconds for one in there if one.seconds is not None]),
            )
        )
    return Table(
        f"Time to train, and to a validation accuracy of {formatting.percent(target)}.",
        ("optimizer", "one epoch", "runs that reach it", "epochs to it", "training time to it"),
        tuple(rows),
        "Mean (standard deviation) over the runs that finished. Time is that of training steps; "
        "evaluation and reading from disk are left out. The target is one point below the highest "
        "mean of the best validation accuracies. Epochs and time to it are means over the runs "
        "that reach it, and say nothing of those that do not. Epoch 0 is the untrained head.",
    )


def memory_table(runs: Runs) -> Table:
    """Return a row for each contender: bytes of weights, state and table."""
    return Table(
        "Memory that training takes.",
        ("optimizer", "weights", "gradients", "state", "table", "state and table per weight"),
        tuple(_memory_row(runs, label) for label in runs.comparison.contenders),
        "Bytes of the tensors, known before the run; what a step needs for a moment is not "
        "counted. The table is SAGA's memory of past gradients. The last column: how many times "
        "the bytes of the weights.",
    )


def _step_time(
    label: str, seconds: Sequence[float], reference: str, timed: Mapping[str, Sequence[float]]
) -> StepTime:
    turns = list(zip(seconds, timed.get(reference, ()), strict=False))
    low, middle, high = np.quantile(seconds, (0.25, 0.5, 0.75)).tolist()
    return StepTime(
        label,
        repeats=len(seconds),
        quartiles=(low, middle, high),
        reference=reference,
        ratio=median(own / other for own, other in turns) if turns else math.nan,
    )


def _reached(run: Run, target: float) -> Reached:
    rows = np.flatnonzero(run.epochs["val_accuracy"] >= target)
    if len(rows) == 0:
        return Reached(run, None, None)
    seconds = float(run.epochs["seconds"][: rows[0] + 1].sum())
    return Reached(run, int(run.epochs["epoch"][rows[0]]), seconds)


def _epoch_seconds(run: Run) -> float:
    seconds = run.epochs["seconds"][1:]
    return float(seconds.mean()) if len(seconds) else math.nan


def _memory_row(runs: Runs, label: str) -> tuple[str, ...]:
    parts = next((memory for run in runs.of(label) if (memory := run.facts.get("memory"))), None)
    if parts is None:
        return (label, *[formatting.NOTHING] * 5)

    def nbytes(name: str) -> int:
        return sum(int(part["nbytes"]) for part in parts if part["name"] == name)

    kept, parameters = nbytes("state") + nbytes("table"), nbytes("parameters")
    sizes = (
        formatting.size(nbytes(name)) for name in ("parameters", "gradients", "state", "table")
    )
    return (label, *sizes, formatting.ratio(kept / parameters if parameters else math.nan))


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
        style = line_style(label, runs.comparison.contenders)
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
        colour = line_style(time.label, runs.comparison.contenders).colour
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
        colour = line_style(label, runs.comparison.contenders).colour
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
