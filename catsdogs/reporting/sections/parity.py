"""Are two optimizers the same arithmetic? Costs, weights and answers, bit for bit."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from catsdogs.io import formatting
from catsdogs.io.formatting import count
from catsdogs.reporting.document import Panels, Table
from catsdogs.reporting.plotting import method_panels, styled
from catsdogs.reporting.style import line_style, role_and_method
from catsdogs.runs.contenders import Pair, pairs_of
from catsdogs.runs.reader import Floats, Run, Runs

Both = tuple[NDArray[Any], NDArray[Any]]
# What is said of a run that did not finish.
STATUS = {"diverged": "diverged", "failed": "failed", "running": "was cut off or is not done"}


@dataclass(frozen=True)
class Parity:
    """Two runs of the same seed and learning rate side by side.

    Attributes:
        seed: Of both.
        learning_rate: Of the contender.
        remark: What keeps the two from being compared in full, such as a run that is missing or
            diverged; empty where nothing does.
        iterations: How many both have; 0 where one of them is missing.
        first_difference: The first iteration, from 1, whose costs are not the same bits (the length
            of the shorter series and 1 where only the length differs); None where all are.
        largest_cost_difference: Over these iterations; inf where only one of two costs is finite,
            nan without iterations.
        largest_weight_difference: Over all weights after the last step; nan where a run left none.
        tensor: The name of the weights that differ most; empty where none differ.
        largest_logit_difference: Over the test pictures; nan where a run has no answers.
        identical: Whether costs, final weights and test logits are all there and the same bits.
    """

    seed: int
    learning_rate: float | None
    remark: str
    iterations: int
    first_difference: int | None
    largest_cost_difference: float
    largest_weight_difference: float
    tensor: str
    largest_logit_difference: float
    identical: bool


def cost_differences(reference: Run, contender: Run) -> Floats:
    """Return the absolute difference of two runs' costs at every iteration that both have.

    Equal values differ by 0 even if they are not finite; inf where only one is finite.
    """
    common = min(len(reference.costs), len(contender.costs))
    return _differences(reference.costs[:common], contender.costs[:common])


def parities(runs: Runs, pair: Pair) -> tuple[Parity, ...]:
    """Compare a pair at every seed, and at every learning rate of the grid if there is one.

    Raises:
        UserError: If a file of weights is damaged.
    """
    planned = dict.fromkeys(
        (run.seed, run.learning_rate) for run in runs.comparison.runs if run.label == pair.contender
    )
    return tuple(_parity(runs, pair, seed, rate) for seed, rate in planned)


def parity_table(runs: Runs, pairs: Sequence[Pair]) -> Table:
    """Return a row for each pair, seed and learning rate."""
    rows = tuple(
        (
            f"{pair.contender} and {pair.reference}",
            str(parity.seed),
            formatting.learning_rate(parity.learning_rate),
            f"{parity.iterations:,}",
            _first_difference(parity),
            formatting.difference(parity.largest_cost_difference),
            _weight_difference(parity),
            formatting.difference(parity.largest_logit_difference),
            "yes" if parity.identical else "no",
            parity.remark,
        )
        for pair in pairs
        for parity in parities(runs, pair)
    )
    return Table(
        "Two optimizers side by side, each pair of runs from the same initial head.",
        (
            "pair",
            "seed",
            "learning rate",
            "iterations",
            "first difference",
            "cost, at most",
            "weights, at most",
            "test logits, at most",
            "identical",
            "remark",
        ),
        rows,
        "Largest absolute differences: of the cost over all iterations, of the weights after the "
        "last step, and of the best checkpoint's logits over the test pictures. First difference: "
        "the first iteration whose costs are not the same bits. Identical: all three are there "
        "and the same bits.",
    )


def _parity(runs: Runs, pair: Pair, seed: int, rate: float | None) -> Parity:
    contender = runs.get(pair.contender, seed, rate)
    # Without a grid, each contender has a learning rate of its own.
    reference = runs.get(pair.reference, seed, rate if runs.comparison.learning_rates else None)
    if reference is None or contender is None:
        absent = pair.contender if contender is None else pair.reference
        remark = f"{absent} has no run here"
        return Parity(seed, rate, remark, 0, None, math.nan, math.nan, "", math.nan, False)
    return _side_by_side(reference, contender)


def _side_by_side(reference: Run, contender: Run) -> Parity:
    costs = cost_differences(reference, contender)
    first = _first_cost_that_differs(reference, contender)
    weights = _weights_of(reference, contender)
    gaps = {name: _largest(*both) for name, both in weights.items()}
    tensor = max(gaps, key=lambda name: gaps[name], default="")
    logits = _logits_of(reference, contender)
    identical = first is None and len(costs) > 0 and bool(weights) and logits is not None
    return Parity(
        seed=contender.seed,
        learning_rate=contender.learning_rate,
        remark=_remark(reference, contender, bool(weights), bool(logits)),
        iterations=len(costs),
        first_difference=first,
        largest_cost_difference=float(costs.max()) if len(costs) else math.nan,
        largest_weight_difference=gaps.get(tensor, math.nan),
        tensor=tensor if gaps.get(tensor) else "",
        largest_logit_difference=_largest(*logits) if logits else math.nan,
        identical=identical and _same_bits([*weights.values(), *filter(None, [logits])]),
    )


def _same_bits(tensors: Iterable[Both]) -> bool:
    return all(one.tobytes() == other.tobytes() for one, other in tensors)


def _remark(reference: Run, contender: Run, weights: bool, logits: bool) -> str:
    remarks = [
        f"{run.label} {STATUS[run.status]}"
        for run in (reference, contender)
        if run.status != "finished"
    ]
    if not remarks and not weights:
        remarks.append("no final weights of both that fit each other")
    if not remarks and not logits:
        remarks.append("the test pictures are not the same")
    return " and ".join(remarks)


def _first_cost_that_differs(reference: Run, contender: Run) -> int | None:
    one, other = reference.costs, contender.costs
    common = min(len(one), len(other))
    same = one[:common].view(np.int64) == other[:common].view(np.int64)
    if not same.all():
        return int(np.argmin(same)) + 1
    # That a run failed or was cut off says nothing of the iterations that it lacks.
    both_ended = {reference.status, contender.status} <= {"finished", "diverged"}
    return common + 1 if both_ended and len(one) != len(other) else None


def _weights_of(reference: Run, contender: Run) -> dict[str, Both]:
    """Return both runs' final weights by name; empty where they are missing or do not fit."""
    one, other = reference.weights() or {}, contender.weights() or {}
    if {name: tensor.shape for name, tensor in one.items()} != {
        name: tensor.shape for name, tensor in other.items()
    }:
        return {}
    return {name: (one[name], other[name]) for name in sorted(one)}


