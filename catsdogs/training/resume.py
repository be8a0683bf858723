"""Resuming of interrupted runs: find and lock the run, compare its settings, load its state."""

import contextlib
import dataclasses
import logging
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from catsdogs.errors import UserError
from catsdogs.io.files import quarantine
from catsdogs.runs.schema import BEST_CHECKPOINT, LAST_CHECKPOINT, LOCK, RECORD, flat
from catsdogs.runs.writer import recorded_facts
from catsdogs.training.checkpoint import load_checkpoint
from catsdogs.training.events import LoopPosition

log = logging.getLogger(__name__)

# Settings that do not affect the results.
PLACES = (
    "output_dir",
    "resume",
    "debug",
    "data.root",
    "data.workers",
    "model.weights",  # compared by content, as the images are
)
FREE = ("epochs", *PLACES)  # settings that may differ when a run is resumed
# Facts that resuming needs, in the record or in a checkpoint.
NEEDED = {"label": str, "config": dict, "data": dict, "weights": dict, "versions": dict}


class RunLockedError(UserError):
    """The run is locked by another process."""


@dataclasses.dataclass
class RunProgress:
    """Progress of a run, over all processes that have worked on it in turn.

    Attributes:
        best: The first epoch with the highest validation accuracy, and its results.
        best_cost: The first epoch with the lowest validation cost, and its results.
        last: The last epoch, and its results.
        position: Position of the loop; None before the untrained head is evaluated.
        training_seconds: Time spent in the steps of complete epochs.
        seconds: Total time until the last checkpoint.
        started: When the run started, in UTC.
    """

    best: dict[str, Any] = dataclasses.field(default_factory=lambda: {"val_accuracy": -math.inf})
    best_cost: dict[str, Any] = dataclasses.field(default_factory=lambda: {"val_cost": math.inf})
    last: dict[str, Any] = dataclasses.field(default_factory=dict)
    position: LoopPosition | None = None
    training_seconds: float = 0.0
    seconds: float = 0.0
    started: str = ""

    def add_epoch(self, last: dict[str, Any], position: LoopPosition, seconds: float) -> bool:
        """Add an epoch and return whether it is the best so far."""
        better = bool(last["val_accuracy"] > self.best["val_accuracy"])
        self.last, self.position = last, position
        self.training_seconds += seconds
        if better:
            self.best = last
        if last["val_cost"] < self.best_cost["val_cost"]:
            self.best_cost = last
        return better

    def facts(self) -> dict[str, Any]:
        """Return the progress as plain values for a checkpoint, all times under `clock`."""
        assert self.position is not None
        facts = dataclasses.asdict(self)
        clock = {name: facts.pop(name) for name in ("training_seconds", "seconds", "started")}
        clock["epoch_seconds"] = facts["position"].pop("seconds")
        return {"journey": facts, "clock": clock}

    @classmethod
    def from_checkpoint(cls, content: dict[str, Any]) -> "RunProgress":
        """Restore what `facts` returned."""
        facts, clock = dict(content["journey"]), dict(content["clock"])
        seconds = clock.pop("epoch_seconds")
        position = LoopPosition(**facts.pop("position"), seconds=seconds)
        return cls(**facts, **clock, position=position)


