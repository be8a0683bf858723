"""What `record.json` must hold for a report: anyone can hand over a folder of runs."""

from collections.abc import Mapping
from typing import Any

LARGEST = 2**63 - 1
FINITE = 3.5e38  # no float32 is beyond it, and every cost is one
NUMBERS = "nan", "inf", "-inf"  # how a record writes what JSON cannot hold
NEEDED = "data", "weights"  # of a run that finished


def check_facts(facts: Any) -> None:
    """Refuse facts that no run writes; what a report does not read is not looked at.

    Raises:
        TypeError: For a fact of the wrong kind, by its dotted name.
        KeyError: For one that is missing.
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
    for part in facts.get("memory") or ():
        _check_part(part)
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
        raise TypeError("data.unreadable is no list")


def _check_part(part: Any) -> None:
    _section("memory", part)
    _whole("memory.nbytes", part["nbytes"])
    for name in ("name", "place"):
        _text(f"memory.{name}", part[name])


def _check_finished(facts: Mapping[str, Any]) -> None:
    for name in NEEDED:
        if not facts[name]:
            raise TypeError(f"{name} is empty")
    for section, name in (("data", "source"), ("weights", "description"), ("config", "epochs")):
        if name not in facts[section]:
            raise KeyError(f"{section}.{name}")


def _section(name: str, value: Any) -> None:
    if not isinstance(value, Mapping):
        raise TypeError(f"{name} is no section")


def _text(name: str, value: Any) -> None:
    if not isinstance(value, str):
        raise TypeError(f"{name} is no text")


def _whole(name: str, value: Any) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= LARGEST:
        raise TypeError(f"{name} is no whole number of 0 or above")


def _number(name: str, value: Any) -> None:
    plain = isinstance(value, int | float) and not isinstance(value, bool)
    if not plain or not abs(value) <= FINITE:
        raise TypeError(f"{name} is no finite number")