def _logits_of(reference: Run, contender: Run) -> Both | None:
    """Return both runs' test logits; None where they are missing or of other pictures."""
    if reference.test is None or contender.test is None:
        return None
    if reference.test.paths != contender.test.paths:
        return None
    return reference.test.logits, contender.test.logits


def _differences(one: NDArray[Any], other: NDArray[Any]) -> Floats:
    one, other = one.astype(np.float64), other.astype(np.float64)
    with np.errstate(invalid="ignore"):  # inf - inf is dealt with below
        apart: Floats = np.abs(one - other)
    apart[(one == other) | (np.isnan(one) & np.isnan(other))] = 0.0
    apart[np.isnan(apart)] = np.inf
    return apart


def _largest(one: NDArray[Any], other: NDArray[Any]) -> float:
    return float(_differences(one, other).max(initial=0.0))


def _first_difference(parity: Parity) -> str:
    if parity.iterations == 0:
        return formatting.NOTHING
    if parity.first_difference is None:
        return "none"
    return f"{parity.first_difference:,}"


def _weight_difference(parity: Parity) -> str:
    text = formatting.difference(parity.largest_weight_difference)
    return f"{text} ({parity.tensor})" if parity.tensor else text


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
        colour = line_style(label, runs.comparison.contenders).colour
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
