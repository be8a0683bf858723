"""What the benchmarks share: options, what their numbers depend on, and the page they save."""

import argparse
import shlex
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import torch

from catsdogs.io.files import atomic_write_text
from catsdogs.io.formatting import size
from catsdogs.runs.environment import git_state, hardware, versions


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that every benchmark has."""
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--save", type=Path, metavar="FILE", help="write the tables as Markdown")


def circumstances(device: str, threads: int) -> str:
    """Return what the numbers depend on besides the code, as a list of Markdown."""
    machine, state = hardware(), git_state()
    machine["memory"] = size(machine.pop("memory_bytes"))
    if device.startswith("cuda"):
        machine["gpu"] = torch.cuda.get_device_name(device)
    facts = {
        "command": f"`{shlex.join(['python', *sys.argv])}`",
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "device": f"{device}, {threads} threads",
        "hardware": ", ".join(f"{name} {value}" for name, value in machine.items()),
        "versions": ", ".join(f"{name} {version}" for name, version in versions().items()),
        "commit": f"{state['commit']}{', changed' * state['changed']}" if state else "unknown",
    }
    return "\n".join(f"- {name}: {value}" for name, value in facts.items())


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table of Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def save_page(file: Path, parts: Sequence[str]) -> None:
    """Write the parts of a page into a file of Markdown, its folder made if need be."""
    file.parent.mkdir(parents=True, exist_ok=True)
    atomic_write_text(file, "\n\n".join(parts) + "\n")
    print(f"\nsaved: {file}")
