"""What an optimizer costs: the time of a step and an epoch, the way to a target, and memory."""

from dataclasses import dataclass

from catsdogs.reporting.document import Table
from catsdogs.reporting.runs import Run, Runs


@dataclass(frozen=True)
class StepTime:
    """Seconds of one optimizer step on the head.

    Attributes:
        label: The contender.
        repeats: How many times it was timed; contenders took turns.
        quartiles: Lower quartile, median and upper quartile.
        reference: Whom the ratio is taken to, empty for a contender that is itself a reference.
        ratio: Median over the repeats of own time by reference's time; nan without one.
    """

    label: str
    repeats: int
    quartiles: tuple[float, float, float]
    reference: str
    ratio: float


@dataclass(frozen=True)
class Reached:
    """When a run first had the target validation accuracy; None where it never had it.

    Attributes:
        run: Which.
        epoch: The first epoch that ends with it.
        seconds: Of training until then, evaluation left out.
    """

    run: Run
    epoch: int | None
    seconds: float | None


def step_times(runs: Runs) -> tuple[StepTime, ...]:
    """Return the step time of every contender that was timed."""
    raise NotImplementedError


def step_time_table(runs: Runs) -> Table | None:
    """Return a row for each contender that was timed; None if none was."""
    raise NotImplementedError


def target_accuracy(runs: Runs) -> float:
    """Return the target: one point below the best contender's mean best validation accuracy."""
    raise NotImplementedError


def reached(runs: Runs, target: float) -> tuple[Reached, ...]:
    """Return for every run that finished when it first reached the target."""
    raise NotImplementedError


def training_time_table(runs: Runs) -> Table:
    """Return a row for each contender: seconds of an epoch, and epochs and seconds to the target.

    Args:
        runs: One for each contender and seed, as `chosen_runs` returns them.
    """
    raise NotImplementedError


def memory_table(runs: Runs) -> Table:
    """Return a row for each contender: bytes of weights, state and table."""
    raise NotImplementedError
