"""Records of synthetic runs, written by the code that writes real records."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

from catsdogs.runs.comparison import Comparison, PlannedRun
from catsdogs.runs.writer import RunRecord

COSTS = (0.75, 0.5, 0.25, 0.125)  # two epochs of two iterations
VAL_ACCURACIES = (0.5, 0.9, 0.95)
VAL_COSTS = (0.7, 0.3, 0.2)
LOGITS = (3.0, -3.0) * 10  # correct predictions for a cat and a dog in turn


def mistaken(*wrong: int, images: int = len(LOGITS)) -> tuple[float, ...]:
    """Return logits that are correct for all test images except those given."""
    return tuple(
        logit if (image % 2 == 0) != (image in wrong) else -logit
        for image, logit in enumerate([3.0] * images)
    )


def write_run(
    folder: Path,
    label: str = "native_adam",
    seed: int = 0,
    *,
    name: str = "",
    learning_rate: float | None = 1e-3,
    status: str = "finished",
    costs: Sequence[float] = COSTS,
    val_accuracies: Sequence[float] = VAL_ACCURACIES,
    val_costs: Sequence[float] = VAL_COSTS,
    test_logits: Sequence[float] = LOGITS,
    weights: Mapping[str, NDArray[Any]] | None = None,
    seconds: float = 2.0,
    facts: Mapping[str, Any] | None = None,
) -> Path:
    """Write a run directory and return it.

    The last cost of a run that diverged is nan. A failed or running run has no predictions and no
    weights.

    Args:
        folder: Parent of the run directory.
        label: The contender.
        seed: Seed of the run.
        name: Name of the run directory; by default from label, seed and learning rate.
        learning_rate: Configured learning rate; None for an optimizer without one.
        status: A `Run.status`.
        costs: Training cost of each iteration.
        val_accuracies: Validation accuracy of each epoch, the untrained head first.
        val_costs: Validation cost of each epoch.
        test_logits: Logits of the test images, a cat and a dog in turn; also used for validation.
        weights: Weights after the last step.
        seconds: Duration of each epoch.
        facts: Additional or different facts of `record.json`.
    """
    directory = folder / (name or run_name(label, seed, learning_rate))
    directory.mkdir(parents=True)
    with RunRecord(directory, usual_facts(label, seed, learning_rate)) as record:
        for iteration, cost in enumerate(costs, 1):
            record.add_step(iteration, cost)
        if status == "diverged":
            record.add_step(len(costs) + 1, float("nan"))
        for epoch, (accuracy, cost) in enumerate(zip(val_accuracies, val_costs, strict=True)):
            record.add_epoch((epoch, 0.4, cost, accuracy, 1e-3, seconds if epoch else 0.0))
        if status in ("finished", "diverged"):
            record.write_predictions(_predictions(test_logits))
            record.update(test_cost=0.0625, test_accuracy=_accuracy(test_logits))
            chosen = {"conv.weight": np.ones((2, 3), np.float32)} if weights is None else weights
            save_file(dict(chosen), directory / "last.safetensors")
        ends = _ends(len(costs) + 1).get(status, {})
        record.update(**({"status": status} | ends | dict(facts or {})))
    return directory


def write_comparison(
    folder: Path,
    contenders: Sequence[str] = ("native_adam", "custom_adam"),
    seeds: Sequence[int] = (0, 1, 2),
    *,
    learning_rates: Sequence[float] = (),
    step_seconds: Mapping[str, Sequence[float]] | None = None,
    absent: Collection[tuple[str, int]] = (),
    runs: Mapping[tuple[str, int], Mapping[str, Any]] | None = None,
) -> Path:
    """Write a comparison with its run directories and return its folder.

    Args:
        folder: Created if it does not exist.
        contenders: Labels.
        seeds: Seeds of each contender.
        learning_rates: The grid; empty for none.
        step_seconds: Step times as in `comparison.json`.
        absent: Label and seed of planned runs that are missing.
        runs: Arguments for `write_run` by label and seed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    planned = tuple(
        PlannedRun(label, seed, rate, run_name(label, seed, rate))
        for label in contenders
        for rate in (learning_rates or (1e-3,))
        for seed in seeds
    )
    Comparison(
        command="python -m catsdogs.compare contenders=[" + ",".join(contenders) + "]",
        contenders=tuple(contenders),
        seeds=tuple(seeds),
        learning_rates=tuple(learning_rates),
        runs=planned,
        step_seconds={label: tuple(times) for label, times in (step_seconds or {}).items()},
    ).write(folder)
    for run in planned:
        key = (run.label, run.seed)
        if key not in absent:
            others = (runs or {}).get(key, {})
            write_run(folder, *key, learning_rate=run.learning_rate, **others)
    return folder


def run_name(label: str, seed: int, learning_rate: float | None) -> str:
    """Return the name of a run directory."""
    return f"{label}-seed{seed}-lr{learning_rate}"


def usual_facts(label: str, seed: int, learning_rate: float | None) -> dict[str, Any]:
    """Return the facts of a run before it starts."""
    rate = {} if learning_rate is None else {"lr": learning_rate}
    return {
        "format": 1,
        "label": label,
        "status": "running",
        "command": f"python -m catsdogs.train optimizer={label} seed={seed}",
        "seed": seed,
        "started": "2026-01-02T03:04:05+00:00",
        "config": {
            "optimizer": {**rate, "_target_": f"an.{label}", "_partial_": True},
            "data": {"source": "drawn", "train_per_class": 2},
            "epochs": 2,
            "batch_size": 2,
            "seed": seed,
            "output_dir": "outputs",
        },
        "versions": {"python": "3.11.7", "catsdogs": "0.1.0", "torch": "2.15.0"},
        "hardware": {
            "system": "Linux",
            "processor": "a processor",
            "cores": 2,
            "memory_bytes": 8 * 10**9,
            "device": "cpu (2 threads)",
        },
        "threads": 2,
        "git": {"commit": "0123456789abcdef0123456789abcdef01234567", "changed": False},
        "memory": [
            {"name": "parameters", "place": "cpu", "nbytes": 24},
            {"name": "gradients", "place": "cpu", "nbytes": 24},
            {"name": "state", "place": "cpu", "nbytes": 48},
            {"name": "checkpoints", "place": "disk", "nbytes": 9000},
        ],
        "data": {
            "source": "drawn",
            "root": "/pictures",
            "sha256": "d" * 64,
            "pictures": {"train": 4, "val": 20, "test": 20},
            "unreadable": [],
        },
        "weights": {"source": "embedded", "description": "the weights", "sha256": "e" * 64},
        "pixels": "resize256x256",
    }


def _ends(iteration: int) -> dict[str, dict[str, Any]]:
    what = {"what": "training cost", "cost": "nan", "epoch": 2, "iteration": iteration}
    return {
        "diverged": {"diverged": what},
        "failed": {"error": "UserError: optimizer: refuses its settings"},
        "finished": {"finished": "2026-01-02T03:04:15+00:00"},
    }


def _predictions(logits: Sequence[float]) -> list[tuple[str, str, int, float]]:
    species = ("cat", "dog")
    return [
        (split, f"{species[number % 2]}.{split}{number}.jpg", 1 - number % 2, logit)
        for split in ("val", "test")
        for number, logit in enumerate(logits)
    ]


def _accuracy(logits: Sequence[float]) -> float:
    right = [(logit > 0) == (number % 2 == 0) for number, logit in enumerate(logits)]
    return sum(right) / len(right)
