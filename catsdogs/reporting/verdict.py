"""Verdicts: one sentence for each pair on whether the two are the same, with the evidence."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from catsdogs.io import formatting
from catsdogs.reporting.document import Paragraph, Section, VerdictLine
from catsdogs.reporting.sections.learning_rates import chosen_runs
from catsdogs.reporting.sections.parity import Parity, parities
from catsdogs.reporting.significance import CONFIDENCE, PairedComparison, compare_accuracy
from catsdogs.runs.contenders import Pair, pairs_of
from catsdogs.runs.reader import Runs

Kind = Literal[
    "identical bit for bit",
    "the same predictions",
    "equivalent within one point",
    "different",
    "the evidence does not decide",
    "nothing to compare",
]
HEADLINES: dict[Kind, str] = {
    "identical bit for bit": "{} and {} are identical bit for bit",
    "the same predictions": "{} makes the same predictions as {}",
    "equivalent within one point": "{} is equivalent to {} within one point of accuracy",
    "different": "{} and {} are different",
    "the evidence does not decide": "The evidence does not decide whether {} is as accurate as {}",
    "nothing to compare": "{} and {} have no runs that can be compared",
}
SIGN_OF: dict[Kind, str] = {
    "identical bit for bit": "=",
    "the same predictions": "=",
    "equivalent within one point": "≈",
    "different": "≠",
    "the evidence does not decide": "?",
    "nothing to compare": "?",
}


@dataclass(frozen=True)
class Verdict:
    """The verdict on a pair.

    Attributes:
        comparison: Test accuracies of the pair.
        parities: Costs, weights and logits of the pair, run by run.
        kind: The verdict in a few words.
        evidence: The rest of the sentence after the headline, with its punctuation.
    """

    comparison: PairedComparison
    parities: tuple[Parity, ...]
    kind: Kind
    evidence: str

    @property
    def headline(self) -> str:
        """Return the beginning of the sentence, which states the verdict."""
        pair = self.comparison.pair
        return HEADLINES[self.kind].format(pair.contender, pair.reference)

    @property
    def sentence(self) -> str:
        """Return the verdict with its evidence."""
        return self.headline + self.evidence


def verdicts_section(verdicts: Sequence[Verdict]) -> Section:
    """Return one line for each pair, or a sentence if there are no pairs."""
    lines = tuple(
        VerdictLine(SIGN_OF[verdict.kind], verdict.headline, verdict.evidence)
        for verdict in verdicts
    )
    alone = Paragraph("No pair of optimizers to compare.")
    return Section("Verdicts", lines or (alone,))


def verdicts(runs: Runs) -> tuple[Verdict, ...]:
    """Return the verdict on every pair of a comparison.

    The first rule that applies decides:

    - different: one of the two diverged in a seed in which the other finished;
    - identical bit for bit: costs, final weights and test logits are equal in at least one
      pair of runs, and nothing that can be compared differs;
    - nothing to compare: no seed has finished runs of both;
    - the same predictions: every test image has the same label in every seed;
    - equivalent within one point: two one-sided tests exclude a difference of one point at the
      5 % level;
    - different: the 95 % interval of the difference excludes zero;
    - otherwise the evidence does not decide.

    Args:
        runs: All runs; accuracies are compared at the chosen learning rates.

    Raises:
        UserError: If a weights file is damaged.
    """
    chosen = chosen_runs(runs)
    return tuple(
        _verdict(chosen, compare_accuracy(chosen, pair), parities(runs, pair))
        for pair in pairs_of(runs.comparison.contenders)
    )


def _verdict(runs: Runs, comparison: PairedComparison, parities: Sequence[Parity]) -> Verdict:
    diverged = _diverged_alone(runs, comparison.pair)
    kind = _kind(comparison, parities, bool(diverged))
    left_out: Iterable[tuple[int, str]] = comparison.left_out
    if kind == "identical bit for bit":
        evidence = _identity(comparison, parities)
        left_out = ((parity.seed, parity.remark) for parity in parities if not parity.identical)
    else:
        evidence = [*diverged, *_accuracy(comparison, kind), *_arithmetic(comparison, parities)]
    sentence = f": {'; '.join(evidence)}" if evidence else ""
    return Verdict(comparison, tuple(parities), kind, f"{sentence}.{_left_out(left_out)}")


def _kind(comparison: PairedComparison, parities: Sequence[Parity], diverged_alone: bool) -> Kind:
    if diverged_alone:
        return "different"
    if any(parity.identical for parity in parities) and not any(map(_differs, parities)):
        return "identical bit for bit"
    if not comparison.seeds:
        return "nothing to compare"
    if _agree(comparison):
        return "the same predictions"
    if comparison.interval is None or comparison.equivalence_p is None:
        return "the evidence does not decide"
    if comparison.equivalence_p < 1 - CONFIDENCE:
        return "equivalent within one point"
    low, high = comparison.interval
    return "the evidence does not decide" if low <= 0 <= high else "different"


def _agree(comparison: PairedComparison) -> bool:
    """Return whether both predict the same label for every test image."""
    return not any(seed.only_reference or seed.only_contender for seed in comparison.seeds)


def _differs(parity: Parity) -> bool:
    return (
        parity.first_difference is not None
        or parity.largest_weight_difference > 0
        or parity.largest_logit_difference > 0
    )


def _diverged_alone(runs: Runs, pair: Pair) -> list[str]:
    """Name the seeds in which one contender diverged and the other finished."""
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
        f"in {where}, the costs of all {iterations:,} iterations, the final weights and the logits "
        f"of all {images}test images are equal in every bit"
    ]
    for rate in sorted(rates, key=lambda rate: rate or 0.0):
        seeds = [p.seed for p in same if p.learning_rate == rate and p.remark]
        if seeds:
            at = f" at learning rate {formatting.learning_rate(rate)}" if len(rates) > 1 else ""
            sentences.append(f"in {formatting.numbered('seed', seeds)}{at}, both diverged alike")
    return sentences


def _accuracy(comparison: PairedComparison, kind: Kind) -> list[str]:
    """Return the difference in test accuracy; nothing if no seed can be compared."""
    seeds = comparison.seeds
    contender, reference = comparison.pair.contender, comparison.pair.reference
    if not seeds:
        return []
    where, images = formatting.count(len(seeds), "seed"), f"{seeds[0].images} test images"
    if _agree(comparison):
        return [f"in {where}, both predict the same label for each of {images}"]
    if len(seeds) == 1:
        return [_one_seed(comparison)]
    gap = _gap(comparison.mean, reference)
    if comparison.interval is None:
        return [
            f"in each of {where}, the accuracy of {contender} on {images} {gap}, but with other "
            "predictions; a difference that is the same in every seed has no interval"
        ]
    low, high = map(formatting.points, comparison.interval)
    return [
        f"over {where}, the mean accuracy of {contender} on {images} {gap} (95 % interval {low} to "
        f"{high} points{_reading(comparison.interval, kind)})"
    ]


def _one_seed(comparison: PairedComparison) -> str:
    (seed,), pair = comparison.seeds, comparison.pair
    return (
        f"in seed {seed.seed}, {pair.contender} classifies {seed.contender_right} of {seed.images} "
        f"test images correctly and {pair.reference} {seed.reference_right} "
        f"({seed.only_contender} only by {pair.contender}, {seed.only_reference} only by "
        f"{pair.reference}); one seed does not show how much seeds vary"
    )


def _gap(difference: float, reference: str) -> str:
    if difference == 0:
        return f"equals that of {reference}"
    size = f"{abs(100 * difference):.1f}" if abs(difference) >= 0.0005 else "less than 0.1"
    return f"is {size} points {'above' if difference > 0 else 'below'} that of {reference}"


def _reading(interval: tuple[float, float], kind: Kind) -> str:
    """Return a clause on what an interval contains."""
    low, high = interval
    if kind == "the evidence does not decide":
        return ", which contains both zero and a difference of one point"
    return "" if low <= 0 <= high else ", which excludes zero"


def _arithmetic(comparison: PairedComparison, parities: Sequence[Parity]) -> list[str]:
    """Return where the costs and weights of twins differ; other pairs are expected to differ."""
    there = [parity for parity in parities if parity.iterations]
    if not comparison.pair.twins or not there:
        return []
    firsts = [p.first_difference for p in there if p.first_difference is not None]
    if firsts:
        largest = max(parity.largest_cost_difference for parity in there)
        if largest == 0:
            costs = f"the costs are equal up to iteration {min(firsts) - 1:,}, where one run ends"
        elif math.isinf(largest):
            costs = (
                f"the costs first differ at iteration {min(firsts):,}, and in some iteration only "
                "one of them is finite"
            )
        else:
            by = formatting.difference(largest)
            costs = f"the costs first differ at iteration {min(firsts):,}, and by at most {by}"
    else:
        iterations = sum(parity.iterations for parity in there)
        costs = f"the costs of all {iterations:,} iterations are equal in every bit"
    apart = [p for p in there if p.largest_weight_difference > 0]
    if not apart:
        return [costs]
    worst = max(apart, key=lambda parity: parity.largest_weight_difference)
    weights = formatting.difference(worst.largest_weight_difference)
    return [f"{costs}; the final weights differ by at most {weights} ({worst.tensor})"]


def _left_out(seeds: Iterable[tuple[int, str]]) -> str:
    every = dict.fromkeys(f"seed {seed} ({why})" for seed, why in seeds)
    named = ", ".join(formatting.some(list(every)))
    return f" Not fully compared: {named}." if named else ""
