"""All runs of a comparison in one process: finished ones are kept, failed ones recorded."""

import contextlib
import dataclasses
import glob
import hashlib
import json
import shutil
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from filelock import Timeout
from tqdm import tqdm

from catsdogs.compute.device import choose_device
from catsdogs.contract.subject import Factory
from catsdogs.contract.timing import time_steps
from catsdogs.errors import UserError
from catsdogs.features.epoch_features import EpochFeatures
from catsdogs.io.files import make_directory
from catsdogs.io.locks import file_lock
from catsdogs.io.progress import progress, reported
from catsdogs.runs.comparison import FILE, Comparison, PlannedRun, read_comparison
from catsdogs.runs.environment import versions
from catsdogs.runs.schema import flat
from catsdogs.runs.writer import RunRecord, recorded_facts
from catsdogs.settings import Settings
from catsdogs.training.heads import HEADS
from catsdogs.training.resume import (
    PLACES,
    RunLockedError,
    differences,
    is_finished,
    read_run_facts,
)
from catsdogs.training.run import disk_is_full, failure_facts, record_failure, train
from catsdogs.training.setup import Plan, build, find_features
from catsdogs.training.source import changed_source


def compare(
    plans: Sequence[Plan],
    output_dir: Path,
    command: str,
    learning_rates: tuple[float, ...],
) -> int:
    """Train the missing runs, time the optimizers' steps, and record both.

    Args:
        plans: One per run, contender by contender, with the same images and weights.
        output_dir: Folder of `comparison.json` and the run directories.
        command: The command line, for the record.
        learning_rates: Grid of the plans; empty without one.

    Returns:
        The number of runs that failed.

    Raises:
        UserError: For an invalid setting, before the first run.
    """
    for plan in plans:
        build(plan, choose_device(plan.settings.device))
    features = find_features([plan.settings for plan in plans])
    make_directory(output_dir, "output_dir")
    try:
        with file_lock(output_dir / ".compare.lock", waiting_for=None):
            runs = [_planned(*each) for each in zip(plans, features, strict=True)]
            comparison = _open(output_dir, runs, command, learning_rates)
            _announce_passes(plans, features)
            _announce_changed_source(plans, runs, output_dir)
            done = _train_missing(plans, runs, output_dir)
            steppers = {plan.label: _stepper(plan) for plan in done}
            if steppers.keys() != comparison.step_seconds.keys():
                seconds = _time_steps(steppers, plans[0].settings)
                dataclasses.replace(comparison, step_seconds=seconds).write(output_dir)
    except Timeout as error:
        raise UserError(
            f"output_dir={output_dir}: locked by another compare; wait until it ends, or choose "
            "another folder"
        ) from error
    return len(plans) - len(done)


def _announce_passes(plans: Sequence[Plan], features: list[EpochFeatures]) -> None:
    """Print the passes of the backbone that the runs need; equal features are computed once."""
    distinct = {
        json.dumps(each.key): (plan, each) for plan, each in zip(plans, features, strict=True)
    }
    for plan, each in distinct.values():
        whose = f"seed {plan.settings.seed}" if len(distinct) > 1 else "all runs"
        tqdm.write(f"passes of the backbone, {whose}: {each.forecast}")


def _announce_changed_source(
    plans: Sequence[Plan], runs: list[PlannedRun], output_dir: Path
) -> None:
    """Print, for each contender, which file has changed since its runs of before."""
    said: set[str] = set()
    for plan, run in zip(plans, runs, strict=True):
        if run.label in said or (output_dir / run.directory).exists():
            continue
        said.add(run.label)
        for before in sorted(output_dir.glob(f"{glob.escape(run.label)}-seed{run.seed}-*")):
            facts = recorded_facts(before)
            changed = changed_source(facts.get("source"), plan.source)
            if changed and not differences(facts.get("config"), plan.config):
                tqdm.write(
                    f"{run.label}: the code of {', '.join(changed)} has changed since "
                    f"{before.name}; training its runs anew"
                )
                break


