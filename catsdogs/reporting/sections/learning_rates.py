"""Learning rates: the grid, and the one chosen for each contender on validation images."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from matplotlib.axes import Axes

from catsdogs.io import formatting
from catsdogs.reporting.document import Panels, Paragraph, Section, Table, present
from catsdogs.reporting.plotting import method_panels, styled
from catsdogs.reporting.run_summary import summarize
from catsdogs.reporting.style import line_style
from catsdogs.runs.comparison import PlannedRun
from catsdogs.runs.reader import Run, Runs, grouped


@dataclass(frozen=True)
class Tried:
    """Results of a contender at one learning rate of the grid.

    Attributes:
        learning_rate: None for an optimizer without one.
        planned: Number of planned runs, one for each seed.
        finished: Number of finished runs; the means are over these.
        val_accuracy: Mean of the best validation accuracies, 0 to 1; nan without a finished run.
        val_cost: Mean of the validation costs at these epochs.
    """

    learning_rate: float | None
    planned: int
    finished: int
    val_accuracy: float
    val_cost: float


@dataclass(frozen=True)
class Choice:
    """The learning rate at which a contender is compared.

    Attributes:
        label: The contender.
        tried: Results at every learning rate, ascending.
        chosen: The element of `tried` that is used.
        at_edge: Whether it is the smallest or largest of several, so that a better one may lie
            outside the grid.
    """

    label: str
    tried: tuple[Tried, ...]
    chosen: Tried
    at_edge: bool


def learning_rates_section(runs: Runs) -> Section:
    """Return the results over the grid of learning rates.

    Args:
        runs: All runs.
    """
    single = Paragraph(
        "Each contender ran at one learning rate, so its sensitivity to the learning rate is "
        "unknown."
    )
    if len(runs.comparison.learning_rates) < 2:
        return Section("Learning rates", (single,))
    return Section(
        "Learning rates", present(sensitivity(runs), learning_rate_table(runs), edge_warning(runs))
    )


def choose_learning_rates(runs: Runs) -> tuple[Choice, ...]:
    """Choose a learning rate for every contender.

    The choice is the learning rate at which most runs finished. Ties are resolved by the highest
    mean best validation accuracy, then by the lowest mean validation cost at these epochs, then by
    the smallest learning rate.
    """
    return tuple(_choose(runs, label) for label in runs.comparison.contenders)


def chosen_runs(runs: Runs) -> Runs:
    """Return the runs at each contender's chosen learning rate.

    These are one run for each contender and seed; tables and verdicts use them.
    """
    chosen = {(choice.label, choice.chosen.learning_rate) for choice in choose_learning_rates(runs)}
    return replace(
        runs,
        found=tuple(run for run in runs.found if (run.label, run.learning_rate) in chosen),
        missing=tuple(run for run in runs.missing if (run.label, run.learning_rate) in chosen),
    )


def learning_rate_table(runs: Runs) -> Table | None:
    """Return the results at each learning rate and the choice; None without a grid."""
    grid = sorted(runs.comparison.learning_rates)
    if not grid:
        return None
    chosen = chosen_runs(runs)
    rows = [
        (
            choice.label,
            *(_cell(choice, rate) for rate in grid),
            formatting.learning_rate(choice.chosen.learning_rate),
            formatting.mean_percent(
                [summarize(run).test_accuracy for run in chosen.finished(choice.label)]
            ),
        )
        for choice in choose_learning_rates(runs)
    ]
    return Table(
        "Mean best validation accuracy at each learning rate, and the test accuracy at the chosen "
        "one.",
        ("optimizer", *map(formatting.learning_rate, grid), "chosen", "test accuracy"),
        tuple(rows),
        "Every optimizer is compared at the learning rate with the highest mean best validation "
        "accuracy; the lower validation cost decides a tie. A learning rate at which fewer runs "
        "finished than at another is not chosen. The choice does not use the test images. Test "
        "accuracy: mean (standard deviation) over seeds.",
    )


def edge_warning(runs: Runs) -> Paragraph | None:
    """Warn of contenders whose choice is at the edge of the grid; None without any."""
    at_edge = [choice for choice in choose_learning_rates(runs) if choice.at_edge]
    if not at_edge:
        return None
    names = formatting.listed(
        f"{choice.label} ({formatting.learning_rate(choice.chosen.learning_rate)})"
        for choice in at_edge
    )
    return Paragraph(
        f"The best learning rate is at the edge of the grid for {names}. A better one may lie "
        "outside: extend the grid before drawing conclusions."
    )


@styled
def sensitivity(runs: Runs) -> Panels | None:
    """Draw the best validation accuracy over the grid; None without a grid.

    Args:
        runs: All runs.
    """
    if len(runs.comparison.learning_rates) < 2:
        return None
    choices = {choice.label: choice for choice in choose_learning_rates(runs)}

    def draw(axes: Axes, label: str) -> str:
        choice, style = choices[label], line_style(label, runs.comparison.contenders)
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
        return f"{label}: {', '.join(reached) or 'no finished run'}"

    figures, _ = method_panels(
        "learning-rates", list(choices), "learning rate", "best validation accuracy, %", draw
    )
    return Panels(
        "Best validation accuracy at every learning rate: mean over the finished runs. A vertical "
        "line marks the chosen learning rate. A learning rate without a point has no finished "
        "run.",
        figures,
    )


def _choose(runs: Runs, label: str) -> Choice:
    planned = [run for run in runs.comparison.runs if run.label == label]
    rates = sorted({run.learning_rate for run in planned}, key=lambda rate: rate or 0.0)
    found = grouped(runs.of(label), lambda run: run.learning_rate)
    missing = grouped(
        [run for run in runs.missing if run.label == label], lambda run: run.learning_rate
    )
    tried = tuple(_tried(rate, found.get(rate, ()), missing.get(rate, ())) for rate in rates)
    chosen = max(tried, key=_merit)
    return Choice(label, tried, chosen, len(tried) > 1 and chosen in (tried[0], tried[-1]))


def _merit(tried: Tried) -> tuple[int, float, float, float]:
    if tried.finished == 0:
        return 0, 0.0, 0.0, -(tried.learning_rate or 0.0)
    # Means of equal counts of correct predictions may differ in the last bit.
    accuracy = round(tried.val_accuracy, 9)
    return tried.finished, accuracy, -tried.val_cost, -(tried.learning_rate or 0.0)


def _tried(rate: float | None, found: Sequence[Run], missing: Sequence[PlannedRun]) -> Tried:
    summaries = [summarize(run) for run in found if run.status == "finished"]
    return Tried(
        rate,
        planned=len(found) + len(missing),
        finished=len(summaries),
        val_accuracy=formatting.mean_and_deviation([one.best_val_accuracy for one in summaries])[0],
        val_cost=formatting.mean_and_deviation([one.best_epoch_val_cost for one in summaries])[0],
    )


def _cell(choice: Choice, rate: float) -> str:
    for tried in choice.tried:
        if tried.learning_rate == rate:
            text = formatting.percent(tried.val_accuracy)
            complete = tried.finished == tried.planned
            return text if complete else f"{text} ({tried.finished} of {tried.planned} finished)"
    return "not tried"


def _points(choice: Choice) -> tuple[list[float], list[float]]:
    tried = [one for one in choice.tried if one.learning_rate and not math.isnan(one.val_accuracy)]
    return [one.learning_rate or 0.0 for one in tried], [100 * one.val_accuracy for one in tried]
