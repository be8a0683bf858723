"""A comparison on disk: which runs belong to it, whether or not they are there yet.

`compare` writes `comparison.json` before the first run, so a reader knows what is missing. Beside
it lies a directory for each run. Needs no torch.
"""

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

from catsdogs.errors import UserError
from catsdogs.io.files import atomic_write_text

FILE = "comparison.json"
FORMAT = 1
# What reading a file can raise that holds anything at all.
DAMAGE = (OSError, ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError)
LONGEST = 1e6  # seconds of a step: eleven days


@dataclasses.dataclass(frozen=True)
class PlannedRun:
    """One run of a comparison.

    Attributes:
        label: The contender, a file of `conf/optimizer`.
        seed: Of the run.
        learning_rate: Its `optimizer.lr`; None for an optimizer without one.
        directory: Name of the run directory, beside `comparison.json`.
    """

    label: str
    seed: int
    learning_rate: float | None
    directory: str


@dataclasses.dataclass(frozen=True)
class Comparison:
    """What was compared, and how it was typed.

    Attributes:
        command: What was typed.
        contenders: Labels, in the order given.
        seeds: In the order given.
        learning_rates: The grid that every contender was given, ascending; empty without one.
        runs: All of them, contender by contender.
        step_seconds: Seconds of one optimizer step on the head, by label, one number for each
            repeat; the contenders took turns in one process. Empty until it was measured.
    """

    command: str
    contenders: tuple[str, ...]
    seeds: tuple[int, ...]
    learning_rates: tuple[float, ...]
    runs: tuple[PlannedRun, ...]
    step_seconds: dict[str, tuple[float, ...]] = dataclasses.field(default_factory=dict)

    def write(self, directory: Path) -> None:
        """Write `comparison.json` whole."""
        text = json.dumps({"format": FORMAT, **dataclasses.asdict(self)}, indent=2)
        atomic_write_text(directory / FILE, text + "\n")


def read_comparison(directory: Path) -> Comparison:
    """Read `comparison.json`.

    Raises:
        UserError: If the file is damaged or of another format.
    """
    path = directory / FILE
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content.pop("format") != FORMAT:
            raise UserError(f"{path}: not a comparison of format {FORMAT}; run compare again")
        return _from_json(content)
    except DAMAGE as error:
        raise UserError(
            f"{path}: not a readable comparison ({type(error).__name__}: {error}); "
            "run compare again"
        ) from error


def _from_json(content: dict[str, Any]) -> Comparison:
    comparison = Comparison(
        command=str(content["command"]),
        contenders=tuple(map(str, content["contenders"])),
        seeds=tuple(map(int, content["seeds"])),
        learning_rates=tuple(map(float, content["learning_rates"])),
        runs=tuple(map(_planned_from_json, content["runs"])),
        step_seconds={
            str(label): tuple(map(float, seconds))
            for label, seconds in content["step_seconds"].items()
        },
    )
    _check(comparison)
    return comparison


def _check(comparison: Comparison) -> None:
    """Refuse a plan whose parts do not belong together.

    Raises:
        ValueError: With the part.
    """
    runs = comparison.runs
    for name, planned, named in (
        ("contenders", {run.label for run in runs}, comparison.contenders),
        ("seeds", {run.seed for run in runs}, comparison.seeds),
    ):
        if len(set(named)) < len(named) or (runs and planned != set(named)):
            raise ValueError(f"{name} are not those of the runs")
    rates = [*comparison.learning_rates, *(run.learning_rate or 0.0 for run in runs)]
    if not all(math.isfinite(rate) for rate in rates):
        raise ValueError("a learning rate is no finite number")
    for label, seconds in comparison.step_seconds.items():
        if label not in comparison.contenders or not seconds:
            raise ValueError(f"step_seconds of {label!r} are of no contender, or none")
        if not all(0 < second < LONGEST for second in seconds):
            raise ValueError(f"step_seconds of {label!r} hold what is no time of a step")


def _planned_from_json(run: dict[str, Any]) -> PlannedRun:
    rate, directory = run["learning_rate"], str(run["directory"])
    if Path(directory).name != directory:
        raise ValueError(f"{directory!r} is no name of a run directory")
    return PlannedRun(
        label=str(run["label"]),
        seed=int(run["seed"]),
        learning_rate=None if rate is None else float(rate),
        directory=directory,
    )
