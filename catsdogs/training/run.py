"""One run from a plan to records: the wiring of the parts, in the order they act."""

import contextlib
import dataclasses
import logging
import shlex
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import torch

from catsdogs.compute.device import (
    choose_device,
    disable_tf32,
    set_determinism,
    tune_malloc,
)
from catsdogs.compute.distributed import join_process_group
from catsdogs.data.manifest import Split
from catsdogs.features.feature_store import Features
from catsdogs.io.files import atomic_write_text, make_directory, quarantine
from catsdogs.runs.writer import DamagedRecords, RunRecord
from catsdogs.training.checkpoint import load_checkpoint, save_tensors
from catsdogs.training.events import DivergedError, EpochDone, Evaluation, StepDone
from catsdogs.training.final_evaluation import Predictions, evaluate_best, save_predictions
from catsdogs.training.heads import SharedHead
from catsdogs.training.loop import fit
from catsdogs.training.resume import (
    RunLockedError,
    RunProgress,
    find_unfinished,
    is_finished,
    load_last_good_checkpoint,
    lock_run,
    quarantine_damaged_record,
    read_run_facts,
    require_same_run,
)
from catsdogs.training.run_logger import RunLogger
from catsdogs.training.setup import Plan, Prepared, counts, now, prepare
from catsdogs.training.signals import Interrupted, Interruption
from catsdogs.training.tensorboard import Status, TensorBoardTracker, hyperparameters

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class RunResult:
    """How a run ended, and the directory that says everything else; of no use but in rank 0."""

    directory: Path
    status: Status


def train(plan: Plan, directory: Path | None = None) -> RunResult:
    """Carry out a plan; nothing is written before every setting has been tried.

    Under torchrun every process calls this, and the first one writes.

    Args:
        plan: What to train.
        directory: A folder for the records, in which a run that was cut off is gone on with.
            Without one the run makes its own, unless `resume` names one.

    Raises:
        UserError: For settings, pictures or weights that cannot work.
        Interrupted: By SIGINT or SIGTERM; the message says how to go on.
    """
    started = time.perf_counter()
    device = choose_device(plan.settings.device)
    set_determinism(plan.settings.deterministic)
    disable_tf32()
    tune_malloc()
    with (
        Interruption() as interruption,
        join_process_group(device) as process_group,
        contextlib.ExitStack() as held,
    ):
        begun = _find_begun(plan, directory, held) if process_group.is_main else None
        done: RunResult | None = process_group.broadcast(_finished(begun, plan.settings.epochs))
        if done is not None:
            print(f"{done.directory} is finished, there is nothing to do; more epochs= go on")
            return done
        try:
            run = prepare(plan, device, process_group, interruption, begun)
        except Interrupted as error:
            going_on = "interrupted before the training; the same command goes on where it was"
            raise Interrupted(error.number, going_on) from None
        if not process_group.is_main:
            return _assist(run)
        if directory is None:
            directory = begun or _make_run_directory(plan, held)
        try:
            return _lead(run, directory, started)
        except Interrupted as error:
            raise Interrupted(error.number, f"{error}; {_way_on(plan, directory)}") from None


def _find_begun(plan: Plan, directory: Path | None, held: contextlib.ExitStack) -> Path | None:
    """Return the directory of the run to go on with, if there is one; hold it from now on.

    Raises:
        UserError: If `resume` names a directory that cannot be gone on with.
        AtWorkError: If another process is at the run.
    """
    settings = plan.settings
    if directory is not None:
        held.enter_context(lock_run(directory))
        return directory if read_run_facts(directory) else None
    if settings.resume is None:
        return None
    if settings.resume != "auto":
        named = Path(settings.resume).expanduser()
        require_same_run(named, plan.config, plan.label)
        held.enter_context(lock_run(named))
        return named
    for found in find_unfinished(settings.output_dir, plan.config, plan.label):
        try:
            held.enter_context(lock_run(found))
        except RunLockedError as error:
            print(f"resume=auto: {error}; passed over")
            continue
        if not is_finished(read_run_facts(found)):  # by the one that held it until now
            return found
    print(f"resume=auto: {settings.output_dir} has no unfinished run of this kind; a new one")
    return None


def _finished(begun: Path | None, epochs: int) -> RunResult | None:
    """Return the outcome of a run that has nothing left to do."""
    facts = read_run_facts(begun) if begun is not None else {}
    if begun is None or not is_finished(facts):
        return None
    if facts["status"] == "finished" and facts["config"]["epochs"] < epochs:
        return None
    return RunResult(begun, facts["status"])


