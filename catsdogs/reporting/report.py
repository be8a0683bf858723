"""The sections of a report in their order."""

from collections.abc import Sequence

from catsdogs.io.formatting import count, listed
from catsdogs.reporting.document import Document, Section, Table, shortened
from catsdogs.reporting.sections.calibration import calibration_section, confusion_section
from catsdogs.reporting.sections.curves import curves_section
from catsdogs.reporting.sections.incomplete_runs import incomplete_runs_section
from catsdogs.reporting.sections.learning_rates import chosen_runs, learning_rates_section
from catsdogs.reporting.sections.mistakes import mistakes_section
from catsdogs.reporting.sections.parity import parity_section
from catsdogs.reporting.sections.provenance import provenance_section
from catsdogs.reporting.sections.results import results_section
from catsdogs.reporting.sections.time_and_memory import time_and_memory_section
from catsdogs.reporting.significance import statistics_section
from catsdogs.reporting.verdict import Verdict, verdicts_section
from catsdogs.runs.reader import Runs


def contents(runs: Runs, verdicts: Sequence[Verdict], checks: tuple[Table, ...] = ()) -> Document:
    """Return the report on a folder of runs.

    Args:
        runs: All runs.
        verdicts: Verdicts on these runs, from `verdict.verdicts`.
        checks: Tables from `contract.check_table`; without any, the section is omitted.
    """
    chosen = chosen_runs(runs)
    sections = (
        verdicts_section(verdicts),
        results_section(chosen),
        curves_section(chosen),
        parity_section(chosen, {v.comparison.pair: v.parities for v in verdicts}),
        *([Section("Contract", checks)] if checks else []),
        statistics_section([verdict.comparison for verdict in verdicts]),
        learning_rates_section(runs),
        time_and_memory_section(runs, chosen),
        mistakes_section(chosen),
        confusion_section(chosen),
        calibration_section(chosen),
        incomplete_runs_section(runs),
        provenance_section(runs),
    )
    return Document(
        title="Optimizers compared",
        lead=_lead(runs),
        sections=tuple(map(_shortened, sections)),
    )


def _shortened(section: Section) -> Section:
    blocks = (shortened(block) if isinstance(block, Table) else block for block in section.blocks)
    return Section(section.title, tuple(blocks))


def _lead(runs: Runs) -> str:
    plan = runs.comparison
    finished = sum(run.status == "finished" for run in runs.found)
    return (
        f"{listed(plan.contenders)} on images of cats and dogs: "
        f"{count(len(plan.seeds), 'seed')}, {finished} of {count(len(plan.runs), 'run')} finished"
        f"{_images(runs)}."
    )


def _images(runs: Runs) -> str:
    """Return the sizes of the splits; a run that failed early has not recorded them."""
    for run in runs.found:
        if run.facts.get("data"):
            counts = run.facts["data"]["pictures"]
            return (
                f", {counts['train']:,} training, {counts['val']:,} validation and "
                f"{counts['test']:,} test images"
            )
    return ""
