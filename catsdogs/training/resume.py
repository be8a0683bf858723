"""Go on with a run that was cut off: which one, from where, and whether it is the same run."""

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
from catsdogs.runs.writer import recorded_facts
from catsdogs.training.checkpoint import load_checkpoint
from catsdogs.training.events import LoopPosition

log = logging.getLogger(__name__)
# What changes no number: where things are, how fast, and what is done about an error.
PLACES = (
    "output_dir",
    "resume",
    "debug",
    "data.root",
    "data.workers",
    "model.weights",  # known by what the file holds, as the pictures are
)
FREE = ("epochs", *PLACES)  # what may differ from the run that is taken up


# What a record must say for its run to be gone on with; checkpoints say it too.
NEEDED = {"label": str, "config": dict, "data": dict, "weights": dict, "versions": dict}


class RunLockedError(UserError):
    """Another process is at the same run."""


@dataclasses.dataclass
class RunProgress:
    """How far a run has come, through all processes that were at it.

    Attributes:
        best: The first epoch of the highest validation accuracy, and its results.
        best_cost: The first of the lowest validation cost.
        last: The last one done.
        position: Where the training stands; None before the untrained head was judged.
        training_seconds: In steps of whole epochs.
        seconds: In everything, until the last checkpoint.
        started: When the first of them began.
    """

    best: dict[str, Any] = dataclasses.field(default_factory=lambda: {"val_accuracy": -math.inf})
    best_cost: dict[str, Any] = dataclasses.field(default_factory=lambda: {"val_cost": math.inf})
    last: dict[str, Any] = dataclasses.field(default_factory=dict)
    position: LoopPosition | None = None
    training_seconds: float = 0.0
    seconds: float = 0.0
    started: str = ""

    def add_epoch(self, last: dict[str, Any], position: LoopPosition, seconds: float) -> bool:
        """Take note of an epoch and tell whether it is the best so far."""
        better = bool(last["val_accuracy"] > self.best["val_accuracy"])
        self.last, self.position = last, position
        self.training_seconds += seconds
        if better:
            self.best = last
        if last["val_cost"] < self.best_cost["val_cost"]:
            self.best_cost = last
        return better

    def facts(self) -> dict[str, Any]:
        """Return it as plain values for a checkpoint; what a clock said stands apart."""
        assert self.position is not None
        facts = dataclasses.asdict(self)
        clock = {name: facts.pop(name) for name in ("training_seconds", "seconds", "started")}
        clock["epoch_seconds"] = facts["position"].pop("seconds")
        return {"journey": facts, "clock": clock}

    @classmethod
    def from_checkpoint(cls, content: dict[str, Any]) -> "RunProgress":
        """Read what `facts` gave."""
        facts, clock = dict(content["journey"]), dict(content["clock"])
        seconds = clock.pop("epoch_seconds")
        position = LoopPosition(**facts.pop("position"), seconds=seconds)
        return cls(**facts, **clock, position=position)


