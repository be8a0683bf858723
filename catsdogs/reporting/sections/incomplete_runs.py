"""Incomplete runs: missing, failed, diverged, interrupted and repeated ones."""

from collections.abc import Iterator

from catsdogs.io import formatting
from catsdogs.reporting.document import Paragraph, Section, Table
from catsdogs.runs.comparison import PlannedRun
from catsdogs.runs.reader import Run, Runs


def incomplete_runs_section(runs: Runs) -> Section:
    """Return the runs that tables and verdicts do not include.

    Args:
        runs: All runs.
    """
    return Section("Incomplete runs", (incomplete_runs_table(runs),))


def reason(run: Run) -> str:
    """Return the reason why a run did not finish; empty for a finished run."""
    facts = run.facts
    if run.status == "diverged":
        where = facts.get("diverged", {})
        return (
            f"the {where.get('what', 'cost')} became {where.get('cost', 'not finite')} in epoch "
            f"{where.get('epoch', '?')}, iteration {where.get('iteration', '?')}"
        )
    if run.status == "failed":
        return str(facts.get("error", "no error is recorded"))
    if run.status == "running":
        return f"interrupted or still running, {formatting.count(len(run.costs), 'iteration')} done"
    return ""


def incomplete_runs_table(runs: Runs) -> Table | Paragraph:
    """Return each run that tables and verdicts do not include, or a sentence if all finished.

    Args:
        runs: All runs.
    """
    rows = tuple(_rows(runs))
    if not rows:
        return Paragraph(f"All {formatting.count(len(runs.found), 'run')} finished.")
    return Table(
        f"Of {formatting.count(len(runs.found) + len(runs.missing), 'run')}, "
        f"{sum(run.status == 'finished' for run in runs.found)} finished; the means do not include "
        "these:",
        ("optimizer", "seed", "learning rate", "status", "reason", "command to complete it"),
        rows,
    )


def _rows(runs: Runs) -> Iterator[tuple[str, ...]]:
    command = runs.comparison.command
    for missing in runs.missing:
        yield *_who(missing), "missing", "no record", command
    for run in runs.found:
        if run.status == "diverged":
            yield *_who(run), run.status, reason(run), "none: divergence is a result"
        elif run.status != "finished":
            again = command or str(run.facts.get("command", ""))
            yield *_who(run), run.status, reason(run), again
    for run in runs.repeated:
        why = f"{run.directory.name} repeats another run, which is used instead"
        yield *_who(run), "repeated", why, "none: nothing is missing"


def _who(run: Run | PlannedRun) -> tuple[str, str, str]:
    return run.label, str(run.seed), formatting.learning_rate(run.learning_rate)