def _lead(run: Prepared, directory: Path, started: float) -> RunResult:
    """Train as the process that writes, alone or with others."""
    plan, settings, features = run.plan, run.plan.settings, run.features
    record, state = _open_record(run, directory)
    model_facts = {"config": plan.config} | {
        name: run.facts[name] for name in ("label", "versions", "threads", "weights", "pixels")
    }
    model_facts["data"] = {"sha256": run.facts["data"]["sha256"]}
    atomic_write_text(directory / "config.yaml", plan.config_yaml)
    with (
        record,
        TensorBoardTracker(directory, hyperparameters(plan.label, plan.config)) as tracker,
    ):
        events, run_progress = _set_out(run, state)
        run_logger = RunLogger(
            record,
            tracker,
            run.train_state,
            run_progress,
            lambda epoch: model_facts | {"backbone_statistics": features.statistics(epoch)},
            started,
        )
        steps_per_epoch = -(-counts(run.manifest)["train"] // settings.batch_size)
        status = run_logger.follow(
            events,
            iterations=settings.epochs * steps_per_epoch,
            interruption=run.interruption,
        )
        save_tensors(directory / "last.safetensors", run.train_state.head)
        best = load_checkpoint(directory / "best.pt")
        splits, answers = _judge_best(run, best)
        save_predictions(answers, splits, run.manifest.root, record, tracker)
        tracker.add_end(status)
    # After the tracker's file is closed: what says that it is finished has everything.
    record.update(
        status=status,
        feature_store=features.facts,
        finished=now(),
        training_seconds=run_progress.training_seconds,
        total_seconds=run_logger.total_seconds,
    )
    _conclude(run_progress, answers["test"], directory, settings.output_dir)
    return RunResult(directory, status)


def _assist(run: Prepared) -> RunResult:
    """Train along with the process that writes."""
    status: Status = "finished"
    events, _ = _set_out(run, None)
    with run.interruption.put_off():
        try:
            for event in events:
                if isinstance(event, StepDone) and event.is_last_before_stop:
                    raise Interrupted(run.interruption.asked or signal.SIGTERM)
        except DivergedError:
            status = "diverged"
        if run.interruption.asked:  # too late for a step to see it
            raise Interrupted(run.interruption.asked)
    _judge_best(run, None)
    return RunResult(Path(), status)


def _open_record(run: Prepared, directory: Path) -> tuple[RunRecord, dict[str, Any] | None]:
    """Open the records, and return the checkpoint from which the run goes on, if there is one."""
    state = None
    if "resumed" in run.facts:
        state = load_last_good_checkpoint(directory)
        quarantine_damaged_record(directory)
    if state is not None:
        position = RunProgress.from_checkpoint(state).position
        assert position is not None
        try:
            record = RunRecord(
                directory, run.facts, steps=position.iteration, epochs=position.epoch
            )
        except DamagedRecords as error:
            aside = quarantine(error.path) if error.path.exists() else error.path
            log.warning("%s; it is set aside as %s, and the run starts over", error, aside.name)
        else:
            print(f"going on with {directory} after iteration {position.iteration}\n")
            return record, state
    return RunRecord(directory, run.facts), None


def _set_out(
    run: Prepared, state: dict[str, Any] | None
) -> tuple[Iterator[StepDone | EpochDone], RunProgress]:
    """Bring every process to where the first one's checkpoint was, and return what follows."""
    settings, train_state, process_group = run.plan.settings, run.train_state, run.process_group
    state = process_group.broadcast(state)
    run_progress = RunProgress(started=run.facts["started"])
    # For optimizers that draw; nothing else in a run does.
    torch.manual_seed(settings.seed)
    if state is not None:
        run_progress = RunProgress.from_checkpoint(state)
        train_state.restore(state)
        run.features.recall(run_progress.last["epoch"], state["backbone_statistics"])
    events = fit(
        train_state.head
        if process_group.size == 1
        else SharedHead(train_state.head, process_group),
        train_state.optimizer,
        run.features,
        run.plan.train_config,
        train_state.scheduler,
        start=run_progress.position,
        asked_to_stop=lambda: bool(run.interruption.asked),
        process_group=process_group,
    )
    return events, run_progress


def _judge_best(
    run: Prepared, best: dict[str, Any] | None
) -> tuple[dict[Split, Features], Predictions]:
    """Let all processes answer for the first one's best checkpoint, on its epoch's features."""
    told = run.process_group.broadcast(
        {"epoch": best["epoch"], "head": best["head"]} if best else None
    )
    run.train_state.head.load_state_dict(told["head"])
    splits = run.features(told["epoch"])
    settings = run.plan.settings
    return splits, evaluate_best(
        run.train_state.head, splits, settings.val_batch_size, run.process_group
    )


def _way_on(plan: Plan, directory: Path) -> str:
    """Return what to type to go on with a run."""
    if plan.settings.resume == "auto" or "catsdogs.compare" in plan.command:
        return "the same command goes on"
    named = f" resume={shlex.quote(str(directory))}"
    return f"go on with: {plan.command}{named * (plan.settings.resume is None)}"


def _conclude(
    run_progress: RunProgress, test: Evaluation, directory: Path, output_dir: Path
) -> None:
    best = run_progress.best
    print(
        f"\nbest epoch {best['epoch']}: validation accuracy {best['val_accuracy']:.1%}, "
        f"cost {best['val_cost']:.4f}; on {len(test.logits)} unseen test pictures: "
        f"accuracy {test.accuracy:.1%}, cost {test.cost:.4f}"
    )
    print(f"records, checkpoints and curves: {directory}")
    beside = Path(sys.executable).with_name("tensorboard")
    tensorboard = "tensorboard" if shutil.which("tensorboard") else str(beside)
    print(f"to see the curves: {tensorboard} --logdir {output_dir}")


def _make_run_directory(plan: Plan, held: contextlib.ExitStack) -> Path:
    """Make and hold `LABEL-seedN-TIME` under the output folder; if that is taken, with a number."""
    output_dir = make_directory(plan.settings.output_dir, "output_dir")
    name = f"{plan.label}-seed{plan.settings.seed}-{datetime.now():%Y%m%d-%H%M%S}"
    for suffix in ("", *(f"-{number}" for number in range(2, 1000))):
        directory = output_dir / f"{name}{suffix}"
        try:
            directory.mkdir()
        except FileExistsError:
            continue
        held.enter_context(lock_run(directory))
        return directory
    raise FileExistsError(output_dir / name)
