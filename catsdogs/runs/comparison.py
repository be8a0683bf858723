"""A comparison on disk: the plan of its runs, and the measured times of a step.

`compare` writes `comparison.json` before the first run, so that a reader can tell which runs are
missing. The run directories are beside it.
"""

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

from catsdogs.errors import UserError
from catsdogs.io.files import atomic_write_text
from catsdogs.runs.schema import DAMAGE

FILE = "comparison.json"
FORMAT = 1
LONGEST_STEP = 1e6  # seconds


@dataclasses.dataclass(frozen=True)
class PlannedRun:
    """One run of a comparison.

    Attributes:
        label: The contender, a file in `conf/optimizer`.
        seed: The run's `seed`.
        learning_rate: The run's `optimizer.lr`; None for an optimizer without one.
        directory: Name of the run directory, beside `comparison.json`.
    """

    label: str
    seed: int
    learning_rate: float | None
    directory: str


@dataclasses.dataclass(frozen=True)
class Comparison:
    """The plan of a comparison, and the times of a step.

    Attributes:
        command: The command line.
        contenders: Labels, in the order given.
        seeds: In the order given.
        learning_rates: The grid for every contender, ascending; empty without one.
        runs: All planned runs, contender by contender.
        step_seconds: Seconds of one optimizer step on the head by label, one number per repeat,
            measured in turns in one process. Empty until measured.
    """

    command: str
    contenders: tuple[str, ...]
    seeds: tuple[int, ...]
    learning_rates: tuple[float, ...]
    runs: tuple[PlannedRun, ...]
    step_seconds: dict[str, tuple[float, ...]] = dataclasses.field(default_factory=dict)

    def write(self, directory: Path) -> None:
        """Write `comparison.json` atomically."""
        text = json.dumps({"format": FORMAT, **dataclasses.asdict(self)}, indent=2)
        atomic_write_text(directory / FILE, text + "\n")


def read_comparison(directory: Path) -> Comparison:
    """Read `comparison.json`.

    Raises:
        UserError: If the file is damaged or has another format.
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
    """Refuse a plan that contradicts itself.

    Raises:
        ValueError: With the field that does not fit.
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
        raise ValueError("a learning rate is not a finite number")
    for label, seconds in comparison.step_seconds.items():
        if label not in comparison.contenders or not seconds:
            raise ValueError(f"step_seconds of {label!r} are empty or of no contender")
        if not all(0 < second < LONGEST_STEP for second in seconds):
            raise ValueError(f"step_seconds of {label!r} are not all times of a step")


def _planned_from_json(run: dict[str, Any]) -> PlannedRun:
    rate, directory = run["learning_rate"], str(run["directory"])
    if Path(directory).name != directory:
        raise ValueError(f"{directory!r} is not the name of a run directory")
    return PlannedRun(
        label=str(run["label"]),
        seed=int(run["seed"]),
        learning_rate=None if rate is None else float(rate),
        directory=directory,
    )
