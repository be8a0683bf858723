"""One run from its plan to its records: prepare, train, evaluate."""

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
from catsdogs.errors import UserError
from catsdogs.features.feature_store import Features
from catsdogs.io.failure import described
from catsdogs.io.files import FULL_DISK, atomic_write_text, make_directory, quarantine
from catsdogs.io.text import typed
from catsdogs.runs.checksums import file_checksums
from catsdogs.runs.schema import BEST_CHECKPOINT, CONFIG, LAST_WEIGHTS
from catsdogs.runs.writer import DamagedRecords, RunRecord, recorded_facts, write_facts
from catsdogs.training.checkpoint import load_checkpoint, save_tensors
from catsdogs.training.events import DivergedError, EpochDone, Evaluation, StepDone
from catsdogs.training.final_evaluation import evaluate_best, save_predictions
from catsdogs.training.heads import SharedHead
from catsdogs.training.loop import fit
from catsdogs.training.resume import (
    RunProgress,
    checkpoint_fault,
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
    """The result of a run; meaningful in the main process only.

    Attributes:
        directory: The run directory.
        status: `finished` or `diverged`.
    """

    directory: Path
    status: Status


def train(plan: Plan, directory: Path | None = None) -> RunResult:
    """Train as planned; nothing is written before every setting has been checked.

    Under torchrun every process calls this function, and the main one writes.

    Args:
        plan: The run's plan.
        directory: The run directory; an interrupted run in it is resumed. None creates a new
            directory, or uses the one that `resume` names.

    Raises:
        UserError: For invalid settings, images or weights.
        Interrupted: On SIGINT or SIGTERM; the message says how to continue.
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
        resumed = _find_and_lock(plan, directory, held) if process_group.is_main else None
        done: RunResult | None = process_group.broadcast(
            _finished_result(resumed, plan.settings.epochs)
        )
        if done is not None:
            print(f"{done.directory} is already finished; raise epochs= to continue it")
            return done
        try:
            run = prepare(plan, device, process_group, interruption, resumed)
        except Interrupted as error:
            message = "interrupted before training started; run the same command to continue"
            raise Interrupted(error.number, message) from None
        if not process_group.is_main:
            return _train_worker(run)
        if directory is None:
            directory = resumed or _make_run_directory(plan, held)
        try:
            return _train_main(run, directory, started)
        except Interrupted as error:
            raise Interrupted(error.number, f"{error}; {_hint(plan, directory)}") from None
        except Exception as error:
            if not disk_is_full(error):  # a record could not be written either
                record_failure(directory, error)
            raise


def record_failure(directory: Path, error: Exception) -> None:
    """Write why a run failed into its record, if it has one; it can be resumed all the same."""
    if facts := recorded_facts(directory):
        write_facts(directory, facts | failure_facts(error))


def failure_facts(error: Exception) -> dict[str, Any]:
    """Return the facts of a run that an error ended."""
    reason = str(error) if isinstance(error, UserError) else described(error)
    return {"status": "failed", "error": reason}


def disk_is_full(error: BaseException | None) -> bool:
    """Return whether the disk was full; torch raises an error of its own while handling that."""
    if isinstance(error, OSError) and error.errno in FULL_DISK:
        return True
    return error is not None and disk_is_full(error.__context__)


def _find_and_lock(plan: Plan, directory: Path | None, held: contextlib.ExitStack) -> Path | None:
    """Return the directory of the run to resume, locked in `held`; None for a new run.

    Raises:
        UserError: If `resume` names a directory that cannot be resumed.
        RunLockedError: If the run is locked by another process.
    """
    settings = plan.settings
    if directory is not None:
        held.enter_context(lock_run(directory))
        return directory if read_run_facts(directory) else None
    if settings.resume is None:
        return None
    if settings.resume != "auto":
        named = Path(settings.resume).expanduser()
        require_same_run(named, plan.config, plan.label, plan.source)
        held.enter_context(lock_run(named))
        return named
    for found in find_unfinished(settings.output_dir, plan.config, plan.label, plan.source):
        try:
            held.enter_context(lock_run(found))
        except UserError as error:  # locked by another process, or cannot be locked
            print(f"resume=auto: skipping {error}")
            continue
        if not is_finished(read_run_facts(found)):  # by the process that held the lock until now
            return found
    print(
        f"resume=auto: no unfinished run with these settings in {settings.output_dir}; "
        "starting a new one"
    )
    return None


def _finished_result(resumed: Path | None, epochs: int) -> RunResult | None:
    """Return the result of a run with no epochs left to train; None for any other run."""
    facts = read_run_facts(resumed) if resumed is not None else {}
    if resumed is None or not is_finished(facts):
        return None
    if facts["status"] == "finished" and facts["config"]["epochs"] < epochs:
        return None
    return RunResult(resumed, facts["status"])


def _train_main(run: Prepared, directory: Path, started: float) -> RunResult:
    """Train as the main process, which writes."""
    plan, settings, features = run.plan, run.plan.settings, run.features
    record, state = _open_record(run, directory)
    model_facts = {"config": plan.config} | {
        name: run.facts[name]
        for name in ("id", "label", "source", "versions", "threads", "weights", "pixels")
    }
    model_facts["data"] = {"sha256": run.facts["data"]["sha256"]}
    atomic_write_text(directory / CONFIG, plan.config_yaml)
    with (
        record,
        TensorBoardTracker(directory, hyperparameters(plan.label, plan.config)) as tracker,
    ):
        events, run_progress = _start(run, state)
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
        save_tensors(directory / LAST_WEIGHTS, run.train_state.head)
        best = _load_best(directory, record.facts)
        splits, evaluations = _evaluate_best(run, best)
        save_predictions(evaluations, splits, run.manifest.root, record, tracker)
        tracker.add_end(status)
    # After the tracker is closed: a record that says "finished" is complete.
    record.update(
        status=status,
        feature_store=features.facts,
        finished=now(),
        checksums=file_checksums(directory),
        training_seconds=run_progress.training_seconds,
        total_seconds=run_logger.total_seconds,
    )
    _print_summary(run_progress, evaluations["test"], directory, settings.output_dir)
    return RunResult(directory, status)


def _train_worker(run: Prepared) -> RunResult:
    """Train as another process of the group, which writes nothing."""
    status: Status = "finished"
    events, _ = _start(run, None)
    with run.interruption.defer():
        try:
            for event in events:
                if isinstance(event, StepDone) and event.is_last_before_stop:
                    raise Interrupted(run.interruption.received or signal.SIGTERM)
        except DivergedError:
            status = "diverged"
        if run.interruption.received:  # after the last step
            raise Interrupted(run.interruption.received)
    _evaluate_best(run, None)
    return RunResult(Path(), status)


def _open_record(run: Prepared, directory: Path) -> tuple[RunRecord, dict[str, Any] | None]:
    """Open the records, and return the checkpoint to resume from; None to start from scratch."""
    state = None
    if "resumed" in run.facts:
        state = load_last_good_checkpoint(directory, run.facts)
        quarantine_damaged_record(directory)
    if state is not None:
        position = RunProgress.from_checkpoint(state).position
        assert position is not None
        try:
            record = RunRecord(
                directory,
                run.facts,
                steps=position.iteration,
                epochs=position.epoch,
                digests=state.get("series"),
            )
        except DamagedRecords as error:
            aside = quarantine(error.path) if error.path.exists() else error.path
            log.warning("%s; renaming it to %s and starting the run over", error, aside.name)
        else:
            print(f"resuming {directory} after iteration {position.iteration}\n")
            return record, state
    return RunRecord(directory, run.facts), None


def _load_best(directory: Path, facts: dict[str, Any]) -> dict[str, Any]:
    """Return the best checkpoint of a run whose training has ended.

    Raises:
        UserError: If something else has changed or replaced it.
    """
    path = directory / BEST_CHECKPOINT
    content = load_checkpoint(path)
    if fault := checkpoint_fault(content, path.name, facts | {"finished": now()}):
        raise UserError(f"{path}: {fault}; resume={directory} starts the run over")
    return content


def _start(
    run: Prepared, state: dict[str, Any] | None
) -> tuple[Iterator[StepDone | EpochDone], RunProgress]:
    """Restore the main process's checkpoint in every process, and return the events after it."""
    settings, train_state, process_group = run.plan.settings, run.train_state, run.process_group
    state = process_group.broadcast(state)
    run_progress = RunProgress(started=run.facts["started"])
    # For optimizers with randomness; nothing else in a run draws from this generator.
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
        stop_requested=lambda: bool(run.interruption.received),
        process_group=process_group,
    )
    return events, run_progress


