"""Where the numbers come from: data, weights, settings, versions, hardware, commit, commands."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from catsdogs.io import formatting
from catsdogs.reporting.document import Paragraph, Table
from catsdogs.runs.reader import Run, Runs

# What runs of one comparison are meant to differ in, or what changes no number.
OWN = ("optimizer", "seed", "output_dir", "debug")
NOT_RECORDED = "not recorded"


def provenance_table(runs: Runs) -> Table:
    """Return every fact in which all runs agree.

    Args:
        runs: All of them.
    """
    rows = tuple(
        (name, next(iter(values))) for name, values in _values(runs).items() if len(values) == 1
    )
    seeds = ", ".join(map(str, runs.comparison.seeds))
    return Table(
        "What all runs have in common.",
        ("fact", "value"),
        (("seeds", seeds), ("runs", str(len(runs.found))), *rows),
    )


def disagreement(runs: Runs) -> Table | Paragraph:
    """Return the facts in which runs disagree, a row for each value, or that there are none.

    Args:
        runs: All of them.
    """
    rows = tuple(
        (name, value, formatting.count(len(who), "run"), _who(who))
        for name, values in _values(runs).items()
        if len(values) > 1
        for value, who in values.items()
    )
    if not rows:
        return Paragraph(
            "All runs agree in pictures, weights, settings, versions, hardware, threads and commit."
        )
    return Table(
        "Runs disagree in these facts: what they differ in may come from that.",
        ("fact", "value", "how many", "which"),
        rows,
    )


def settings_table(runs: Runs) -> Table:
    """Return the hyperparameters of every contender.

    Args:
        runs: One for each contender and seed, as `chosen_runs` returns them.
    """
    rows = []
    for label in runs.comparison.contenders:
        texts = dict.fromkeys(_hyperparameters(run) for run in runs.of(label))
        rows.append((label, " or ".join(texts) if texts else "no run"))
    return Table("The settings of every optimizer.", ("optimizer", "settings"), tuple(rows))


def commands_table(runs: Runs) -> Table:
    """Return what was typed, each command once, with the number of its runs.

    Args:
        runs: All of them.
    """
    counts = Counter(str(run.facts.get("command", NOT_RECORDED)) for run in runs.found)
    rows = [(command, formatting.count(number, "run")) for command, number in counts.items()]
    if runs.comparison.command:
        rows.insert(0, (runs.comparison.command, "the comparison"))
    return Table("What was typed.", ("command", "for"), tuple(rows))


def _values(runs: Runs) -> dict[str, dict[str, list[Run]]]:
    """Return for every fact its values, and for every value the runs that have it.

    A run that failed before it looked at its pictures knows too little to agree or disagree.
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
    yield "pictures", _counts(data.get("pictures", {}))
    yield "pictures, SHA-256", str(data.get("sha256", NOT_RECORDED))
    yield "pictures left out as unreadable", str(len(data.get("unreadable", ())))
    yield "pixels", str(facts.get("pixels", NOT_RECORDED))
    yield "backbone", str(weights.get("description", NOT_RECORDED))
    yield "backbone, SHA-256", str(weights.get("sha256", NOT_RECORDED))
    yield "commit", str(git.get("commit", "none: an installed package"))
    yield "source changed since the commit", _text(git.get("changed"))
    yield from _named("hardware: ", facts.get("hardware", {}))
    yield "threads", _text(facts.get("threads"))
    yield from _named("version of ", facts.get("versions", {}))
    settings = {name: value for name, value in facts["config"].items() if name not in OWN}
    yield from _named("setting ", settings)


def _named(prefix: str, values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield every leaf with its dotted name."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _named(f"{prefix}{name}.", value)
        elif name == "memory_bytes":
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
