"""Pages of the benchmarks: common options, the circumstances of the numbers, and Markdown."""

import argparse
import shlex
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import torch

from catsdogs.compute.device import describe_device
from catsdogs.io.files import atomic_write_text
from catsdogs.io.formatting import size
from catsdogs.runs.environment import git_state, hardware, versions


def benchmark_parser(program: str, doc: str | None) -> argparse.ArgumentParser:
    """Return a parser with the options of every benchmark.

    Args:
        program: The command without options, such as `python -m scripts.bench.scale`.
        doc: Docstring of the benchmark; the first line is the description.
    """
    parser = argparse.ArgumentParser(prog=program, description=(doc or "").partition("\n")[0])
    device, threads = "cuda" if torch.cuda.is_available() else "cpu", torch.get_num_threads()
    parser.add_argument("--device", default=device, help=f"cpu, cuda, cuda:1, ... ({device})")
    parser.add_argument("--threads", type=int, default=threads, help=f"of torch ({threads})")
    parser.add_argument("--save", type=Path, metavar="FILE", help="write the tables as Markdown")
    return parser


def circumstances(program: str, device: str, threads: int) -> str:
    """Return command, date, device, threads, hardware, versions and commit as a Markdown list.

    Args:
        program: The command without options, which are those of this process.
        device: As torch names it.
        threads: Threads of torch on the CPU.
    """
    machine, state = hardware(), git_state()
    machine["memory"] = size(machine.pop("memory_bytes"))
    on_gpu = device.startswith("cuda")
    facts = {
        "command": f"`{shlex.join([*program.split(), *sys.argv[1:]])}`",
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "device": describe_device(torch.device(device)) if on_gpu else device,
        "CPU threads": str(threads),
        "hardware": ", ".join(f"{name} {value}" for name, value in machine.items()),
        "versions": ", ".join(f"{name} {version}" for name, version in versions().items()),
        "commit": f"{state['commit']}{', changed' * state['changed']}" if state else "unknown",
    }
    return "\n".join(f"- {name}: {value}" for name, value in facts.items())


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def save_page(file: Path, parts: Sequence[str]) -> None:
    """Write the parts of a page to a Markdown file, and create its folder if necessary.

    Written after every part, a page loses nothing but the current part if the benchmark is stopped.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    atomic_write_text(file, "\n\n".join(parts) + "\n")
