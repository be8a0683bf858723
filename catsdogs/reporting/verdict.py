"""One sentence for each pair: are the two the same here, how far apart, on what evidence."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from catsdogs.io import formatting
from catsdogs.reporting.document import Table
from catsdogs.reporting.sections.learning_rates import chosen_runs
from catsdogs.reporting.sections.parity import Parity, parities
from catsdogs.reporting.significance import (
    CONFIDENCE,
    PairedComparison,
    SeedAnswers,
    compare_accuracy,
)
from catsdogs.runs.contenders import Pair, pairs_of
from catsdogs.runs.reader import Runs

Kind = Literal[
    "identical bit for bit",
    "the same answers",
    "equivalent within one point",
    "different",
    "the evidence does not decide",
    "nothing to compare",
]
HEADS: dict[Kind, str] = {
    "identical bit for bit": "{} and {} are identical bit for bit",
    "the same answers": "{} gives the same answers as {}",
    "equivalent within one point": "{} is equivalent to {} within one point of accuracy",
    "different": "{} and {} are different",
    "the evidence does not decide": "The evidence does not decide whether {} is as accurate as {}",
    "nothing to compare": "{} and {} have no runs that can be compared",
}


@dataclass(frozen=True)
class Verdict:
    """What the records say of a pair.

    Attributes:
        comparison: Of test accuracies; names the pair.
        parities: Of costs, weights and logits.
        kind: In a few words.
        sentence: With the evidence.
    """

    comparison: PairedComparison
    parities: tuple[Parity, ...]
    kind: Kind
    sentence: str


def verdicts(runs: Runs) -> tuple[Verdict, ...]:
    """Judge every pair of a comparison.

    Args:
        runs: All of them; the learning rate is chosen here.

    Raises:
        UserError: If a file of weights is damaged.
    """
    chosen = chosen_runs(runs)
    return tuple(
        judge(chosen, compare_accuracy(chosen, pair), parities(runs, pair))
        for pair in pairs_of(runs.comparison.contenders)
    )


def judge(runs: Runs, comparison: PairedComparison, parities: Sequence[Parity]) -> Verdict:
    """Judge one pair.

    Args:
        runs: One for each contender and seed, as `chosen_runs` returns them.
        comparison: Of the pair's test accuracies.
        parities: Of its costs, weights and logits.
    """
    diverged = _diverged_alone(runs, comparison.pair)
    kind = _kind(comparison, parities, bool(diverged))
    left_out: Iterable[tuple[int, str]] = comparison.left_out
    if kind == "identical bit for bit":
        evidence = _identity(comparison, parities)
        left_out = ((parity.seed, parity.remark) for parity in parities if not parity.identical)
    else:
        evidence = [*diverged, *_accuracy(comparison, kind), *_arithmetic(comparison, parities)]
    head = HEADS[kind].format(comparison.pair.contender, comparison.pair.reference)
    sentence = ": ".join(filter(None, (head, "; ".join(evidence))))
    return Verdict(comparison, tuple(parities), kind, f"{sentence}.{_left_out(left_out)}")


def verdict_table(verdicts: Sequence[Verdict]) -> Table:
    """Return a row for each pair: the verdict and its sentence."""
    return Table(
        "Are the two the same here?",
        ("pair", "verdict", "evidence"),
        tuple(
            (
                f"{verdict.comparison.pair.contender} and {verdict.comparison.pair.reference}",
                verdict.kind,
                verdict.sentence,
            )
            for verdict in verdicts
        ),
        "Identical bit for bit: costs, final weights and test logits. Otherwise the test "
        "accuracies decide, paired over seeds: equivalent within one point if two one-sided tests "
        "exclude a gap of one point at the 5 % level; else different if the 95 % interval misses "
        "zero; else the evidence does not decide, which is not the same as equal. All of it is "
        "about this task, these pictures and these settings.",
    )


def _kind(comparison: PairedComparison, parities: Sequence[Parity], diverged_alone: bool) -> Kind:
    if diverged_alone:
        return "different"
    if any(parity.identical for parity in parities) and not any(map(_differs, parities)):
        return "identical bit for bit"
    if not comparison.seeds:
        return "nothing to compare"
    if not any(seed.only_reference or seed.only_contender for seed in comparison.seeds):
        return "the same answers"
    if comparison.interval is None or comparison.equivalence_p is None:
        return "the evidence does not decide"
    if comparison.equivalence_p < 1 - CONFIDENCE:
        return "equivalent within one point"
    low, high = comparison.interval
    return "the evidence does not decide" if low <= 0 <= high else "different"


def _differs(parity: Parity) -> bool:
    return (
        parity.first_difference is not None
        or parity.largest_weight_difference > 0
        or parity.largest_logit_difference > 0
    )


def _diverged_alone(runs: Runs, pair: Pair) -> list[str]:
    """Say for each of a pair in which seeds it diverged while the other one finished."""
    sentences = []
    for label, other in ((pair.contender, pair.reference), (pair.reference, pair.contender)):
        finished = {run.seed for run in runs.finished(other)}
        seeds = [r.seed for r in runs.of(label) if r.status == "diverged" and r.seed in finished]
        if seeds:
            where = formatting.numbered("seed", seeds)
            sentences.append(f"{label} diverged in {where}, where {other} finished")
    return sentences


def _identity(comparison: PairedComparison, parities: Sequence[Parity]) -> list[str]:
    same = [parity for parity in parities if parity.identical]
    rates = {parity.learning_rate for parity in same}
    where = formatting.count(len({parity.seed for parity in same}), "seed")
    if len(rates) > 1:
        where = f"{len(same)} pairs of runs ({where}, {len(rates)} learning rates)"
    iterations = sum(parity.iterations for parity in same)
    images = f"{comparison.seeds[0].images} " if comparison.seeds else ""
    sentences = [
        f"in {where}, the costs of all {iterations:,} iterations, the weights after the last step "
        f"and the logits of all {images}test pictures are the same bits"
    ]
    for rate in sorted(rates, key=lambda rate: rate or 0.0):
        alike = [p.seed for p in same if p.learning_rate == rate and p.remark]
        if alike:
            at = (
                f" at a learning rate of {formatting.learning_rate(rate)}" if len(rates) > 1 else ""
            )
            sentences.append(f"in {formatting.numbered('seed', alike)}{at} both diverged, alike")
    return sentences


def _accuracy(comparison: PairedComparison, kind: Kind) -> list[str]:
    """Say how far apart the test accuracies are; nothing where no seed can be compared."""
    seeds, reference = comparison.seeds, comparison.pair.reference
    if not seeds:
        return []
    where, images = formatting.count(len(seeds), "seed"), f"{seeds[0].images} test pictures"
    if kind == "the same answers":
        return [f"in {where}, each of {images} gets the same answer from both"]
    if len(seeds) == 1:
        return [_one_seed(seeds[0])]
    lies = _lies(comparison.mean, reference)
    if comparison.interval is None:
        return [
            f"in each of {where} its accuracy on {images} {lies}, though not by the same "
            "answers; without spread there is no interval"
        ]
    low, high = map(formatting.points, comparison.interval)
    return [
        f"over {where} its mean accuracy on {images} {lies} (95 % interval {low} to {high} "
        f"points{_reading(comparison.interval, kind)})"
    ]


def _one_seed(seed: SeedAnswers) -> str:
    return (
        f"in seed {seed.seed} it answers {seed.contender_right} of {seed.images} test pictures "
        f"rightly against {seed.reference_right} ({seed.only_contender} that only it has right, "
        f"{seed.only_reference} that only the other has), and one seed does not tell what the next "
        "would give"
    )


def _lies(difference: float, reference: str) -> str:
    if difference == 0:
        return f"equals that of {reference}"
    size = f"{abs(100 * difference):.1f}" if abs(difference) >= 0.0005 else "less than 0.1"
    return f"is {size} points {'above' if difference > 0 else 'below'} that of {reference}"


def _reading(interval: tuple[float, float], kind: Kind) -> str:
    """Say what an interval holds."""
    low, high = interval
    if kind == "the evidence does not decide":
        return ", which holds both no gap and a gap of one point"
    if low <= 0 <= high:
        return ""
    return ", which misses zero" if kind == "different" else ", small but not zero"


def _arithmetic(comparison: PairedComparison, parities: Sequence[Parity]) -> list[str]:
    """Say where twins part; others are not meant to be the same arithmetic."""
    there = [parity for parity in parities if parity.iterations]
    if not comparison.pair.twins or not there:
        return []
    firsts = [p.first_difference for p in there if p.first_difference is not None]
    if firsts:
        most = max(parity.largest_cost_difference for parity in there)
        how = f"never by more than {formatting.difference(most)}"
        if math.isinf(most):
            how = "at last only one of them is a number"
        costs = f"the costs first differ at iteration {min(firsts):,}, and {how}"
    else:
        iterations = sum(parity.iterations for parity in there)
        costs = f"the costs of all {iterations:,} iterations are the same bits"
    apart = [p for p in there if p.largest_weight_difference > 0]
    if not apart:
        return [costs]
    worst = max(apart, key=lambda parity: parity.largest_weight_difference)
    weights = formatting.difference(worst.largest_weight_difference)
    return [f"{costs}; the final weights differ by at most {weights} ({worst.tensor})"]


def _left_out(seeds: Iterable[tuple[int, str]]) -> str:
    named = ", ".join(dict.fromkeys(f"seed {seed} ({why})" for seed, why in seeds))
    return f" Not compared in full: {named}." if named else ""
