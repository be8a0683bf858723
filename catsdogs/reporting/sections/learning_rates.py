"""Which learning rate each contender is judged at: the best on validation, never on test."""

import math
from dataclasses import dataclass, replace

from matplotlib.axes import Axes

from catsdogs.io import formatting
from catsdogs.reporting.document import Panels, Paragraph, Table
from catsdogs.reporting.plotting import method_panels, styled
from catsdogs.reporting.run_summary import outcome
from catsdogs.reporting.style import line_style
from catsdogs.runs.reader import Runs


@dataclass(frozen=True)
class Tried:
    """A contender at one learning rate of the grid.

    Attributes:
        learning_rate: None for an optimizer without one.
        planned: Runs, one for each seed.
        finished: Those that finished; the means are over them.
        val_accuracy: Mean of the best validation accuracies, 0 to 1; nan without a finished run.
        val_cost: Mean of the validation costs at those epochs.
    """

    learning_rate: float | None
    planned: int
    finished: int
    val_accuracy: float
    val_cost: float


@dataclass(frozen=True)
class Choice:
    """The learning rate that a contender is judged at.

    Attributes:
        label: The contender.
        tried: Every learning rate, ascending.
        chosen: One of them.
        at_edge: Whether it is the smallest or largest of several that were tried, so that a better
            one may lie outside the grid.
    """

    label: str
    tried: tuple[Tried, ...]
    chosen: Tried
    at_edge: bool


def choose_learning_rates(runs: Runs) -> tuple[Choice, ...]:
    """Choose a learning rate for every contender.

    The one at which most runs finished; of equals the one with the highest mean best validation
    accuracy; of equals the one with the lowest mean validation cost at those epochs; of equals the
    smallest.
    """
    return tuple(_choose(runs, label) for label in runs.comparison.contenders)


def chosen_runs(runs: Runs) -> Runs:
    """Keep of every contender the runs at the learning rate that is chosen for it.

    One run for each contender and seed is left: tables and verdicts are made from these.
    """
    chosen = {(choice.label, choice.chosen.learning_rate) for choice in choose_learning_rates(runs)}
    return replace(
        runs,
        found=tuple(run for run in runs.found if (run.label, run.learning_rate) in chosen),
        missing=tuple(run for run in runs.missing if (run.label, run.learning_rate) in chosen),
    )


def learning_rate_table(runs: Runs) -> Table | None:
    """Return what each learning rate reached and which was chosen; None without a grid."""
    grid = sorted(runs.comparison.learning_rates)
    if not grid:
        return None
    used = chosen_runs(runs)
    rows = [
        (
            choice.label,
            *(_cell(choice, rate) for rate in grid),
            formatting.learning_rate(choice.chosen.learning_rate),
            formatting.mean_percent(
                [outcome(run).test_accuracy for run in used.finished(choice.label)]
            ),
        )
        for choice in choose_learning_rates(runs)
    ]
    return Table(
        "Mean best validation accuracy at each learning rate, and the test accuracy at the chosen "
        "one.",
        ("optimizer", *map(formatting.learning_rate, grid), "chosen", "test accuracy"),
        tuple(rows),
        "Every optimizer is judged at the learning rate with the highest mean best validation "
        "accuracy; of equals, the one with the lower validation cost. A learning rate at which "
        "fewer runs finished than at another is not chosen. The test pictures took no part in the "
        "choice. Test accuracy: mean (standard deviation) over seeds.",
    )


def edge_warning(runs: Runs) -> Paragraph | None:
    """Name the contenders whose chosen learning rate is at the grid's edge; None without any."""
    at_edge = [choice for choice in choose_learning_rates(runs) if choice.at_edge]
    if not at_edge:
        return None
    names = formatting.listed(
        f"{choice.label} ({formatting.learning_rate(choice.chosen.learning_rate)})"
        for choice in at_edge
    )
    return Paragraph(
        f"The best learning rate is at the edge of the grid for {names}: a better one may lie "
        "beyond it. Extend the grid before you compare."
    )


def _choose(runs: Runs, label: str) -> Choice:
    planned = [run for run in runs.comparison.runs if run.label == label]
    rates = sorted({run.learning_rate for run in planned}, key=lambda rate: rate or 0.0)
    tried = tuple(_tried(runs, label, rate) for rate in rates)
    chosen = max(tried, key=_merit)
    return Choice(label, tried, chosen, len(tried) > 1 and chosen in (tried[0], tried[-1]))


def _merit(tried: Tried) -> tuple[int, float, float, float]:
    if tried.finished == 0:
        return 0, 0.0, 0.0, -(tried.learning_rate or 0.0)
    # Means of equally many right answers may differ in the last bit.
    accuracy = round(tried.val_accuracy, 9)
    return tried.finished, accuracy, -tried.val_cost, -(tried.learning_rate or 0.0)


def _tried(runs: Runs, label: str, rate: float | None) -> Tried:
    there = [run for run in runs.of(label) if run.learning_rate == rate]
    gone = [run for run in runs.missing if (run.label, run.learning_rate) == (label, rate)]
    outcomes = [outcome(run) for run in there if run.status == "finished"]
    return Tried(
        rate,
        planned=len(there) + len(gone),
        finished=len(outcomes),
        val_accuracy=formatting.mean_and_deviation([o.best_val_accuracy for o in outcomes])[0],
        val_cost=formatting.mean_and_deviation([o.best_epoch_val_cost for o in outcomes])[0],
    )


def _cell(choice: Choice, rate: float) -> str:
    for tried in choice.tried:
        if tried.learning_rate == rate:
            text = formatting.percent(tried.val_accuracy)
            whole = tried.finished == tried.planned
            return text if whole else f"{text} ({tried.finished} of {tried.planned} finished)"
    return "not tried"


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
