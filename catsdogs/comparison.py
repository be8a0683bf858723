"""A comparison on disk: which runs belong to it, whether or not they are there yet.

`compare` writes `comparison.json` before the first run, so a reader knows what is missing. Beside
it lies a directory for each run. Needs no torch.
"""

import dataclasses
import json
from pathlib import Path
from typing import Any

from catsdogs.errors import UserError
from catsdogs.files import write_whole

FILE = "comparison.json"
FORMAT = 1


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
        write_whole(directory / FILE, text + "\n")


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
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise UserError(
            f"{path}: not a readable comparison ({type(error).__name__}: {error}); "
            "run compare again"
        ) from error


def _from_json(content: dict[str, Any]) -> Comparison:
    return Comparison(
        command=str(content["command"]),
        contenders=tuple(map(str, content["contenders"])),
        seeds=tuple(map(int, content["seeds"])),
        learning_rates=tuple(map(float, content["learning_rates"])),
        runs=tuple(PlannedRun(**run) for run in content["runs"]),
        step_seconds={
            str(label): tuple(map(float, seconds))
            for label, seconds in content["step_seconds"].items()
        },
    )
