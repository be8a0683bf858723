"""Results: accuracies and costs of each contender, beside the values of the monograph."""

import math
from dataclasses import dataclass

from catsdogs.io import formatting
from catsdogs.reporting.document import Section, Table, present
from catsdogs.reporting.run_summary import RunSummary, summarize
from catsdogs.runs.reader import Run, Runs

SOURCE = "V. Jeronymo, Unicamp 2019"
VAL_IMAGES = 200  # in the monograph
BIAS = (
    "The best validation accuracy is optimistic, because it is the maximum over the epochs. The "
    "test accuracy is not: the epoch is chosen on validation images alone."
)


@dataclass(frozen=True)
class Published:
    """Best values of one run of the monograph: ten epochs, no fixed seed.

    Attributes:
        name: Name of the run in the monograph.
        val_accuracy: Highest validation accuracy over the epochs, 0 to 1.
        val_cost: Lowest validation cost over the epochs, perhaps of another epoch.
    """

    name: str
    val_accuracy: float
    val_cost: float


_SGD_OWN = Published("SGD, own", 0.962, 0.10)
_ADAM_OWN = Published("Adam, own", 0.947, 0.21)
PUBLISHED = {
    "native_sgd": Published("SGD, built in", 0.980, 0.12),
    "custom_sgd": _SGD_OWN,
    "published_sgd": _SGD_OWN,
    "native_adam": Published("Adam, built in", 0.962, 0.13),
    "custom_adam": _ADAM_OWN,
    "published_adam": _ADAM_OWN,
}


def results_section(runs: Runs) -> Section:
    """Return the tables of results.

    Args:
        runs: One run for each contender and seed, as `chosen_runs` returns them.
    """
    return Section(
        "Results", present(results_table(runs), published_table(runs), seeds_table(runs))
    )


def results_table(runs: Runs) -> Table:
    """Return the mean and standard deviation over seeds of each contender.

    Args:
        runs: One run for each contender and seed, as `chosen_runs` returns them.
    """
    rows = []
    for label in runs.comparison.contenders:
        finished = _finished(runs, label)
        rows.append(
            (
                label,
                _learning_rate(runs, label),
                formatting.mean_percent([run.best_val_accuracy for run in finished]),
                formatting.mean_number([run.best_epoch for run in finished]),
                formatting.mean_cost([run.lowest_val_cost for run in finished]),
                formatting.mean_number([run.lowest_val_cost_epoch for run in finished]),
                formatting.mean_percent([run.last_val_accuracy for run in finished]),
                formatting.mean_percent([run.test_accuracy for run in finished]),
                formatting.mean_cost([run.test_cost for run in finished]),
                f"{len(finished)} of {_planned(runs, label)}",
            )
        )
    return Table(
        "Results of each optimizer: mean (standard deviation) over seeds.",
        (
            "optimizer",
            "learning rate",
            "best validation accuracy",
            "at epoch",
            "lowest validation cost",
            "at epoch",
            "last validation accuracy",
            "test accuracy",
            "test cost",
            "runs finished",
        ),
        tuple(rows),
        f"{BIAS} The means do not include runs that did not finish.",
    )


def seeds_table(runs: Runs) -> Table:
    """Return the results of each run, including runs that are missing or did not finish.

    Args:
        runs: One run for each contender and seed, as `chosen_runs` returns them.
    """
    missing = {(run.label, run.seed) for run in runs.missing}
    rows = []
    for label in runs.comparison.contenders:
        for seed in runs.comparison.seeds:
            run = runs.get(label, seed)
            if run:
                rows.append(_seed_row(run))
            elif (label, seed) in missing:
                rows.append((label, str(seed), "missing", *[formatting.NOTHING] * 6))
    return Table(
        "Results of each run: best and last epoch on validation, best epoch on test.",
        (
            "optimizer",
            "seed",
            "status",
            "best validation accuracy",
            "lowest validation cost",
            "last validation accuracy",
            "last validation cost",
            "test accuracy",
            "test cost",
        ),
        tuple(rows),
    )


