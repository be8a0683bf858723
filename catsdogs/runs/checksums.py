"""Checksums of a run: `record.json` carries its own, and those of the files of a complete run."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from catsdogs.errors import UserError
from catsdogs.io.files import checksum
from catsdogs.runs.schema import (
    EPOCHS,
    LAST_WEIGHTS,
    MISTAKES,
    PREDICTIONS,
    RECORD,
    REDO,
    STEPS,
)

OWN, OF_FILES = "checksum", "checksums"  # facts of the record; version 0.1.0 wrote neither
FILES = (STEPS, EPOCHS, PREDICTIONS, MISTAKES, LAST_WEIGHTS)


def record_checksum(facts: Mapping[str, Any]) -> str:
    """Return the SHA-256 of the content of a `record.json`, whatever its layout."""
    content = {name: value for name, value in facts.items() if name != OWN}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def is_intact(facts: Mapping[str, Any]) -> bool:
    """Return whether the content of a `record.json` has its checksum, or has none."""
    return OWN not in facts or facts[OWN] == record_checksum(facts)


def file_checksums(directory: Path) -> dict[str, str]:
    """Return the SHA-256 of every file that a report reads and that exists, by name."""
    paths = [directory / name for name in FILES]
    return {path.name: checksum(path) for path in paths if path.exists()}


def require_intact(path: Path, facts: Mapping[str, Any]) -> None:
    """Refuse a file that differs from its checksum in the record; one without is not checked.

    Raises:
        UserError: With the name of the file.
    """
    recorded = facts.get(OF_FILES, {}).get(path.name)
    if recorded is not None and path.exists() and checksum(path) != recorded:
        raise UserError(f"{path}: differs from its checksum in {RECORD}; {REDO}")
