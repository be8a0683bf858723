"""What is not there: runs that are missing, failed, diverged, were cut off, or are one too many."""

from collections.abc import Iterator

from catsdogs.io import formatting
from catsdogs.reporting.document import Paragraph, Table
from catsdogs.runs.comparison import PlannedRun
from catsdogs.runs.reader import Run, Runs


def reason(run: Run) -> str:
    """Say in one sentence why a run did not finish; empty for one that did."""
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
        return (
            f"it is not done, or was cut off after {formatting.count(len(run.costs), 'iteration')}"
        )
    return ""


def gaps(runs: Runs) -> Table | Paragraph:
    """Return a row for each run that tables and verdicts leave out, or that there is none.

    Args:
        runs: All of them.
    """
    rows = tuple(_rows(runs))
    if not rows:
        return Paragraph(f"All {formatting.count(len(runs.found), 'run')} finished.")
    return Table(
        f"Of {formatting.count(len(runs.found) + len(runs.missing), 'run')}, "
        f"{sum(run.status == 'finished' for run in runs.found)} finished; these are in no mean.",
        ("optimizer", "seed", "learning rate", "status", "why", "to complete it"),
        rows,
    )


def _rows(runs: Runs) -> Iterator[tuple[str, ...]]:
    command = runs.comparison.command
    for missing in runs.missing:
        yield *_who(missing), "missing", "there is no record", command
    for run in runs.found:
        if run.status == "diverged":
            yield *_who(run), run.status, reason(run), "a result, not a gap: nothing to redo"
        elif run.status != "finished":
            again = command or str(run.facts.get("command", ""))
            yield *_who(run), run.status, reason(run), again
    for run in runs.repeated:
        why = f"{run.directory.name} repeats a run that is used in its place"
        yield *_who(run), "repeated", why, "nothing to do"


def _who(run: Run | PlannedRun) -> tuple[str, str, str]:
    return run.label, str(run.seed), formatting.learning_rate(run.learning_rate)
