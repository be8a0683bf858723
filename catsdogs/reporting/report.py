"""What a report says and in what order; every section says why when it is short."""

from catsdogs.io.formatting import count
from catsdogs.reporting.document import Block, Document, Paragraph, Section, Table, VerdictLine
from catsdogs.reporting.sections.calibration import calibration_table, confusion_table, reliability
from catsdogs.reporting.sections.curves import (
    drawable,
    training_cost,
    validation_accuracy,
    validation_cost,
)
from catsdogs.reporting.sections.incomplete_runs import gaps
from catsdogs.reporting.sections.learning_rates import (
    chosen_runs,
    edge_warning,
    learning_rate_table,
    sensitivity,
)
from catsdogs.reporting.sections.mistakes import gallery
from catsdogs.reporting.sections.parity import cost_difference, parity_table
from catsdogs.reporting.sections.provenance import (
    commands_table,
    disagreement,
    provenance_table,
    settings_table,
)
from catsdogs.reporting.sections.results import published_table, results_table, seeds_table
from catsdogs.reporting.sections.time_and_memory import (
    memory,
    memory_table,
    step_time,
    step_time_table,
    training_time_table,
    way_to_target,
)
from catsdogs.reporting.significance import accuracy_table, answers_table
from catsdogs.reporting.verdict import HEADS, Kind, Verdict
from catsdogs.runs.contenders import pairs_of
from catsdogs.runs.reader import Runs

SIGN_OF: dict[Kind, str] = {
    "identical bit for bit": "=",
    "the same answers": "=",
    "equivalent within one point": "≈",
    "different": "≠",
    "the evidence does not decide": "?",
    "nothing to compare": "?",
}


def contents(runs: Runs, verdicts: tuple[Verdict, ...], checks: tuple[Table, ...] = ()) -> Document:
    """Put the report together.

    Args:
        runs: All of them.
        verdicts: What `verdict.verdicts` says of them.
        checks: What `checks.check_table` says of optimizers; without any the section is left out.
    """
    chosen = chosen_runs(runs)
    return Document(
        title="Optimizers compared",
        lead=_lead(runs),
        sections=(
            Section("Verdicts", _verdicts(verdicts)),
            Section(
                "Results",
                _there(results_table(chosen), published_table(chosen), seeds_table(chosen)),
            ),
            Section("Curves", _curves(chosen)),
            Section("Parity", _parity(chosen, runs)),
            *([Section("Contract", checks)] if checks else []),
            Section("Statistics", _statistics(verdicts)),
            Section("Learning rates", _learning_rates(runs)),
            Section("Time and memory", _effort(chosen, runs)),
            Section("Mistakes", _there(gallery(chosen))),
            Section("Confusion", _there(confusion_table(chosen))),
            Section("Calibration", _there(reliability(chosen), calibration_table(chosen))),
            Section("What is missing", _there(gaps(runs))),
            Section(
                "How to make it again",
                _there(
                    commands_table(runs),
                    provenance_table(runs),
                    disagreement(runs),
                    settings_table(runs),
                ),
            ),
        ),
    )


def _there(*blocks: Block | None) -> tuple[Block, ...]:
    return tuple(block for block in blocks if block is not None)


def _lead(runs: Runs) -> str:
    plan = runs.comparison
    finished = sum(run.status == "finished" for run in runs.found)
    return (
        f"{', '.join(plan.contenders)} on cats against dogs: "
        f"{count(len(plan.seeds), 'seed')}, {finished} of {count(len(plan.runs), 'run')} finished"
        f"{_images(runs)}."
    )


def _images(runs: Runs) -> str:
    """Say how many there were; a run that failed early has not looked at them."""
    for run in runs.found:
        if run.facts.get("data"):
            counts = run.facts["data"]["pictures"]
            return (
                f", {counts['train']:,} training, {counts['val']:,} validation and "
                f"{counts['test']:,} test pictures"
            )
    return ""


def _verdicts(verdicts: tuple[Verdict, ...]) -> tuple[Block, ...]:
    if not verdicts:
        return (Paragraph("There is one kind of contender only, so there is no pair to judge."),)
    return tuple(
        VerdictLine(
            SIGN_OF[verdict.kind],
            headline(verdict),
            verdict.sentence.removeprefix(headline(verdict)),
        )
        for verdict in verdicts
    )


def headline(verdict: Verdict) -> str:
    """Return how a verdict's sentence begins, before the evidence."""
    pair = verdict.comparison.pair
    return HEADS[verdict.kind].format(pair.contender, pair.reference)


def _curves(chosen: Runs) -> tuple[Block, ...]:
    if not drawable(chosen):
        return (Paragraph("No run came to an end, so there is no curve to draw."),)
    return training_cost(chosen), validation_cost(chosen), validation_accuracy(chosen)


def _parity(chosen: Runs, runs: Runs) -> tuple[Block, ...]:
    pairs = pairs_of(runs.comparison.contenders)
    if not pairs:
        return (Paragraph("There is no pair of optimizers to hold against each other."),)
    return _there(cost_difference(chosen), parity_table(runs, pairs))


def _statistics(verdicts: tuple[Verdict, ...]) -> tuple[Block, ...]:
    comparisons = [verdict.comparison for verdict in verdicts]
    if not comparisons:
        return (Paragraph("There is no pair of optimizers to compare."),)
    few = max(len(comparison.seeds) for comparison in comparisons) < 2
    warning = "With one seed there is no spread to judge a difference by; compare over several."
    return _there(
        Paragraph(warning) if few else None,
        accuracy_table(comparisons),
        answers_table(comparisons),
    )


def _learning_rates(runs: Runs) -> tuple[Block, ...]:
    if len(runs.comparison.learning_rates) < 2:
        return (
            Paragraph(
                "Every contender ran at one learning rate, its own; with one there is nothing to "
                "tell of what another would have done."
            ),
        )
    return _there(sensitivity(runs), learning_rate_table(runs), edge_warning(runs))


def _effort(chosen: Runs, runs: Runs) -> tuple[Block, ...]:
    steps = step_time_table(runs)
    untimed = Paragraph("The time of a single step was not measured with these runs.")
    return _there(
        way_to_target(chosen),
        training_time_table(chosen),
        step_time(runs),
        steps or untimed,
        memory(chosen),
        memory_table(chosen),
    )
