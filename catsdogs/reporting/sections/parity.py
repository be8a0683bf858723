"""Parity: costs, weights and logits of two optimizers, compared bit for bit."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from catsdogs.io import formatting
from catsdogs.io.formatting import count
from catsdogs.reporting.document import Panels, Paragraph, Section, Table, present
from catsdogs.reporting.plotting import method_panels, styled
from catsdogs.reporting.style import line_style, role_and_method
from catsdogs.runs.contenders import Pair, pairs_of
from catsdogs.runs.reader import Floats, Run, Runs

POINTS = 5000  # a longer series is drawn as maxima over blocks of iterations
Both = tuple[NDArray[Any], NDArray[Any]]
# Descriptions of runs that did not finish.
STATUS = {
    "diverged": "diverged",
    "failed": "failed",
    "running": "was interrupted or is still running",
}


@dataclass(frozen=True)
class Parity:
    """Differences between two runs of the same seed and learning rate.

    Attributes:
        seed: Seed of both runs.
        learning_rate: Learning rate of the contender.
        remark: Why the two cannot be compared fully, such as a missing or diverged run; else empty.
        iterations: Number of iterations that both have; 0 if one of the runs is missing.
        first_difference: First iteration, from 1, whose costs differ in any bit; the iteration
            after the end of the shorter series if only the lengths differ; None if all are equal.
        largest_cost_difference: Maximum over these iterations; inf if only one of two costs is
            finite, nan without iterations.
        largest_weight_difference: Maximum over the final weights; nan if a run has none.
        tensor: Name of the tensor that differs most; empty if none differs.
        largest_logit_difference: Maximum over the test images; nan if a run has no predictions.
        identical: Whether costs, final weights and test logits all exist and are equal bit for bit.
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


def parity_section(chosen: Runs, compared: Mapping[Pair, Sequence[Parity]]) -> Section:
    """Return the differences between the two optimizers of each pair.

    Args:
        chosen: One run for each contender and seed, as `chosen_runs` returns them.
        compared: What `parities` returned for each pair.
    """
    if not compared:
        return Section("Parity", (Paragraph("No pair of optimizers to compare."),))
    return Section("Parity", present(cost_difference(chosen), parity_table(compared)))


def cost_differences(reference: Run, contender: Run) -> Floats:
    """Return the absolute differences between the costs of two runs, (common iterations,).

    The difference of equal values is 0 even if they are not finite, and inf if only one of two
    values is finite.
    """
    common = min(len(reference.costs), len(contender.costs))
    return _differences(reference.costs[:common], contender.costs[:common])


def parities(runs: Runs, pair: Pair) -> tuple[Parity, ...]:
    """Compare a pair at every seed and, with a grid, at every learning rate.

    Raises:
        UserError: If a weights file is damaged.
    """
    planned = dict.fromkeys(
        (run.seed, run.learning_rate) for run in runs.comparison.runs if run.label == pair.contender
    )
    return tuple(_parity(runs, pair, seed, rate) for seed, rate in planned)


def parity_table(compared: Mapping[Pair, Sequence[Parity]]) -> Table:
    """Return the differences of each pair, seed and learning rate."""
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
        for pair, found in compared.items()
        for parity in found
    )
    return Table(
        "Differences between two optimizers that start from the same head.",
        (
            "pair",
            "seed",
            "learning rate",
            "iterations",
            "first difference",
            "largest cost difference",
            "largest weight difference",
            "largest test logit difference",
            "identical",
            "remark",
        ),
        rows,
        "Differences are absolute: of the costs over all iterations, of the weights after the last "
        "step, and of the best checkpoints' logits over the test images. First difference: the "
        "first iteration whose costs are not equal bit for bit. Identical: costs, weights and "
        "logits all exist and are equal bit for bit.",
    )


def _parity(runs: Runs, pair: Pair, seed: int, rate: float | None) -> Parity:
    contender = runs.get(pair.contender, seed, rate)
    # Without a grid, the reference may have another learning rate.
    reference = runs.get(pair.reference, seed, rate if runs.comparison.learning_rates else None)
    if reference is None or contender is None:
        absent = pair.contender if contender is None else pair.reference
        remark = f"{absent} has no run"
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
        remarks.append("the final weights are missing or have other names or shapes")
    if not remarks and not logits:
        remarks.append("the test images differ")
    return " and ".join(remarks)


def _first_cost_that_differs(reference: Run, contender: Run) -> int | None:
    one, other = reference.costs, contender.costs
    common = min(len(one), len(other))
    same = one[:common].view(np.int64) == other[:common].view(np.int64)
    if not same.all():
        return int(np.argmin(same)) + 1
    # A failed or interrupted run does not show what its missing iterations would have been.
    both_ended = {reference.status, contender.status} <= {"finished", "diverged"}
    return common + 1 if both_ended and len(one) != len(other) else None