@contextlib.contextmanager
def lock_run(directory: Path) -> Iterator[None]:
    """Hold a run directory against other processes.

    Raises:
        AtWorkError: If one of them holds it.
    """
    lock = FileLock(directory / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise RunLockedError(
            f"{directory}: another process is at this run; wait for it or stop it"
        ) from error
    try:
        yield
    finally:
        lock.release()


def read_run_facts(directory: Path) -> dict[str, Any]:
    """Return what the record says of a run, or its checkpoint where the record is damaged.

    Empty where neither can be read.
    """
    facts = recorded_facts(directory)
    if _is_whole(facts) or not (directory / "record.json").exists():
        return facts
    for name in ("last.pt", "best.pt"):
        with contextlib.suppress(UserError):
            content = load_checkpoint(directory / name)
            told = {key: content[key] for key in (*NEEDED, "threads") if key in content}
            if _is_whole(told):
                return {**told, "status": "running", "started": content["clock"]["started"]}
    return {}


def quarantine_damaged_record(directory: Path) -> None:
    """Make room for a new `record.json` where the old one does not say what it must."""
    path = directory / "record.json"
    if path.exists() and not _is_whole(recorded_facts(directory)):
        aside = quarantine(path)
        log.warning("%s was damaged, so it is made again from the checkpoint", aside)


def find_unfinished(output_dir: Path, config: dict[str, Any], label: str) -> list[Path]:
    """Return the unfinished runs of the same configuration, the newest first."""
    begun = []
    for path in output_dir.glob("*/record.json"):
        facts = read_run_facts(path.parent)
        if not facts:
            log.warning("%s cannot be read, so that run is left as it is", path)
        elif (
            facts.get("label") == label
            and not is_finished(facts)
            and not differences(facts.get("config"), config)
        ):
            begun.append((str(facts.get("started")), path.parent))
    return [directory for _, directory in sorted(begun, reverse=True)]


def is_finished(facts: dict[str, Any]) -> bool:
    """Tell whether a run has come to its end, whatever that was."""
    return "finished" in facts


def require_same_run(directory: Path, config: dict[str, Any], label: str) -> dict[str, Any]:
    """Return the facts of a run that this configuration can go on with.

    Raises:
        UserError: If there is none, or with the settings that differ.
    """
    facts = read_run_facts(directory)
    if not facts:
        raise UserError(
            f"resume={directory}: no run can be read there; give a run directory, or auto"
        )
    if facts.get("label") != label:
        raise UserError(
            f"resume={directory}: that is a run of {facts.get('label')}, not of {label}"
        )
    different = differences(facts.get("config"), config)
    if different:
        raise UserError(
            f"resume={directory}: that run has other settings: {'; '.join(different)}. Give the "
            "same ones, or start a new run without resume"
        )
    return facts


def require_same_data(directory: Path, before: dict[str, Any], now: dict[str, Any]) -> None:
    """Require the pictures and weights of the run that is taken up; say if versions differ.

    Raises:
        UserError: With what differs.
    """
    for name, setting in (("data", "data.root"), ("weights", "model.weights")):
        if before.get(name, {}).get("sha256") != now[name]["sha256"]:
            raise UserError(
                f"resume={directory}: that run had other {name} than {setting} names now; give "
                "the same ones, or start a new run without resume"
            )
    for name in ("versions", "threads"):
        if before.get(name) != now[name]:
            log.warning(
                "%s differ from those with which %s began (%s, now %s): the last bits may differ",
                name,
                directory,
                before.get(name),
                now[name],
            )


def differences(before: Any, now: dict[str, Any]) -> list[str]:
    """Return a text for each setting that differs and must not."""
    one, other = (
        dict(flat(config)) if isinstance(config, dict) else {} for config in (before, now)
    )
    return [
        f"{key} is {one.get(key, 'absent')} there and {other.get(key, 'absent')} here"
        for key in sorted(one.keys() | other.keys())
        if key not in FREE and one.get(key) != other.get(key)
    ]


def load_last_good_checkpoint(directory: Path) -> dict[str, Any] | None:
    """Return the last sound checkpoint of a run; None if there is none and it must start over.

    A damaged one is set aside and named. `best.pt` serves where `last.pt` does not. Without a sound
    `best.pt` the run has lost something that only its beginning brings back.
    """
    sound = {}
    for name in ("best.pt", "last.pt"):
        path = directory / name
        if not path.exists():
            continue
        try:
            sound[name] = load_checkpoint(path)
        except UserError as error:
            log.warning("%s; it is set aside as %s", error, quarantine(path).name)
    best, last = sound.get("best.pt"), sound.get("last.pt")
    hidden: list[str] = next((state["hidden_state"] for state in (last, best) if state), [])
    if hidden:
        log.warning(
            "%s starts over: its optimizer keeps %s outside of its state_dict",
            directory,
            ", ".join(hidden),
        )
        return None
    if best is None:
        if last is not None:
            log.warning("%s has no sound best.pt: the run starts over", directory)
        return None
    # Between the two writes of an epoch best.pt may be one ahead; the run comes to it again.
    if last is None or best["epoch"] < last["journey"]["best"]["epoch"]:
        return best
    return last


def _is_whole(facts: dict[str, Any]) -> bool:
    return all(isinstance(facts.get(name), kind) for name, kind in NEEDED.items())


def flat(config: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """Return every setting of a configuration under its full name, such as `data.root`."""
    found: list[tuple[str, Any]] = []
    for key, value in config.items():
        name = prefix + key
        found += flat(value, f"{name}.") if isinstance(value, dict) else [(name, value)]
    return found
