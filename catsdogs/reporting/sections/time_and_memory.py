"""Time and memory: duration of steps and epochs, time to a target accuracy, bytes held."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing

from catsdogs.io import formatting
from catsdogs.reporting.document import Figure, Panels, Paragraph, Section, Table, present
from catsdogs.reporting.plotting import SIZE, literal, method_panels, panel, styled
from catsdogs.reporting.run_summary import summarize
from catsdogs.reporting.sections.curves import DONE, drawable, stacked
from catsdogs.reporting.style import GREY, line_style
from catsdogs.runs.contenders import pairs_of
from catsdogs.runs.reader import Run, Runs

BELOW_BEST = 0.01  # the target accuracy is one percentage point below the best
MEGA = 1e6
TASK = ("parameters", "gradients")  # memory that training takes with any optimizer


@dataclass(frozen=True)
class StepTime:
    """Duration of one optimizer step on the head.

    Attributes:
        label: The contender.
        repeats: Number of measurements; the contenders took turns.
        quartiles: Lower quartile, median and upper quartile, in seconds.
        reference: Reference of the ratio; empty for a contender that is itself a reference.
        ratio: Median over the repeats of the contender's time divided by the reference's time of
            the same turn; nan without a reference.
    """

    label: str
    repeats: int
    quartiles: tuple[float, float, float]
    reference: str
    ratio: float


@dataclass(frozen=True)
class Reached:
    """When a run first reached the target validation accuracy; None if it never did.

    Attributes:
        run: The run.
        epoch: First epoch that ends at or above the target.
        seconds: Training time up to the end of that epoch, excluding evaluation.
    """

    run: Run
    epoch: int | None
    seconds: float | None


def time_and_memory_section(runs: Runs, chosen: Runs) -> Section:
    """Return the times of training and of single steps, and the memory.

    Args:
        runs: All runs.
        chosen: One run for each contender and seed, as `chosen_runs` returns them.
    """
    untimed = Paragraph("The duration of single optimizer steps was not measured for these runs.")
    return Section(
        "Time and memory",
        present(
            way_to_target(chosen),
            training_time_table(chosen),
            step_time(runs),
            step_time_table(runs) or untimed,
            memory(chosen),
            memory_table(chosen),
        ),
    )


def step_times(runs: Runs) -> tuple[StepTime, ...]:
    """Return the step times of the contenders that were timed."""
    timed = runs.comparison.step_seconds
    references: dict[str, str] = {}
    for pair in pairs_of(runs.comparison.contenders):
        references.setdefault(pair.contender, pair.reference)
    return tuple(
        _step_time(label, timed[label], references.get(label, ""), timed)
        for label in runs.comparison.contenders
        if timed.get(label)
    )


def target_accuracy(runs: Runs) -> float:
    """Return the target accuracy: one point below the highest mean best validation accuracy.

    Args:
        runs: One run for each contender and seed, as `chosen_runs` returns them.
    """
    means = [
        fmean(summarize(run).best_val_accuracy for run in finished)
        for label in runs.comparison.contenders
        if (finished := runs.finished(label))
    ]
    # Rounded as printed, so that the target is the number that a reader sees.
    return round(max(means) - BELOW_BEST, 3) if means else math.nan


def reached(runs: Runs, target: float) -> tuple[Reached, ...]:
    """Return when each finished run first reached the target.

    Args:
        runs: One run for each contender and seed, as `chosen_runs` returns them.
        target: Validation accuracy, 0 to 1.
    """
    return tuple(
        _reached(run, target)
        for label in runs.comparison.contenders
        for run in runs.finished(label)
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


def step_time_table(runs: Runs) -> Table | None:
    """Return the step times; None if no contender was timed."""
    times = step_times(runs)
    if not times:
        return None
    timed = [time.label for time in times]
    untimed = [label for label in runs.comparison.contenders if label not in timed]
    return Table(
        "Duration of one optimizer step on the head.",
        ("optimizer", "median", "quartiles", "reference", "ratio", "repeats"),
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
        "The optimizers took turns in one process. Ratio: the median over the repeats of the "
        "optimizer's time divided by the reference's time of the same turn, which is robust "
        "against other load on the machine."
        + (f" Not timed: {formatting.listed(untimed)}." if untimed else ""),
    )


def training_time_table(runs: Runs) -> Table:
    """Return the time of an epoch, and the epochs and time to the target, of each contender.

    Args:
        runs: One run for each contender and seed, as `chosen_runs` returns them.
    """
    target = target_accuracy(runs)
    all_runs = reached(runs, target)
    rows = []
    for label in runs.comparison.contenders:
        own = [one for one in all_runs if one.run.label == label]
        reaching = [one for one in own if one.epoch is not None]
        rows.append(
            (
                label,
                formatting.mean_seconds([_epoch_seconds(one.run) for one in own]),
                f"{len(reaching)} of {len(own)}",
                formatting.mean_number([one.epoch for one in reaching if one.epoch is not None]),
                formatting.mean_seconds(
                    [one.seconds for one in reaching if one.seconds is not None]
                ),
            )
        )
    return Table(
        f"Training time, and time to a validation accuracy of {formatting.percent(target)}.",
        ("optimizer", "one epoch", "runs that reach it", "epochs to reach it", "time to reach it"),
        tuple(rows),
        "Mean (standard deviation) over the finished runs. Times are those of training steps, "
        "without evaluation and reading from disk. The target is one point below the highest mean "
        "best validation accuracy. The means of epochs and time to reach it include only the runs "
        "that do. Epoch 0 is the untrained head.",
    )


def memory_table(runs: Runs) -> Table:
    """Return the memory of weights, gradients, state and table for each contender."""
    return Table(
        "Memory of training the head.",
        ("optimizer", "weights", "gradients", "state", "table", "state and table / weights"),
        tuple(_memory_row(runs, label) for label in runs.comparison.contenders),
        "Sizes of the tensors as computed before the run; temporary memory of a step is not "
        "included. The table holds SAGA's past gradients. Last column: size of state and table "
        "divided by the size of the weights.",
    )


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
    """Draw validation accuracy over training time; None without a finished run.

    Args:
        runs: One run for each contender and seed, as `chosen_runs` returns them.
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
        return f"{label} trains for {formatting.seconds(float(np.nan_to_num(spent).max()))}"

    figures, drawn = method_panels(
        "way-to-target", list(finished), "training time, s", "validation accuracy, %", draw
    )
    for axes in drawn if np.isfinite(target) else ():
        axes.axhline(100 * target, color=GREY, linewidth=1.0)
    return Panels(
        "Validation accuracy over training time without evaluation: means over the seeds, with a "
        f"point for every epoch. The grey line is the target, {formatting.percent(target)}.",
        figures,
    )