def published_table(runs: Runs) -> Table | None:
    """Return the monograph's values beside those of these runs; None if it has no contender.

    Args:
        runs: One run for each contender and seed, as `chosen_runs` returns them.
    """
    rows = []
    for label in runs.comparison.contenders:
        if label in PUBLISHED:
            published, finished = PUBLISHED[label], _finished(runs, label)
            rows.append(
                (
                    published.name,
                    formatting.percent(published.val_accuracy),
                    f"{published.val_cost:.2f}",
                    label,
                    formatting.mean_percent([run.best_val_accuracy for run in finished]),
                    formatting.mean_cost([run.lowest_val_cost for run in finished]),
                    formatting.mean_percent([run.test_accuracy for run in finished]),
                )
            )
    if not rows:
        return None
    return Table(
        "Results of the monograph, and of these runs as mean (standard deviation) over seeds.",
        (
            "in the monograph",
            "best validation accuracy there",
            "lowest validation cost there",
            "optimizer",
            "best validation accuracy",
            "lowest validation cost",
            "test accuracy",
        ),
        tuple(rows),
        f"Monograph: {SOURCE}; best of ten epochs of one run each, without a fixed seed, on "
        f"{VAL_IMAGES} validation images. One standard error of such an accuracy is "
        f"{_standard_errors()} points, so the four accuracies do not distinguish the runs. Its "
        "images are the photographs of the Kaggle competition, and its backbone has ImageNet "
        f"weights. These runs: {_task(runs)}. {BIAS}",
    )


def _task(runs: Runs) -> str:
    """Describe data, backbone and epochs; lists the values if the runs differ."""
    facts = [run.facts for run in runs.found if run.status == "finished"]
    if not facts:
        return "no run finished"
    sources = dict.fromkeys(str(one["data"]["source"]) for one in facts)
    weights = dict.fromkeys(str(one["weights"]["description"]) for one in facts)
    epochs = dict.fromkeys(str(one["config"]["epochs"]) for one in facts)
    return (
        f"data: {formatting.listed(sources)}; backbone: {formatting.listed(weights)}; "
        f"best of {formatting.listed(epochs)} epochs"
    )


def _standard_errors() -> str:
    shares = [published.val_accuracy for published in PUBLISHED.values()]
    errors = [100 * math.sqrt(share * (1 - share) / VAL_IMAGES) for share in shares]
    return f"{min(errors):.1f} to {max(errors):.1f}"


def _seed_row(run: Run) -> tuple[str, ...]:
    summary = summarize(run)
    return (
        run.label,
        str(run.seed),
        run.status,
        _at_epoch(formatting.percent(summary.best_val_accuracy), summary.best_epoch),
        _at_epoch(formatting.cost(summary.lowest_val_cost), summary.lowest_val_cost_epoch),
        formatting.percent(summary.last_val_accuracy),
        formatting.cost(summary.last_val_cost),
        formatting.percent(summary.test_accuracy),
        formatting.cost(summary.test_cost),
    )


def _at_epoch(value: str, epoch: float) -> str:
    return value if math.isnan(epoch) else f"{value} (epoch {epoch:.0f})"


def _finished(runs: Runs, label: str) -> list[RunSummary]:
    return [summarize(run) for run in runs.finished(label)]


def _planned(runs: Runs, label: str) -> int:
    return len(runs.of(label)) + sum(run.label == label for run in runs.missing)


def _learning_rate(runs: Runs, label: str) -> str:
    rates = {run.learning_rate for run in runs.of(label)}
    rates |= {run.learning_rate for run in runs.missing if run.label == label}
    return formatting.listed(
        map(formatting.learning_rate, sorted(rates, key=lambda rate: rate or 0.0))
    )
