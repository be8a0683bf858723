"""Measure the peak memory and the time of a cold run by the number of images.

    python -m scripts.bench.scale --save scale.md
    python -m scripts.bench.scale --pictures 100 --epochs 1

The images are drawn before the measurement. The default goes up to 25,000, the size of the whole
competition, and takes a quarter of an hour on two cores. Requires Linux, whose /proc gives the
memory of a process and its descendants.
"""

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
from scripts.bench.page import benchmark_parser, circumstances, save_page, table

PROGRAM = "python -m scripts.bench.scale"
INTERVAL = 0.2  # seconds between two measurements of the memory
EXPLANATION = """\
Each row is one cold run in a separate process: images checked, features computed, the head trained
and evaluated. Of the images, 80 % are for training, 10 % for validation and 10 % for testing.
Memory is the largest proportional set size (Pss) of the process and its decoding processes
together, minus that of a Python process that has imported torch and torchvision."""
ON_GPU = """\
It is main memory: CUDA's own part of it is included, and the memory of the GPU is not measured."""


@dataclass(frozen=True)
class Cost:
    """Cost of one run.

    Attributes:
        peak: Largest memory, in bytes.
        seconds: From the start of the process to its end.
        training_seconds: The part of `seconds` that trained the head.
    """

    peak: int
    seconds: float
    training_seconds: float


def peak_memory(process: "subprocess.Popen[bytes]") -> int:
    """Wait for a process and return the largest memory of it and its descendants, in bytes."""
    peak = 0
    while process.poll() is None:
        peak = max(peak, sum(map(_resident, _family(process.pid))))
        time.sleep(INTERVAL)
    return peak


def _family(pid: int) -> list[int]:
    """Return a process and all of its descendants."""
    family = [pid]
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            children = [int(child) for child in task.read_text().split()]
        except OSError:
            continue  # the process has just ended
        for child in children:
            family += _family(child)
    return family


def _resident(pid: int) -> int:
    """Return the proportional set size of a process in bytes; 0 if it has ended."""
    try:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0
    found = re.search(r"^Pss: +(\d+) kB", rollup, re.MULTILINE)
    return int(found[1]) * 1024 if found else 0


def measure_baseline() -> int:
    """Return the memory, in bytes, of a Python that has imported torch and torchvision."""
    code = "import time, torch, torchvision; time.sleep(2)"
    return peak_memory(subprocess.Popen([sys.executable, "-c", code]))


def measure_run(images: int, epochs: int, threads: int, device: str) -> Cost:
    """Return the cost of a cold run over this number of images.

    Raises:
        RuntimeError: If the run fails.
    """
    tenth = images // 20
    sizes = {"train": images // 2 - 2 * tenth, "val": tenth, "test": tenth}
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
            raise RuntimeError(f"a run over {images} images ended with status {process.returncode}")
        return Cost(peak, seconds, records[0]["training_seconds"])


def rows(costs: dict[int, Cost], baseline: int) -> list[list[str]]:
    """Return a row of the table for each number of images."""
    return [
        [
            f"{images:,}",
            formatting.size(max(0, cost.peak - baseline)),
            f"{cost.seconds:,.0f}",
            f"{1000 * cost.seconds / images:.1f}",
            f"{cost.training_seconds:.1f}",
        ]
        for images, cost in costs.items()
    ]


def bench(sizes: Sequence[int], epochs: int, threads: int, device: str, save: Path | None) -> None:
    """Measure and print the table; write it to `save` if given."""
    baseline = measure_baseline()
    header = [
        "images",
        f"peak above {formatting.size(baseline)} of torch",
        "seconds",
        "seconds per 1,000",
        f"training, {epochs} epochs, s",
    ]
    costs: dict[int, Cost] = {}
    for number in sizes:
        costs[number] = measure_run(number, epochs, threads, device)
        page = [
            "# Cost by the number of images",
            circumstances(PROGRAM, device, threads),
            f"{EXPLANATION} {ON_GPU}" if device.startswith("cuda") else EXPLANATION,
            table(header, rows(costs, baseline)),
        ]
        if save is not None:
            save_page(save, page)
    print("\n\n".join(page))
    if save is not None:
        print(f"\nsaved: {save}")


def main() -> None:
    """Run the benchmark with the options of the command line."""
    parser = benchmark_parser(PROGRAM, __doc__)
    parser.add_argument(
        "--pictures", type=int, nargs="+", default=[2500, 25000], help="in each run (2500 25000)"
    )
    parser.add_argument("--epochs", type=int, default=2, help="of each run (2)")
    options = parser.parse_args()
    if min(options.pictures) < 20:
        parser.error("--pictures: must be 20 or above")
    bench(options.pictures, options.epochs, options.threads, options.device, options.save)


if __name__ == "__main__":
    main()