@contextlib.contextmanager
def lock_run(directory: Path) -> Iterator[None]:
    """Lock a run directory against other processes.

    Raises:
        RunLockedError: If another process holds the lock.
    """
    lock = FileLock(directory / LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise RunLockedError(
            f"{directory}: locked by another process; wait for it or stop it"
        ) from error
    try:
        yield
    finally:
        # A file system that cannot unlock does so when the file is closed.
        with contextlib.suppress(OSError):
            lock.release()


def read_run_facts(directory: Path) -> dict[str, Any]:
    """Return the facts of a run from its record, or from a checkpoint if the record is damaged.

    The facts are empty if neither is readable.
    """
    facts = recorded_facts(directory)
    if _is_complete(facts) or not (directory / RECORD).exists():
        return facts
    for name in (LAST_CHECKPOINT, BEST_CHECKPOINT):
        with contextlib.suppress(UserError):
            content = load_checkpoint(directory / name)
            found = {key: content[key] for key in (*NEEDED, "threads") if key in content}
            if _is_complete(found):
                return {**found, "status": "running", "started": content["clock"]["started"]}
    return {}


def quarantine_damaged_record(directory: Path) -> None:
    """Rename a `record.json` that is damaged or incomplete, so that a new one can be written."""
    path = directory / RECORD
    if path.exists() and not _is_complete(recorded_facts(directory)):
        aside = quarantine(path)
        log.warning("%s was damaged; rebuilding it from the checkpoint", aside)


def find_unfinished(output_dir: Path, config: dict[str, Any], label: str) -> list[Path]:
    """Return the unfinished runs with this label and configuration, the newest first."""
    begun = []
    for path in output_dir.glob(f"*/{RECORD}"):
        facts = read_run_facts(path.parent)
        if not facts:
            log.warning("%s is not readable; skipping that run", path)
        elif (
            facts.get("label") == label
            and not is_finished(facts)
            and not differences(facts.get("config"), config)
        ):
            begun.append((str(facts.get("started")), path.parent))
    return [directory for _, directory in sorted(begun, reverse=True)]


def is_finished(facts: dict[str, Any]) -> bool:
    """Tell whether a run is over: finished or diverged."""
    return "finished" in facts


def require_same_run(directory: Path, config: dict[str, Any], label: str) -> dict[str, Any]:
    """Return the facts of a run that has this label and configuration.

    Raises:
        UserError: If no run is readable in the directory, or if its settings differ.
    """
    facts = read_run_facts(directory)
    if not facts:
        raise UserError(f"resume={directory}: no readable run found; give a run directory or auto")
    if facts.get("label") != label:
        raise UserError(
            f"resume={directory}: this is a run of {facts.get('label')}, not of {label}; use "
            "its optimizer, or start a new run without resume"
        )
    different = differences(facts.get("config"), config)
    if different:
        raise UserError(
            f"resume={directory}: other settings, {', '.join(different)}; use the same ones, "
            "or start a new run without resume"
        )
    return facts


def require_same_data(directory: Path, before: dict[str, Any], now: dict[str, Any]) -> None:
    """Refuse other images or weights than those of the resumed run; warn of other versions.

    Args:
        directory: The run directory.
        before: The recorded facts of the run.
        now: The facts of this process.

    Raises:
        UserError: If images or weights differ.
    """
    for name, setting in (("data", "data.root"), ("weights", "model.weights")):
        if before.get(name, {}).get("sha256") != now[name]["sha256"]:
            raise UserError(
                f"resume={directory}: {setting} has other {name} than this run; use the same "
                f"{name}, or start a new run without resume"
            )
    for name in ("versions", "threads"):
        if before.get(name) != now[name]:
            log.warning(
                "%s: other %s than at its start (%s, now %s); results may differ in the last bits",
                directory,
                name,
                before.get(name),
                now[name],
            )


def differences(before: Any, now: dict[str, Any]) -> list[str]:
    """Return one text for each setting that differs and must not."""
    one, other = (
        dict(flat(config)) if isinstance(config, dict) else {} for config in (before, now)
    )
    return [
        f"{key}={other.get(key, 'absent')} (the run has {one.get(key, 'absent')})"
        for key in sorted(one.keys() | other.keys())
        if key not in FREE and one.get(key) != other.get(key)
    ]


def load_last_good_checkpoint(directory: Path) -> dict[str, Any] | None:
    """Return the last readable checkpoint of a run; None if the run must start over.

    Damaged checkpoints are renamed, with a warning. `best.pt` replaces a damaged `last.pt`. Without
    a readable `best.pt` the run starts over, since nothing else has the best head.
    """
    readable = {}
    for name in (BEST_CHECKPOINT, LAST_CHECKPOINT):
        path = directory / name
        if not path.exists():
            continue
        try:
            readable[name] = load_checkpoint(path)
        except UserError as error:
            log.warning("%s; renaming it to %s", error, quarantine(path).name)
    best, last = readable.get(BEST_CHECKPOINT), readable.get(LAST_CHECKPOINT)
    hidden: list[str] = next((state["hidden_state"] for state in (last, best) if state), [])
    if hidden:
        log.warning(
            "%s: starting the run over, since its optimizer keeps %s outside of its state_dict",
            directory,
            ", ".join(hidden),
        )
        return None
    if best is None:
        if last is not None:
            log.warning("%s: no readable %s; starting the run over", directory, BEST_CHECKPOINT)
        return None
    # A crash between the two writes of an epoch leaves best.pt one epoch ahead of last.pt. The
    # run then repeats that epoch.
    if last is None or best["epoch"] < last["journey"]["best"]["epoch"]:
        return best
    return last


def _is_complete(facts: dict[str, Any]) -> bool:
    return all(isinstance(facts.get(name), kind) for name, kind in NEEDED.items())
