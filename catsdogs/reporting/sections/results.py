"""The tables of results: what each contender reached, beside what the monograph printed."""

import math
from dataclasses import dataclass

from catsdogs.io import formatting
from catsdogs.reporting.document import Table
from catsdogs.reporting.run_summary import RunSummary, outcome
from catsdogs.runs.reader import Run, Runs

BIAS = (
    "The best validation accuracy is the maximum over the epochs, so it flatters: of noisy numbers "
    "the largest is picked. The epoch was chosen on validation, and the test pictures took no part "
    "in that: test accuracy is the clean number."
)


SOURCE = "V. Jeronymo, monograph, Unicamp 2019"
VAL_IMAGES = 200


def results_table(runs: Runs) -> Table:
    """Return a row for each contender: mean and standard deviation over seeds.

    Args:
        runs: One for each contender and seed, as `chosen_runs` returns them.
    """
    rows = []
    for label in runs.comparison.contenders:
        reached = _finished(runs, label)
        rows.append(
            (
                label,
                _learning_rate(runs, label),
                formatting.mean_percent([o.best_val_accuracy for o in reached]),
                formatting.mean_number([o.best_epoch for o in reached]),
                formatting.mean_cost([o.lowest_val_cost for o in reached]),
                formatting.mean_number([o.lowest_val_cost_epoch for o in reached]),
                formatting.mean_percent([o.last_val_accuracy for o in reached]),
                formatting.mean_percent([o.test_accuracy for o in reached]),
                formatting.mean_cost([o.test_cost for o in reached]),
                f"{len(reached)} of {_planned(runs, label)}",
            )
        )
    return Table(
        "What each optimizer reached: mean (standard deviation) over seeds.",
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
        f"{BIAS} Runs that did not finish are in no mean.",
    )


def seeds_table(runs: Runs) -> Table:
    """Return a row for each run, those that are missing or did not finish too.

    Args:
        runs: One for each contender and seed, as `chosen_runs` returns them.
    """
    gone = {(run.label, run.seed): "missing" for run in runs.missing}
    rows = []
    for label in runs.comparison.contenders:
        for seed in runs.comparison.seeds:
            run = runs.get(label, seed)
            if run:
                rows.append(_seed_row(run))
            elif (label, seed) in gone:
                rows.append((label, str(seed), "missing", *[formatting.NOTHING] * 6))
    return Table(
        "Every run: the best epoch on validation, the last one, and the best one on test.",
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
    """Return the monograph's values beside ours; None if no contender has one there.

    Args:
        runs: One for each contender and seed, as `chosen_runs` returns them.
    """
    rows = []
    for label in runs.comparison.contenders:
        if label in PUBLISHED:
            there, reached = PUBLISHED[label], _finished(runs, label)
            rows.append(
                (
                    there.name,
                    formatting.percent(there.val_accuracy),
                    f"{there.val_cost:.2f}",
                    label,
                    formatting.mean_percent([o.best_val_accuracy for o in reached]),
                    formatting.mean_cost([o.lowest_val_cost for o in reached]),
                    formatting.mean_percent([o.test_accuracy for o in reached]),
                )
            )
    if not rows:
        return None
    return Table(
        "The monograph's values, and ours: mean (standard deviation) over seeds.",
        (
            "in the monograph",
            "best validation accuracy",
            "lowest validation cost",
            "here",
            "best validation accuracy here",
            "lowest validation cost here",
            "test accuracy here",
        ),
        tuple(rows),
        f"{SOURCE}: the best of ten epochs of one run each, without a seed, on {VAL_IMAGES} "
        f"validation pictures; one standard error of such an accuracy is {_standard_errors()} "
        "points, so its four accuracies do not tell the runs apart. There: photographs of the "
        f"Kaggle competition and a backbone of ImageNet weights. Here: {_task(runs)}. {BIAS}",
    )


def _task(runs: Runs) -> str:
    """Say what the runs learned from; several values where they differ."""
    facts = [run.facts for run in runs.found if run.status == "finished"]
    if not facts:
        return "no run finished"
    sources = dict.fromkeys(str(one["data"]["source"]) for one in facts)
    weights = dict.fromkeys(str(one["weights"]["description"]) for one in facts)
    epochs = dict.fromkeys(str(one["config"]["epochs"]) for one in facts)
    return (
        f"{formatting.listed(sources)} pictures; backbone: {formatting.listed(weights)}; "
        f"the best of {formatting.listed(epochs)} epochs"
    )


def _standard_errors() -> str:
    shares = [published.val_accuracy for published in PUBLISHED.values()]
    errors = [100 * math.sqrt(share * (1 - share) / VAL_IMAGES) for share in shares]
    return f"{min(errors):.1f} to {max(errors):.1f}"


def _seed_row(run: Run) -> tuple[str, ...]:
    reached = outcome(run)
    return (
        run.label,
        str(run.seed),
        run.status,
        _at_epoch(formatting.percent(reached.best_val_accuracy), reached.best_epoch),
        _at_epoch(formatting.cost(reached.lowest_val_cost), reached.lowest_val_cost_epoch),
        formatting.percent(reached.last_val_accuracy),
        formatting.cost(reached.last_val_cost),
        formatting.percent(reached.test_accuracy),
        formatting.cost(reached.test_cost),
    )


def _at_epoch(value: str, epoch: float) -> str:
    return value if math.isnan(epoch) else f"{value} (epoch {epoch:.0f})"


def _finished(runs: Runs, label: str) -> list[RunSummary]:
    return [outcome(run) for run in runs.finished(label)]


def _planned(runs: Runs, label: str) -> int:
    return len(runs.of(label)) + sum(run.label == label for run in runs.missing)


def _learning_rate(runs: Runs, label: str) -> str:
    rates = {run.learning_rate for run in runs.of(label)}
    rates |= {run.learning_rate for run in runs.missing if run.label == label}
    return formatting.listed(
        map(formatting.learning_rate, sorted(rates, key=lambda rate: rate or 0.0))
    )


@dataclass(frozen=True)
class Published:
    """The best of ten epochs of one run without a seed; the two may be of different epochs.

    Attributes:
        name: As the monograph calls the run.
        val_accuracy: Highest, 0 to 1, on 200 validation pictures.
        val_cost: Lowest.
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