@styled
def step_time(runs: Runs) -> Figure | None:
    """Draw median and quartiles of the step times; None if no contender was timed."""
    times = step_times(runs)
    if not times:
        return None
    drawing, axes = _rows("Step time", [time.label for time in times], "milliseconds")
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
        "Duration of one optimizer step on the head: the point is the median, and the bar extends "
        "from the lower to the upper quartile. The optimizers took turns in one process.",
        f"{'; '.join(_time_in_words(time) for time in times)}.",
        drawing,
    )


@styled
def memory(runs: Runs) -> Figure:
    """Draw the memory of training the head with each contender."""
    first = {run.label: run for run in reversed(runs.found)}
    labels = [label for label in runs.comparison.contenders if label in first]
    drawing, axes = _rows("Memory", labels, "megabytes")
    descriptions = []
    for place, label in enumerate(labels):
        task, own = _bytes(first[label])
        colour = line_style(label, runs.comparison.contenders).colour
        axes.barh(place, task / MEGA, color=colour, alpha=0.35, height=0.6)
        axes.barh(place, own / MEGA, left=task / MEGA, color=colour, height=0.6)
        words = "no state" if own == 0 else f"{formatting.size(own)} of state"
        axes.annotate(
            words, ((task + own) / MEGA, place), (4, 0), textcoords="offset points", va="center"
        )
        descriptions.append(f"{label}: {words}")
    most = max(sum(_bytes(first[label])) for label in labels)
    axes.set_xlim(0, 1.6 * max(most, 1) / MEGA)
    axes.grid(visible=False, axis="y")
    return Figure(
        "memory",
        "Memory of training the head: weights and gradients (pale), and state that the optimizer "
        "keeps between steps (solid).",
        f"{'; '.join(descriptions)}.",
        drawing,
    )


def _rows(title: str, labels: Sequence[str], x: str) -> tuple[Drawing, Axes]:
    """Return a drawing and axes with one row for each contender, the first on top."""
    drawing, axes = panel(title, x, "", size=(SIZE[0], 1.2 + 0.42 * len(labels)))
    axes.set_yticks(range(len(labels)), map(literal, labels))
    axes.set_ylim(len(labels) - 0.4, -0.75)
    return drawing, axes


def _bytes(run: Run) -> tuple[int, int]:
    """Return the bytes of weights and gradients, and of the optimizer's own tensors."""
    parts = {
        str(part["name"]): int(part["nbytes"])
        for part in run.facts.get("memory") or ()
        if not part["place"].endswith("disk")
    }
    task = sum(parts.get(name, 0) for name in TASK)
    return task, sum(parts.values()) - task


def _time_in_words(time: StepTime) -> str:
    low, median, high = map(formatting.seconds, time.quartiles)
    return f"{time.label}: {median}, quartiles {low} and {high}"
