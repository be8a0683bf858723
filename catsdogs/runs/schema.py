"""Format of a run directory: names, columns, labels, and the checks of `record.json`.

| name | content |
|---|---|
| `record.json` | every fact that is not a series: settings, versions, data, best and last values |
| `steps.csv` | cost of every iteration |
| `epochs.csv` | costs, accuracy and learning rate of every epoch; epoch 0 is the untrained head |
| `predictions.csv` | the best checkpoint's logit for every validation and test image |
| `mistakes.csv`, `mistakes/` | its most confident mistakes on the test images, with thumbnails |
| `best.pt`, `last.pt` | checkpoints |
| `last.safetensors` | the head's tensors after the last step, readable without torch |
| `config.yaml` | the settings in full |
"""

import csv
from collections.abc import Mapping
from typing import Any, Literal

RECORD = "record.json"
STEPS = "steps.csv"
EPOCHS = "epochs.csv"
PREDICTIONS = "predictions.csv"
MISTAKES = "mistakes.csv"
THUMBNAILS = "mistakes"
BEST_CHECKPOINT, LAST_CHECKPOINT = "best.pt", "last.pt"
LAST_WEIGHTS = "last.safetensors"
CONFIG = "config.yaml"
LOCK = ".lock"

STEP_COLUMNS = ("iteration", "cost")
EPOCH_COLUMNS = ("epoch", "train_cost", "val_cost", "val_accuracy", "learning_rate", "seconds")
PREDICTION_COLUMNS = ("split", "path", "label", "logit")
MISTAKE_COLUMNS = ("rank", "path", "label", "logit", "file")
STATUSES = ("finished", "diverged", "failed", "running")

REDO = "delete the run and redo it"
# Every exception that parsing a file of arbitrary content can raise.
DAMAGE = (
    OSError,
    ValueError,
    TypeError,
    KeyError,
    AttributeError,
    OverflowError,
    RecursionError,
    csv.Error,
)

LARGEST = 2**63 - 1
FINITE = 3.5e38  # above any float32, and every cost is one
NUMBERS = "nan", "inf", "-inf"  # numbers that JSON lacks, as a record writes them
NEEDED = "data", "weights"  # by a finished run


def class_name(label: int) -> Literal["cat", "dog"]:
    """Return the name of a label: 1 is a cat, 0 a dog."""
    return "cat" if label else "dog"


def flat(section: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """Return every leaf of nested sections with its dotted name, such as `data.root`."""
    found: list[tuple[str, Any]] = []
    for key, value in section.items():
        name = prefix + key
        found += flat(value, f"{name}.") if isinstance(value, Mapping) else [(name, value)]
    return found


def check_facts(facts: Any) -> None:
    """Refuse facts that no run writes; only those that a report reads are checked.

    Args:
        facts: The content of a `record.json`, which may come from anybody.

    Raises:
        TypeError: For a fact of the wrong type, by its dotted name.
        KeyError: For a missing fact.
    """
    _section("the record", facts)
    for name in ("label", "status"):
        _text(name, facts[name])
    _whole("seed", facts["seed"])
    for name in ("started", "command", "error"):
        if name in facts:
            _text(name, facts[name])
    _check_config(facts["config"])
    for name in ("data", "weights", "git", "versions", "hardware", "diverged"):
        if facts.get(name) is not None:
            _section(name, facts[name])
    _check_data(facts.get("data"))
    for item in facts.get("memory") or ():
        _check_memory_item(item)
    if "test_cost" in facts and facts["test_cost"] not in NUMBERS:
        _number("test_cost", facts["test_cost"])
    _whole("hardware.memory_bytes", (facts.get("hardware") or {}).get("memory_bytes", 0))
    if facts["status"] == "finished":
        _check_finished(facts)


def _check_config(config: Any) -> None:
    _section("config", config)
    _section("config.optimizer", config["optimizer"])
    if config["optimizer"].get("lr") is not None:
        _number("config.optimizer.lr", config["optimizer"]["lr"])


def _check_data(data: Any) -> None:
    if data is None:
        return
    _section("data.pictures", data["pictures"])
    for split in ("train", "val", "test"):
        _whole(f"data.pictures.{split}", data["pictures"][split])
    if not isinstance(data.get("unreadable", []), list):
        raise TypeError("data.unreadable is not a list")


def _check_memory_item(item: Any) -> None:
    _section("memory", item)
    _whole("memory.nbytes", item["nbytes"])
    for name in ("name", "place"):
        _text(f"memory.{name}", item[name])


def _check_finished(facts: Mapping[str, Any]) -> None:
    for name in NEEDED:
        if not facts[name]:
            raise TypeError(f"{name} is empty")
    for section, name in (("data", "source"), ("weights", "description"), ("config", "epochs")):
        if name not in facts[section]:
            raise KeyError(f"{section}.{name}")


def _section(name: str, value: Any) -> None:
    if not isinstance(value, Mapping):
        raise TypeError(f"{name} is not a section")


def _text(name: str, value: Any) -> None:
    if not isinstance(value, str):
        raise TypeError(f"{name} is not a text")


def _whole(name: str, value: Any) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= LARGEST:
        raise TypeError(f"{name} is not a whole number of 0 or above")


def _number(name: str, value: Any) -> None:
    plain = isinstance(value, int | float) and not isinstance(value, bool)
    if not plain or not abs(value) <= FINITE:
        raise TypeError(f"{name} is not a finite number")
