"""Reproducibility: commands, data, weights, settings, versions, hardware and commit."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from catsdogs.io import formatting
from catsdogs.reporting.document import Paragraph, Section, Table
from catsdogs.runs.reader import Run, Runs
from catsdogs.runs.schema import flat

# Settings that differ between the runs of a comparison, or that do not affect results.
OWN_SETTINGS = ("optimizer", "seed", "output_dir", "debug")
NOT_RECORDED = "not recorded"


def provenance_section(runs: Runs) -> Section:
    """Return the commands and facts that reproduce the runs.

    Args:
        runs: All runs.
    """
    return Section(
        "Reproducibility",
        (commands_table(runs), provenance_table(runs), disagreement(runs), settings_table(runs)),
    )


def commands_table(runs: Runs) -> Table:
    """Return each command once, with its number of runs.

    Args:
        runs: All runs.
    """
    counts = Counter(str(run.facts.get("command", NOT_RECORDED)) for run in runs.found)
    rows = [(command, formatting.count(number, "run")) for command, number in counts.items()]
    if runs.comparison.command:
        rows.insert(0, (runs.comparison.command, "comparison"))
    return Table("Commands.", ("command", "runs"), tuple(rows))


def provenance_table(runs: Runs) -> Table:
    """Return the facts that are the same for all runs.

    Args:
        runs: All runs.
    """
    rows = tuple(
        (name, next(iter(values))) for name, values in _values(runs).items() if len(values) == 1
    )
    seeds = ", ".join(formatting.some(runs.comparison.seeds))
    return Table(
        "Facts that are the same for all runs.",
        ("fact", "value"),
        (("seeds", seeds), ("runs", str(len(runs.found))), *rows),
    )


def disagreement(runs: Runs) -> Table | Paragraph:
    """Return the facts that differ between runs, a row for each value, or a sentence if none do.

    Args:
        runs: All runs.
    """
    rows = tuple(
        (name, value, formatting.count(len(who), "run"), _who(who))
        for name, values in _values(runs).items()
        if len(values) > 1
        for value, who in values.items()
    )
    if not rows:
        return Paragraph(
            "All runs agree on images, weights, settings, versions, hardware, threads and commit."
        )
    return Table(
        "Facts that differ between runs, and may explain differences in their results.",
        ("fact", "value", "count", "runs"),
        rows,
    )


def settings_table(runs: Runs) -> Table:
    """Return the hyperparameters of every contender.

    Args:
        runs: All runs.
    """
    rows = []
    for label in runs.comparison.contenders:
        texts = dict.fromkeys(_hyperparameters(run) for run in runs.of(label))
        rows.append((label, " or ".join(formatting.some(list(texts))) if texts else "no run"))
    return Table("Hyperparameters of each optimizer.", ("optimizer", "settings"), tuple(rows))


def _values(runs: Runs) -> dict[str, dict[str, list[Run]]]:
    """Return the values of every fact, and for each value the runs that have it.

    A run that failed before it read its images has too few facts to be compared.
    """
    found = [run for run in runs.found if "data" in run.facts]
    facts = [dict(_facts(run.facts)) for run in found]
    names = dict.fromkeys(name for one in facts for name in one)
    values: dict[str, dict[str, list[Run]]] = {name: {} for name in names}
    for run, one in zip(found, facts, strict=True):
        for name in names:
            values[name].setdefault(one.get(name, NOT_RECORDED), []).append(run)
    return values


def _facts(facts: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    data, weights, git = (facts.get(name) or {} for name in ("data", "weights", "git"))
    yield "images", _counts(data.get("pictures", {}))
    yield "images, SHA-256", str(data.get("sha256", NOT_RECORDED))
    yield "unreadable images skipped", str(len(data.get("unreadable", ())))
    yield "image preprocessing", str(facts.get("pixels", NOT_RECORDED))
    yield "backbone", str(weights.get("description", NOT_RECORDED))
    yield "backbone, SHA-256", str(weights.get("sha256", NOT_RECORDED))
    yield "commit", str(git.get("commit", "none (installed package)"))
    yield "uncommitted changes", _text(git.get("changed"))
    yield from _named("hardware: ", facts.get("hardware") or {})
    yield "threads", _text(facts.get("threads"))
    yield from _named("version of ", facts.get("versions") or {})
    settings = {name: value for name, value in facts["config"].items() if name not in OWN_SETTINGS}
    yield from _named("setting ", settings)


def _named(prefix: str, values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield every leaf of a nested mapping with its dotted name."""
    for name, value in flat(values):
        if name == "memory_bytes":
            yield f"{prefix}memory", formatting.size(value)
        else:
            yield f"{prefix}{name}", _text(value)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _counts(images: Mapping[str, int]) -> str:
    counts = (f"{number:,} {split}" for split, number in images.items())
    return ", ".join(counts) or NOT_RECORDED


def _hyperparameters(run: Run) -> str:
    settings = run.facts["config"]["optimizer"]
    shown = [f"{name}={_text(x)}" for name, x in settings.items() if not name.startswith("_")]
    return ", ".join([str(settings.get("_target_", "")), *shown])


def _who(runs: list[Run]) -> str:
    labels = Counter(run.label for run in runs)
    return ", ".join(f"{label} ({number})" for label, number in labels.items())