def _planned(plan: Plan, features: EpochFeatures) -> PlannedRun:
    """Name a run by a hash of everything that decides its numbers, the images included."""
    config = {key: value for key, value in flat(plan.config) if key not in PLACES}
    facts: dict[str, Any] = {
        "config": config,
        "source": plan.source,
        "features": features.key,
        "versions": versions(),
    }
    key = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:8]
    seed, learning_rate = plan.settings.seed, plan.config["optimizer"].get("lr")
    return PlannedRun(plan.label, seed, learning_rate, f"{plan.label}-seed{seed}-{key}")


def _open(
    output_dir: Path, runs: list[PlannedRun], command: str, learning_rates: tuple[float, ...]
) -> Comparison:
    """Write `comparison.json` before the first run, and keep step times measured before."""
    comparison = Comparison(
        command=command,
        contenders=tuple(dict.fromkeys(run.label for run in runs)),
        seeds=tuple(dict.fromkeys(run.seed for run in runs)),
        learning_rates=learning_rates,
        runs=tuple(runs),
    )
    if (output_dir / FILE).exists():
        with contextlib.suppress(UserError):  # a damaged file is replaced
            before = read_comparison(output_dir)
            if before.runs == comparison.runs:
                comparison = dataclasses.replace(comparison, step_seconds=before.step_seconds)
    comparison.write(output_dir)
    return comparison


def _train_missing(plans: Sequence[Plan], runs: list[PlannedRun], output_dir: Path) -> list[Plan]:
    """Train the missing runs and return the plans of those that finished or diverged."""
    done = []
    with progress(total=len(runs), description="runs", unit="run") as bar:
        for plan, run in zip(plans, runs, strict=True):
            directory = output_dir / run.directory
            facts = recorded_facts(directory)
            found = is_finished(facts)
            if not found:
                facts = _train_run(plan, directory)
            if is_finished(facts):
                done.append(plan)
            tqdm.write(_line(run, facts, found))
            bar.update()
    return done


def _train_run(plan: Plan, directory: Path) -> dict[str, Any]:
    """Train or resume one run, its output in `log.txt`, and return its recorded facts.

    An error is recorded and does not stop the other runs.
    """
    if read_run_facts(directory).get("status") != "running":
        shutil.rmtree(directory, ignore_errors=True)  # failed, or left no record
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / "log.txt").open("a", encoding="utf-8") as log:
        try:
            with contextlib.redirect_stdout(log):
                train(plan, directory)
        except RunLockedError:
            raise
        except Exception as error:
            if disk_is_full(error):  # so would the other runs, and this one can resume
                raise
            traceback.print_exc(file=log)  # the error of this run alone
            _record_failure(plan, directory, error)
    return recorded_facts(directory)


def _record_failure(plan: Plan, directory: Path, error: Exception) -> None:
    if recorded_facts(directory):
        record_failure(directory, error)
        return
    facts = {
        "format": 1,
        "label": plan.label,
        "seed": plan.settings.seed,
        "command": plan.command,
        "config": plan.config,
        "versions": versions(),
    }
    with RunRecord(directory, facts | failure_facts(error)):
        pass


def _line(run: PlannedRun, facts: dict[str, Any], found: bool) -> str:
    rate = "" if run.learning_rate is None else f"{run.learning_rate:g}"
    line = f"{run.label:<20}  seed {run.seed:<3}  lr {rate:<8}  {facts['status']:<9}"
    if "test_accuracy" in facts:
        line += f"  test accuracy {facts['test_accuracy']:.1%}"
    if facts["status"] == "failed":
        line += f"  {' '.join(facts['error'].split())}"
    elif found:
        line += "  (kept)"
    else:
        line += f"  {facts['total_seconds']:.1f} s"
    return line


def _stepper(plan: Plan) -> Factory:
    """Return a factory of a contender's optimizer, to time its step on the head alone."""
    settings = plan.settings
    return lambda parameters: plan.make_optimizer(
        parameters, settings.data.train_images, settings.batch_size
    )


def _time_steps(factories: dict[str, Factory], settings: Settings) -> dict[str, tuple[float, ...]]:
    shapes = [tuple(parameter.shape) for parameter in HEADS[settings.model.head]().parameters()]
    device = choose_device(settings.device)
    with reported("timing steps", unit="repeat") as show:
        timings = time_steps(factories, shapes, device=device, builds=3, progress=show)
    return {label: timing.seconds for label, timing in timings.items()}