def _weights_of(reference: Run, contender: Run) -> dict[str, Both]:
    """Return both runs' final weights by name; empty if missing or of other names or shapes."""
    one, other = reference.weights() or {}, contender.weights() or {}
    if {name: tensor.shape for name, tensor in one.items()} != {
        name: tensor.shape for name, tensor in other.items()
    }:
        return {}
    return {name: (one[name], other[name]) for name in sorted(one)}


def _logits_of(reference: Run, contender: Run) -> Both | None:
    """Return both runs' test logits; None if they are missing or for other images."""
    if reference.test is None or contender.test is None:
        return None
    if reference.test.paths != contender.test.paths:
        return None
    return reference.test.logits, contender.test.logits


def _differences(one: NDArray[Any], other: NDArray[Any]) -> Floats:
    one, other = one.astype(np.float64), other.astype(np.float64)
    with np.errstate(invalid="ignore"):  # inf - inf is replaced below
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
    """Draw the cost differences of the contenders with a native twin; None if there are none.

    Args:
        runs: One run for each contender and seed, as `chosen_runs` returns them.
    """
    differences = {
        pair.contender: found
        for pair in pairs_of(runs.comparison.contenders)
        if pair.twins and role_and_method(pair.reference)[0] == "native"
        for found in [_pair_differences(runs, pair)]
        if found.largest.size
    }
    if not differences:
        return None
    longest = max(len(found.largest) for found in differences.values())
    block = -(-longest // POINTS)

    def draw(axes: Axes, label: str) -> str:
        words = _in_words(label, differences[label])
        largest = _largest_in_blocks(differences[label].largest, block)
        places = np.minimum(block * np.arange(1, len(largest) + 1), longest)
        colour = line_style(label, runs.comparison.contenders).colour
        shown = np.where((largest > 0) & np.isfinite(largest), largest, np.nan)
        axes.plot(places, shown, color=colour, linewidth=1.1, label=words)
        return words

    figures, drawn = method_panels(
        "cost-difference", list(differences), "iteration", "difference from native cost", draw
    )
    _scale(drawn, longest, np.concatenate([found.largest for found in differences.values()]))
    blocks = f" and over blocks of {block} iterations" if block > 1 else ""
    return Panels(
        "Absolute difference between the training costs of a contender and its native twin at "
        f"every iteration, maximum over the seeds{blocks}. A logarithmic axis "
        "cannot show 0, so the legend counts the iterations with a difference of 0.",
        figures,
    )


@dataclass(frozen=True)
class _OverSeeds:
    """Cost differences of a pair: the largest over the seeds, (iterations,), and their number."""

    largest: Floats
    seeds: int


def _pair_differences(runs: Runs, pair: Pair) -> _OverSeeds:
    """Return the largest cost differences where both have a run, up to the end of the shortest."""
    largest, seeds = np.empty(0), 0
    for seed in runs.comparison.seeds:
        one, other = runs.get(pair.reference, seed), runs.get(pair.contender, seed)
        if one and other:
            found = cost_differences(one, other)
            shortest = min(len(largest), len(found)) if seeds else len(found)
            largest = np.maximum(largest[:shortest], found[:shortest]) if seeds else found
            seeds += 1
    return _OverSeeds(largest, seeds)


def _largest_in_blocks(values: Floats, block: int) -> Floats:
    largest: Floats = np.maximum.reduceat(values, np.arange(0, len(values), block))
    return largest


def _in_words(label: str, found: _OverSeeds) -> str:
    seeds, iterations = count(found.seeds, "seed"), count(len(found.largest), "iteration")
    highest = found.largest.max()
    if highest == 0:
        return f"{label}: exactly 0 ({iterations}, {seeds})"
    zeros = int((found.largest == 0).sum())
    exactly = f", 0 at {zeros:,} of {iterations}" if zeros else ""
    return f"{label}: up to {highest:.2g}{exactly}"


def _scale(drawn: list[Axes], longest: int, shown: Floats) -> None:
    above = shown[np.isfinite(shown) & (shown > 0)]
    for axes in drawn:
        axes.set_yscale("log")
        axes.set_xlim(0, longest + 1)
        axes.set_ylim(*((above.min() / 3, above.max() * 3) if above.size else (1e-9, 1.0)))
        if not any(np.isfinite(line.get_ydata()).any() for line in axes.lines):
            words = "exactly 0 at every iteration"
            axes.text(0.5, 0.5, words, transform=axes.transAxes, ha="center", va="center")
