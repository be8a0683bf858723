"""Fit the line with each optimizer and its native twin, and see whether the two are the same."""

import csv
import dataclasses
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from catsdogs.io.files import atomic_write_text
from catsdogs.io.progress import progress
from catsdogs.regression.fit import Fit, MakeOptimizer, Problem, fit
from catsdogs.regression.published import EPOCHS, TABLE, Climb, run_listings
from catsdogs.runs.writer import strict_json

METHODS = tuple(TABLE)
KINDS = ("native", "custom")


CSV_COLUMNS = (
    "Optimization Method",
    "Runtime (seconds)",
    "Actual RMSE",
    "Published Runtime (seconds)",
    "Published RMSE",
)
STOPPED = {
    "flat": "cost flat",
    "epochs": "out of epochs",
    "diverged": "cost no longer finite",
}


@dataclasses.dataclass(frozen=True)
class Contender:
    """An optimizer of the comparison.

    Attributes:
        method: A row of the published table.
        kind: One of `KINDS`.
        make_optimizer: Builds it for one tensor.
        clip_value: Every gradient entry is cut to this absolute value, if given.
    """

    method: str
    kind: str
    make_optimizer: MakeOptimizer
    clip_value: float | None

    @property
    def label(self) -> str:
        """The name of its file in conf/optimizer."""
        return f"{self.kind}_{self.method}"


@dataclasses.dataclass(frozen=True)
class ExperimentResult:
    """What came of it.

    Attributes:
        problem: What was fitted.
        fits: By the contenders' labels.
        climbs: By method: the tutorial's listings as they were; empty unless they were asked for.
    """

    problem: Problem
    fits: Mapping[str, Fit]
    climbs: Mapping[str, Climb]

    def twins_equal(self, method: str) -> bool:
        """Return whether native and custom have the same line and costs, to the last bit."""
        native, custom = (self.fits[f"{kind}_{method}"] for kind in KINDS)
        return (native.line, native.costs) == (custom.line, custom.costs)

    def above_least_squares(self, rmse: float) -> float:
        """Return by what share an error on the test rows exceeds that of least squares."""
        return rmse / self.problem.rmse(self.problem.least_squares()) - 1


def compare(
    problem: Problem,
    contenders: list[Contender],
    *,
    max_epochs: int,
    lr_step: int | None,
    published_sign: bool,
) -> ExperimentResult:
    """Fit with one contender after the other, with a progress bar.

    Args:
        problem: What is fitted.
        contenders: Both kinds of every method.
        max_epochs: Of every fit, at most.
        lr_step: Epochs after which a learning rate falls to a tenth; None keeps them constant.
        published_sign: Whether the tutorial's own listings are run too.
    """
    runs = len(contenders) + (len(METHODS) if published_sign else 0)
    fits = {}
    for contender in contenders:
        _warm_up(contender.make_optimizer)
    with progress(total=runs * max_epochs, description="at most", unit="epoch") as bar:
        for contender in contenders:
            found = fits[contender.label] = fit(
                problem,
                contender.make_optimizer,
                clip_value=contender.clip_value,
                max_epochs=max_epochs,
                lr_step=lr_step,
                after_epoch=bar.update,
            )
            bar.total -= max_epochs - len(found.costs)
        climbs = run_listings(problem, max_epochs, bar.update) if published_sign else {}
        bar.total = bar.n
    return ExperimentResult(problem, fits, climbs)


def _warm_up(make_optimizer: MakeOptimizer) -> None:
    """Take one step on another tensor: the first of a class imports what the later ones use."""
    weight = torch.zeros(2, dtype=torch.float64)
    weight.grad = torch.ones_like(weight)
    make_optimizer([weight]).step()


