"""All runs of a comparison in one process, each done once, whatever became of the others."""

import contextlib
import dataclasses
import errno
import hashlib
import json
import shutil
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from tqdm import tqdm

from catsdogs.compute.device import choose_device
from catsdogs.contract.harness import Factory
from catsdogs.contract.timing import time_steps
from catsdogs.errors import UserError
from catsdogs.features.epoch_features import EpochFeatures
from catsdogs.io.files import make_directory
from catsdogs.io.progress import progress, reported
from catsdogs.runs.comparison import FILE, Comparison, PlannedRun, read_comparison
from catsdogs.runs.environment import versions
from catsdogs.runs.schema import flat
from catsdogs.runs.writer import RunRecord, recorded_facts, write_facts
from catsdogs.settings import Settings
from catsdogs.training.heads import HEADS
from catsdogs.training.resume import PLACES, RunLockedError, is_finished, read_run_facts
from catsdogs.training.run import train
from catsdogs.training.setup import Plan, build, find_features


def compare(
    plans: Sequence[Plan],
    output_dir: Path,
    command: str,
    learning_rates: tuple[float, ...],
) -> int:
    """Do the runs that are not there yet, time the optimizers' steps, and write down all of it.

    Args:
        plans: The runs, contender by contender; they share pictures and weights.
        output_dir: Where `comparison.json` and the run directories go.
        command: What was typed.
        learning_rates: The grid that the plans were made from; empty without one.

    Returns:
        The number of runs that failed.

    Raises:
        UserError: For settings that cannot work, before the first run.
    """
    for plan in plans:
        build(plan, choose_device(plan.settings.device))
    features = find_features([plan.settings for plan in plans])
    make_directory(output_dir, "output_dir")
    try:
        with FileLock(output_dir / ".compare.lock", timeout=0):
            runs = [_planned(*each) for each in zip(plans, features, strict=True)]
            comparison = _open(output_dir, runs, command, learning_rates)
            _announce_passes(plans, features)
            done = _do_runs(plans, runs, output_dir)
            steppers = {plan.label: _stepper(plan) for plan in done}
            if steppers.keys() != comparison.step_seconds.keys():
                seconds = _time_steps(steppers, plans[0].settings)
                dataclasses.replace(comparison, step_seconds=seconds).write(output_dir)
    except Timeout as error:
        raise UserError(
            f"output_dir={output_dir}: another compare is at work in this folder; wait for it or "
            "choose another"
        ) from error
    return len(plans) - len(done)


def _announce_passes(plans: Sequence[Plan], features: list[EpochFeatures]) -> None:
    """Say how many passes the runs need together; each set of features is computed once."""
    distinct = {
        json.dumps(each.key): (plan, each) for plan, each in zip(plans, features, strict=True)
    }
    for plan, each in distinct.values():
        whose = f"seed {plan.settings.seed}" if len(distinct) > 1 else "all runs"
        tqdm.write(f"passes of the backbone, {whose}: {each.forecast}")


def _planned(plan: Plan, features: EpochFeatures) -> PlannedRun:
    """Name a run after everything that decides its numbers; `features` knows the pictures."""
    config = {key: value for key, value in flat(plan.config) if key not in PLACES}
    facts: dict[str, Any] = {"config": config, "features": features.key, "versions": versions()}
    key = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:8]
    seed, learning_rate = plan.settings.seed, plan.config["optimizer"].get("lr")
    return PlannedRun(plan.label, seed, learning_rate, f"{plan.label}-seed{seed}-{key}")


def _open(
    output_dir: Path, runs: list[PlannedRun], command: str, learning_rates: tuple[float, ...]
) -> Comparison:
    """Write the plan before the first run; what the same plan has measured already is kept."""
    comparison = Comparison(
        command=command,
        contenders=tuple(dict.fromkeys(run.label for run in runs)),
        seeds=tuple(dict.fromkeys(run.seed for run in runs)),
        learning_rates=learning_rates,
        runs=tuple(runs),
    )
    if (output_dir / FILE).exists():
        with contextlib.suppress(UserError):  # a damaged plan is written anew
            before = read_comparison(output_dir)
            if before.runs == comparison.runs:
                comparison = dataclasses.replace(comparison, step_seconds=before.step_seconds)
    comparison.write(output_dir)
    return comparison


def _do_runs(plans: Sequence[Plan], runs: list[PlannedRun], output_dir: Path) -> list[Plan]:
    """Do what is missing and return the plans whose runs have come to their end."""
    done = []
    with progress(total=len(runs), description="runs", unit="run") as bar:
        for plan, run in zip(plans, runs, strict=True):
            directory = output_dir / run.directory
            facts = recorded_facts(directory)
            found = is_finished(facts)
            if not found:
                facts = _do_run(plan, directory)
            if is_finished(facts):
                done.append(plan)
            tqdm.write(_line(run, facts, found))
            bar.update()
    return done


def _do_run(plan: Plan, directory: Path) -> dict[str, Any]:
    """Train, or go on with it, with what a run prints in its `log.txt`, and return the facts.

    What stops a run is written down, and does not stop the others.
    """
    if read_run_facts(directory).get("status") != "running":
        shutil.rmtree(directory, ignore_errors=True)  # a run that failed or left nothing to read
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / "log.txt").open("a", encoding="utf-8") as log:
        try:
            with contextlib.redirect_stdout(log):
                train(plan, directory)
        except RunLockedError:
            raise
        except Exception as error:
            if _disk_is_full(error):  # the other runs fare no better, and this one can go on
                raise
            traceback.print_exc(file=log)  # any other is this run's own
            _record_failure(plan, directory, error)
    return recorded_facts(directory)


def _disk_is_full(error: BaseException | None) -> bool:
    """Tell whether there was no space; torch raises an error of its own in the handling of it."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return True
    return error is not None and _disk_is_full(error.__context__)


def _record_failure(plan: Plan, directory: Path, error: Exception) -> None:
    reason = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
    failure = {"status": "failed", "error": reason}
    begun = recorded_facts(directory)
    if begun:
        write_facts(directory, begun | failure)
        return
    facts = {
        "format": 1,
        "label": plan.label,
        "seed": plan.settings.seed,
        "command": plan.command,
        "config": plan.config,
        "versions": versions(),
    }
    with RunRecord(directory, facts | failure):
        pass


def _line(run: PlannedRun, facts: dict[str, Any], found: bool) -> str:
    rate = "" if run.learning_rate is None else f"{run.learning_rate:g}"
    line = f"{run.label:<20}  seed {run.seed:<3}  lr {rate:<8}  {facts['status']:<9}"
    if "test_accuracy" in facts:
        line += f"  test accuracy {facts['test_accuracy']:.1%}"
    if facts["status"] == "failed":
        line += f"  {' '.join(facts['error'].split())}"
    elif found:
        line += "  (was there)"
    else:
        line += f"  {facts['total_seconds']:.1f} s"
    return line


def _stepper(plan: Plan) -> Factory:
    """Return what builds a contender's optimizer, to time its step on the head alone."""
    settings = plan.settings
    return lambda parameters: plan.make_optimizer(
        parameters, settings.data.train_images, settings.batch_size
    )


def _time_steps(factories: dict[str, Factory], settings: Settings) -> dict[str, tuple[float, ...]]:
    shapes = [tuple(parameter.shape) for parameter in HEADS[settings.head]().parameters()]
    device = choose_device(settings.device)
    with reported("timing the steps", unit="repeat") as show:
        timings = time_steps(factories, shapes, device=device, builds=3, progress=show)
    return {label: timing.seconds for label, timing in timings.items()}