def _evaluate_best(
    run: Prepared, best: dict[str, Any] | None
) -> tuple[dict[Split, Features], dict[Split, Evaluation]]:
    """Evaluate the main process's best checkpoint in all processes, on its epoch's features."""
    shared = run.process_group.broadcast(
        {"epoch": best["epoch"], "head": best["head"]} if best else None
    )
    run.train_state.head.load_state_dict(shared["head"])
    splits = run.features(shared["epoch"])
    settings = run.plan.settings
    return splits, evaluate_best(
        run.train_state.head, splits, settings.val_batch_size, run.process_group
    )


def _hint(plan: Plan, directory: Path) -> str:
    """Return what to type to continue a run."""
    if plan.settings.resume == "auto" or "catsdogs.compare" in plan.command:
        return "run the same command to continue"
    named = f" {typed('resume', directory)}"
    return f"to continue: {plan.command}{named * (plan.settings.resume is None)}"


def _print_summary(
    run_progress: RunProgress, test: Evaluation, directory: Path, output_dir: Path
) -> None:
    best = run_progress.best
    print(
        f"\nbest epoch {best['epoch']}: validation accuracy {best['val_accuracy']:.1%}, "
        f"cost {best['val_cost']:.4f}; on {len(test.logits)} test images: "
        f"accuracy {test.accuracy:.1%}, cost {test.cost:.4f}"
    )
    print(f"records, checkpoints and curves: {directory}")
    beside = Path(sys.executable).with_name("tensorboard")
    tensorboard = "tensorboard" if shutil.which("tensorboard") else str(beside)
    print(f"to see the curves: {shlex.join([tensorboard, '--logdir', str(output_dir)])}")


def _make_run_directory(plan: Plan, held: contextlib.ExitStack) -> Path:
    """Create and lock `LABEL-seedN-TIME` under `output_dir`, with a number if the name exists."""
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