def table(outcome: ExperimentResult) -> str:
    """Return the optimizers beside the published numbers, in lines for a terminal."""
    problem = outcome.problem
    rows = [
        f"{'':<16}{'runtime':>9}{'published':>11}{'RMSE':>12}{'published':>20}{'above':>11}",
        f"{'':<16}{'s':>9}{'s':>11}{'dollars':>12}{'dollars':>20}{'lstsq':>11}"
        f"{'epochs':>8}  stopped",
    ]
    for label, found in outcome.fits.items():
        published, rmse = TABLE[label.partition("_")[2]], problem.rmse(found.line)
        rows.append(
            f"{label:<16}{found.seconds:>9.2f}{published.seconds:>11.2f}"
            f"{rmse:>12,.2f}{published.rmse:>20,.2f}{outcome.above_least_squares(rmse):>11.4%}"
            f"{len(found.costs):>8,}  {STOPPED[found.stopped]}"
        )
    best = problem.least_squares()
    line = problem.in_dollars(best)
    rows.append(
        f"\nleast squares (lstsq): RMSE {problem.rmse(best):,.2f}, slope {line.slope:,.2f} "
        f"dollars per carat, intercept {line.intercept:,.2f} dollars"
    )
    rows.append(f"custom and native: {_twins(outcome)}")
    return "\n".join(rows)


def _twins(outcome: ExperimentResult) -> str:
    differ = [method for method in METHODS if not outcome.twins_equal(method)]
    if not differ:
        return "equal to the last bit, in every cost of every epoch and in the line"
    return f"not equal to the last bit in {', '.join(differ)}"


def climbs_table(outcome: ExperimentResult) -> str:
    """Return the tutorial's listings, run as they were, beside the published numbers."""
    rows = [f"{'':<16}{'RMSE':>20}{'published':>20}{'epochs':>10}  stopped"]
    for method, climb in outcome.climbs.items():
        rmse = outcome.problem.rmse(climb.line)
        rows.append(
            f"{method:<16}{rmse:>20,.4f}{TABLE[method].rmse:>20,.4f}{len(climb.costs):>10,}"
            f"  {STOPPED[climb.stopped]}"
        )
    rows.append(f"published after {EPOCHS:,} epochs, or fewer where the cost went flat")
    return "\n".join(rows)


def write_records(outcome: ExperimentResult, facts: dict[str, Any], directory: Path) -> None:
    """Write `diamonds.json`, `optimization_results.csv` and `costs.csv`.

    Args:
        outcome: What is written.
        facts: Of the run: settings, versions, hardware; they open `diamonds.json`.
        directory: Where to; it exists.
    """
    atomic_write_text(directory / "diamonds.json", strict_json(facts | _facts(outcome)))
    atomic_write_text(
        directory / "optimization_results.csv", _csv(CSV_COLUMNS, _result_rows(outcome))
    )
    atomic_write_text(directory / "costs.csv", _csv(("run", "epoch", "cost"), _cost_rows(outcome)))


def _facts(outcome: ExperimentResult) -> dict[str, Any]:
    problem = outcome.problem
    best = problem.least_squares()
    return {
        "rows": {"train": len(problem.train.carat), "test": len(problem.test.carat)},
        "least_squares": problem.in_dollars(best)._asdict() | {"rmse": problem.rmse(best)},
        "published": {method: row._asdict() for method, row in TABLE.items()},
        "optimizers": {
            label: {
                "epochs": len(found.costs),
                "stopped": found.stopped,
                **problem.in_dollars(found.line)._asdict(),
                "rmse": problem.rmse(found.line),
                "above_least_squares": outcome.above_least_squares(problem.rmse(found.line)),
                "seconds": found.seconds,
            }
            for label, found in outcome.fits.items()
        },
        "custom_equals_native": {method: outcome.twins_equal(method) for method in METHODS},
        "published_sign": {
            method: {
                "epochs": len(climb.costs),
                "stopped": climb.stopped,
                **problem.in_dollars(climb.line)._asdict(),
                "rmse": problem.rmse(climb.line),
            }
            for method, climb in outcome.climbs.items()
        },
    }


def _result_rows(outcome: ExperimentResult) -> Iterable[tuple[str | float, ...]]:
    for label, found in outcome.fits.items():
        published = TABLE[label.partition("_")[2]]
        yield label, found.seconds, outcome.problem.rmse(found.line), *published


def _cost_rows(outcome: ExperimentResult) -> Iterable[tuple[str | float, ...]]:
    runs = {label: found.costs for label, found in outcome.fits.items()}
    runs |= {f"published_sign_{method}": climb.costs for method, climb in outcome.climbs.items()}
    for label, costs in runs.items():
        for epoch, cost in enumerate(costs, start=1):
            yield label, epoch, cost


def _csv(columns: Sequence[str], rows: Iterable[tuple[str | float, ...]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return text.getvalue()
