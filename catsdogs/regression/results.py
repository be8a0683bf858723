"""What the comparison leaves: its table for the terminal, and files to read it back from."""

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from catsdogs.io.files import write_whole
from catsdogs.regression.experiment import METHODS, Outcome
from catsdogs.regression.published import EPOCHS, TABLE
from catsdogs.runs.writer import strict_json

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


def table(outcome: Outcome) -> str:
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


def _twins(outcome: Outcome) -> str:
    differ = [method for method in METHODS if not outcome.twins_equal(method)]
    if not differ:
        return "equal to the last bit, in every cost of every epoch and in the line"
    return f"not equal to the last bit in {', '.join(differ)}"


def climbs_table(outcome: Outcome) -> str:
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


def write_records(outcome: Outcome, facts: dict[str, Any], directory: Path) -> None:
    """Write `diamonds.json`, `optimization_results.csv` and `costs.csv`.

    Args:
        outcome: What is written.
        facts: Of the run: settings, versions, hardware; they open `diamonds.json`.
        directory: Where to; it exists.
    """
    write_whole(directory / "diamonds.json", strict_json(facts | _facts(outcome)))
    write_whole(directory / "optimization_results.csv", _csv(CSV_COLUMNS, _result_rows(outcome)))
    write_whole(directory / "costs.csv", _csv(("run", "epoch", "cost"), _cost_rows(outcome)))


def _facts(outcome: Outcome) -> dict[str, Any]:
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


def _result_rows(outcome: Outcome) -> Iterable[tuple[str | float, ...]]:
    for label, found in outcome.fits.items():
        published = TABLE[label.partition("_")[2]]
        yield label, found.seconds, outcome.problem.rmse(found.line), *published


def _cost_rows(outcome: Outcome) -> Iterable[tuple[str | float, ...]]:
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
