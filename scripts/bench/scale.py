"""Measure what a cold run takes as the pictures become many: memory at its peak, and time.

    python -m scripts.bench.scale --save scale.md
    python -m scripts.bench.scale --pictures 100 --epochs 1

Draws the pictures first; that is not measured. The default goes up to the size of the whole
competition, 25,000, which takes a quarter of an hour on two cores. Needs Linux, which tells the
memory of a process and of those that it started.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from catsdogs.data.sources import draw_folder
from catsdogs.io import formatting
from catsdogs.io.files import cache_directory, make_directory
from catsdogs.runs.writer import recorded_facts
from scripts.bench.page import add_options, circumstances, save_page, table

EVERY = 0.2  # seconds between two looks at the memory
EXPLANATION = """\
Each row is one cold run in a process of its own: pictures checked, features computed, the head
trained and judged. Eight tenths of the pictures train, a tenth validates and a tenth tests. Memory
is the largest sum, over the process and those that decode for it, of what is theirs of the resident
pages (Pss), less that of a Python that has imported torch and torchvision."""


@dataclass(frozen=True)
class Cost:
    """What one run took: bytes at the peak, seconds in all, and of these of the training."""

    peak: int
    seconds: float
    training_seconds: float


def peak_memory(process: "subprocess.Popen[bytes]") -> int:
    """Wait for a process and return the most bytes that it and its children had at one time."""
    peak = 0
    while process.poll() is None:
        peak = max(peak, sum(map(_resident, _family(process.pid))))
        time.sleep(EVERY)
    return peak


def _family(pid: int) -> list[int]:
    """Return a process and all that it started, directly or not."""
    family = [pid]
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            children = [int(child) for child in task.read_text().split()]
        except OSError:
            continue  # it has just ended
        for child in children:
            family += _family(child)
    return family


def _resident(pid: int) -> int:
    try:
        told = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0
    found = re.search(r"^Pss: +(\d+) kB", told, re.MULTILINE)
    return int(found[1]) * 1024 if found else 0


def measure_baseline() -> int:
    """Return the memory of a Python that has imported torch and torchvision."""
    code = "import time, torch, torchvision; time.sleep(2)"
    return peak_memory(subprocess.Popen([sys.executable, "-c", code]))


def measure_run(pictures: int, epochs: int, threads: int, device: str) -> Cost:
    """Return what a cold run over that many pictures takes.

    Raises:
        RuntimeError: If the run fails.
    """
    tenth = pictures // 20
    sizes = {"train": pictures // 2 - 2 * tenth, "val": tenth, "test": tenth}
    drawn = draw_folder(sum(sizes.values()))
    cache = make_directory(cache_directory(), "CATSDOGS_CACHE")
    with tempfile.TemporaryDirectory(prefix="bench-", dir=cache) as name:
        settings = {
            "data": "folder",
            "data.root": drawn.resolve(),
            "epochs": epochs,
            "device": device,
            **{f"data.{split}_per_class": count for split, count in sizes.items()},
        }
        arguments = [f"{key}={value}" for key, value in settings.items()]
        started = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-m", "catsdogs.train", *arguments],
            cwd=name,
            env=os.environ
            | {
                "CATSDOGS_CACHE": name,
                "OMP_NUM_THREADS": str(threads),
                "PYTHONPATH": os.pathsep.join(sys.path),
            },
        )
        peak = peak_memory(process)
        seconds = time.perf_counter() - started
        records = [recorded_facts(path) for path in Path(name, "outputs").glob("*")]
        if process.returncode or len(records) != 1:
            raise RuntimeError(f"a run over {pictures} pictures ended with {process.returncode}")
        return Cost(peak, seconds, records[0]["training_seconds"])


def rows(costs: dict[int, Cost], baseline: int) -> list[list[str]]:
    """Return a row of the table for each number of pictures."""
    return [
        [
            f"{pictures:,}",
            formatting.size(max(0, cost.peak - baseline)),
            f"{cost.seconds:,.0f}",
            f"{1000 * cost.seconds / pictures:.1f}",
            f"{cost.training_seconds:.1f}",
        ]
        for pictures, cost in costs.items()
    ]


def bench(sizes: Sequence[int], epochs: int, threads: int, device: str, save: Path | None) -> None:
    """Measure, print the table, and save it if asked."""
    baseline = measure_baseline()
    costs = {size: measure_run(size, epochs, threads, device) for size in sizes}
    header = [
        "pictures",
        f"peak above {formatting.size(baseline)} of torch",
        "seconds",
        "seconds per 1,000",
        f"training, {epochs} epochs, s",
    ]
    page = [
        "# Cost by the number of pictures",
        circumstances(device, threads),
        EXPLANATION,
        table(header, rows(costs, baseline)),
    ]
    print("\n\n".join(page))
    if save is not None:
        save_page(save, page)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    add_options(parser)
    parser.add_argument(
        "--pictures", type=int, nargs="+", default=[2500, 25000], help="of each run (2500 25000)"
    )
    parser.add_argument("--epochs", type=int, default=2, help="of training (2)")
    options = parser.parse_args()
    if min(options.pictures) < 20:
        parser.error("--pictures: must be 20 or above")
    bench(options.pictures, options.epochs, options.threads, options.device, options.save)


if __name__ == "__main__":
    main()
