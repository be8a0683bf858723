"""The comparison of eight optimizers with the published numbers: fits, tables and records."""

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
from catsdogs.regression.published import EPOCHS, TABLE, run_listings
from catsdogs.runs.writer import strict_json

METHODS = tuple(TABLE)
KINDS = ("native", "custom")
STOPPED = {
    "flat": "cost flat",
    "epochs": "out of epochs",
    "diverged": "cost not finite",
}
CSV_COLUMNS = (
    "Optimization Method",
    "Runtime (seconds)",
    "Actual RMSE",
    "Published Runtime (seconds)",
    "Published RMSE",
)


@dataclasses.dataclass(frozen=True)
class Contender:
    """An optimizer of the comparison.

    Attributes:
        method: Key of the published table.
        kind: One of `KINDS`.
        make_optimizer: Returns the optimizer of one tensor.
        clip_value: Limit for the absolute value of each gradient entry; None for no limit.
    """

    method: str
    kind: str
    make_optimizer: MakeOptimizer
    clip_value: float | None

    @property
    def label(self) -> str:
        """Return the name of its file in conf/optimizer."""
        return f"{self.kind}_{self.method}"


@dataclasses.dataclass(frozen=True)
class ExperimentResult:
    """Results of the comparison.

    Attributes:
        problem: The rows that were fitted.
        fits: Fits of the contenders, by label.
        listings: Fits of the tutorial's listings as published, by method; empty if not requested.
    """

    problem: Problem
    fits: Mapping[str, Fit]
    listings: Mapping[str, Fit]

    def twins_equal(self, method: str) -> bool:
        """Return whether native and custom have equal lines and costs, bit for bit."""
        native, custom = (self.fits[f"{kind}_{method}"] for kind in KINDS)
        return (native.line, native.costs) == (custom.line, custom.costs)

    def above_least_squares(self, rmse: float) -> float:
        """Return the relative excess of a test error over that of least squares."""
        return rmse / self.problem.rmse(self.problem.least_squares()) - 1


def compare(
    problem: Problem,
    contenders: list[Contender],
    *,
    max_epochs: int,
    lr_step: int | None,
    published_sign: bool,
) -> ExperimentResult:
    """Fit with each contender in turn, showing a progress bar.

    Args:
        problem: The rows to fit.
        contenders: Both kinds of every method.
        max_epochs: Maximum number of epochs of each fit.
        lr_step: Number of epochs after which learning rates are divided by ten; None for never.
        published_sign: Whether to run the tutorial's listings too.
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
        listings = run_listings(problem, max_epochs, bar.update) if published_sign else {}
        bar.total = bar.n
    return ExperimentResult(problem, fits, listings)


def results_table(result: ExperimentResult) -> str:
    """Return the results beside the published ones, as text for a terminal."""
    problem = result.problem
    rows = [
        f"{'':<16}{'runtime':>9}{'published':>11}{'RMSE':>12}{'published':>20}{'above':>11}",
        f"{'':<16}{'s':>9}{'s':>11}{'dollars':>12}{'dollars':>20}{'lstsq':>11}"
        f"{'epochs':>8}  stopped",
    ]
    for label, found in result.fits.items():
        published, rmse = TABLE[label.partition("_")[2]], problem.rmse(found.line)
        rows.append(
            f"{label:<16}{found.seconds:>9.2f}{published.seconds:>11.2f}"
            f"{rmse:>12,.2f}{published.rmse:>20,.2f}{result.above_least_squares(rmse):>11.4%}"
            f"{len(found.costs):>8,}  {STOPPED[found.stopped]}"
        )
    best = problem.least_squares()
    line = problem.in_dollars(best)
    rows.append(
        f"\nleast squares (lstsq): RMSE {problem.rmse(best):,.2f}, slope {line.slope:,.2f} "
        f"dollars per carat, intercept {line.intercept:,.2f} dollars"
    )
    rows.append(f"custom and native: {_twins(result)}")
    return "\n".join(rows)


def listings_table(result: ExperimentResult) -> str:
    """Return the results of the listings beside the published ones, as text for a terminal."""
    rows = [f"{'':<16}{'RMSE':>20}{'published':>20}{'epochs':>10}  stopped"]
    for method, found in result.listings.items():
        rmse = result.problem.rmse(found.line)
        rows.append(
            f"{method:<16}{rmse:>20,.4f}{TABLE[method].rmse:>20,.4f}{len(found.costs):>10,}"
            f"  {STOPPED[found.stopped]}"
        )
    rows.append(f"published: {EPOCHS:,} epochs, or fewer if the cost became flat")
    return "\n".join(rows)


def write_records(result: ExperimentResult, facts: dict[str, Any], directory: Path) -> None:
    """Write `diamonds.json`, `optimization_results.csv` and `costs.csv`.

    Args:
        result: The results.
        facts: Settings, versions and hardware, which come first in `diamonds.json`.
        directory: An existing folder.
    """
    atomic_write_text(directory / "diamonds.json", strict_json(facts | _facts(result)))
    atomic_write_text(
        directory / "optimization_results.csv", _csv(CSV_COLUMNS, _result_rows(result))
    )
    atomic_write_text(directory / "costs.csv", _csv(("run", "epoch", "cost"), _cost_rows(result)))


def _warm_up(make_optimizer: MakeOptimizer) -> None:
    """Take one step on another tensor: the first step of a class imports modules."""
    weight = torch.zeros(2, dtype=torch.float64)
    weight.grad = torch.ones_like(weight)
    make_optimizer([weight]).step()


def _twins(result: ExperimentResult) -> str:
    differ = [method for method in METHODS if not result.twins_equal(method)]
    if not differ:
        return "equal bit for bit, in the cost of every epoch and in the line"
    return f"not equal bit for bit for {', '.join(differ)}"


def _facts(result: ExperimentResult) -> dict[str, Any]:
    problem = result.problem
    best = problem.least_squares()
    return {
        "rows": {"train": len(problem.train.carat), "test": len(problem.test.carat)},
        "least_squares": problem.in_dollars(best)._asdict() | {"rmse": problem.rmse(best)},
        "published": {method: row._asdict() for method, row in TABLE.items()},
        "optimizers": {
            label: _fit_facts(problem, found)
            | {
                "above_least_squares": result.above_least_squares(problem.rmse(found.line)),
                "seconds": found.seconds,
            }
            for label, found in result.fits.items()
        },
        "custom_equals_native": {method: result.twins_equal(method) for method in METHODS},
        "published_sign": {
            method: _fit_facts(problem, found) for method, found in result.listings.items()
        },
    }


def _fit_facts(problem: Problem, found: Fit) -> dict[str, Any]:
    return {
        "epochs": len(found.costs),
        "stopped": found.stopped,
        **problem.in_dollars(found.line)._asdict(),
        "rmse": problem.rmse(found.line),
    }


def _result_rows(result: ExperimentResult) -> Iterable[tuple[str | float, ...]]:
    for label, found in result.fits.items():
        published = TABLE[label.partition("_")[2]]
        yield label, found.seconds, result.problem.rmse(found.line), *published


def _cost_rows(result: ExperimentResult) -> Iterable[tuple[str | float, ...]]:
    runs = {label: found.costs for label, found in result.fits.items()}
    runs |= {f"published_sign_{method}": found.costs for method, found in result.listings.items()}
    for label, costs in runs.items():
        for epoch, cost in enumerate(costs, start=1):
            yield label, epoch, cost


def _csv(columns: Sequence[str], rows: Iterable[tuple[str | float, ...]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return text.getvalue()
