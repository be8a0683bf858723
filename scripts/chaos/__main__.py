"""Kill real trainings and make system calls fail, and compare what is left with undisturbed runs.

    python -m scripts.chaos --save chaos.md
    python -m scripts.chaos --only custom_sgd --kills 2 --seed 7
    python -m scripts.chaos --only faults --faults 40

Trains each optimizer on a few tiny images twice: undisturbed, and in processes that SIGKILL (most
often), SIGINT or SIGTERM ends at random moments and during writes, each resumed by `resume=auto`.
Does the same with builds of the feature store, a comparison and a report. The final files must
equal those of the undisturbed process bit for bit.

Then strace makes a system call of a command fail on one of its own files, and the command runs
again (`scripts/chaos/faults.py`). Without strace this part is left out, with a word.
"""

import argparse
import dataclasses
import filecmp
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from catsdogs.cli import conf_directory
from catsdogs.io.progress import progress
from catsdogs.runs.writer import recorded_facts
from scripts.bench.page import circumstances, save_page
from scripts.chaos.faults import Fault, fault_table, faults_line, inject_faults
from scripts.chaos.killing import Command, Kill, after_a_while, in_a_write
from scripts.chaos.same_runs import run_differences
from scripts.chaos.system_calls import can_trace

PROGRAM = "python -m scripts.chaos"
PER_CLASS = {"train": 16, "val": 4, "test": 4}
FAULTS = "faults"  # or "faults of COMMAND"
FEW_PER_CLASS = {"train": 4, "val": 2, "test": 2}  # for faults, each of which is two runs
EPOCHS = 18
STEP = ("scheduler=step", "scheduler.step_size=3", "scheduler.gamma=0.5")
ALSO = {
    "custom_linear_saga": ("model.head=linear",),
    "custom_saga": ("optimizer.table_dtype=float16",),
    "native_adam": STEP,
    "custom_momentum": ("scheduler=cosine",),
}
EXPLANATION = """\
Every run was done twice: undisturbed, and with kills, where a signal ended each process but the
last and the next process resumed with `resume=auto`. Equal means: the same bytes of `steps.csv`,
`predictions.csv`, `mistakes.csv`, the thumbnails, `config.yaml` and `last.safetensors`; the same
`epochs.csv` except for seconds; the same tensors and values in `best.pt` and `last.pt` (head,
optimizer, scheduler, generator); the same points in a single TensorBoard event file; and no
partially written file. Moments are in seconds after the start of training, of the store's build or
of the report's writing. They are drawn from the seed in the command; the progress of a process by
then depends on the machine."""

FAULTS_EXPLANATION = """\
Every command ran once undisturbed while strace recorded its system calls on its own files (images,
cache, records, outputs; its own process and threads, not the programs that it starts). Then it ran
again and again, each time with one of these calls failing: the kind of call, the file and the error
are drawn from the seed, the error among those that such a call can report. Recovered means: the
command went on to its end (status 0), or stopped with one sentence (status 2; 1 for a comparison
that says which runs failed), without "unexpected" or a traceback; no record, checkpoint or JSON
file was left half-written; and the same command, run again if it had stopped or warned, left the
same bytes as the undisturbed one, except for times. Commands are forked from a process that has
imported them, so imports are not part of it."""


@dataclasses.dataclass(frozen=True)
class Case:
    """A command to kill.

    Attributes:
        name: Its name in the table.
        arguments: Of `python -m`.
        builds_store: Whether it starts without features.
    """

    name: str
    arguments: tuple[str, ...]
    builds_store: bool = False


@dataclasses.dataclass
class Result:
    """The result of a case.

    Attributes:
        case: Name of the case.
        kills: In order.
        differences: Between the killed and the undisturbed run.
        seconds: Duration of the case.
    """

    case: str
    kills: list[Kill]
    differences: list[str]
    seconds: float

    def line(self) -> str:
        """Return the result as a line for a terminal."""
        found = "; ".join(self.differences) or "equal"
        return f"{self.case:<20} {len(self.kills)} kills, {self.seconds:3.0f} s: {found}"

    def row(self) -> str:
        """Return the result as a row of a Markdown table."""
        kills = ", ".join(f"{kill.by.name[3:]} {kill.moment}" for kill in self.kills)
        found = "; ".join(self.differences) or "equal"
        return f"| {self.case} | {len(self.kills)} | {kills} | {found} |"


def cases(images: Path) -> list[Case]:
    """Return all cases except the report."""
    shared = [f"data.{split}_per_class={count}" for split, count in PER_CLASS.items()]
    shared += ["data=folder", f"data.root={images}", "data.workers=0", "batch_size=4"]
    train = ("catsdogs.train", *shared, "resume=auto")
    long, short = f"epochs={EPOCHS}", f"epochs={EPOCHS // 4}"
    files = (conf_directory() / "optimizer").glob("*_*.yaml")  # not class.yaml
    names = sorted(file.stem for file in files)
    contenders = "contenders=[native_sgd,custom_adam]"
    return [
        *(Case(name, (*train, long, f"optimizer={name}", *ALSO.get(name, ()))) for name in names),
        Case("store", (*train, short, "optimizer=custom_sgd"), builds_store=True),
        Case("store, monograph", (*train, short, "protocol=monograph"), builds_store=True),
        Case("compare", ("catsdogs.compare", *shared, short, contenders, "seeds=[0]")),
    ]


def draw_images(folder: Path) -> Path:
    """Write images of noise as cats and dogs, so small that decoding time is negligible."""
    folder.mkdir(parents=True)
    noise = np.random.default_rng(0)
    for name in ("cat", "dog"):
        for number in range(sum(PER_CLASS.values())):
            pixels = noise.integers(0, 256, (12, 16, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"{name}.{number}.png")
    return folder


def runs_of(folder: Path) -> list[Path]:
    """Return the run directories below a working directory."""
    found = (folder.glob(f"outputs/{below}record.json") for below in ("*/", "*/*/"))
    return sorted(path.parent for paths in found for path in paths)


def has_begun(folder: Path, cache: Path, case: Case) -> Callable[[int], bool]:
    """Return a function that tells whether a process has begun to build its store or to train."""
    if case.builds_store:
        return lambda _: any((cache / "features").glob("*/"))
    return lambda process: any(
        any(folder.glob(f"outputs/{below}events.out.tfevents.*.{process}.*"))
        for below in ("*/", "*/*/")
    )


def disturb(case: Case, work: Path, kills: int, seed: int) -> Result:
    """Run a case undisturbed and with kills, and compare."""
    started, draw = time.monotonic(), random.Random(f"{seed} {case.name}")
    name = case.name.replace(", ", "-")
    folders = {kind: work / name / kind for kind in ("whole", "killed")}
    caches = {
        kind: folders[kind] / "cache" if case.builds_store else work / "cache" for kind in folders
    }
    commands = {kind: Command(case.arguments, folders[kind], caches[kind]) for kind in folders}
    begun = {kind: has_begun(folders[kind], caches[kind], case) for kind in folders}
    seconds = commands["whole"].run(begun["whole"])
    command, done = commands["killed"], list[Kill]()

    def places() -> list[Path]:
        stores = [path for path in (command.cache / "features").glob("*") if case.builds_store]
        below = (command.folder.glob(f"outputs/{depth}") for depth in ("*", "*/*"))
        return [*stores, *(folder for found in below for folder in found)]

    for number in range(kills):
        if number % 2:
            kill = in_a_write(command, places, draw.randint(1, 8))
        else:
            kill = after_a_while(command, begun["killed"], 2 * seconds / (kills + 1), draw)
        if kill is None:
            break
        done.append(kill)
        if _is_finished(command):  # the signal came after the end of the work
            break
    else:
        command.run(begun["killed"])
    return Result(case.name, done, list(_compare(folders)), time.monotonic() - started)


def _is_finished(command: Command) -> bool:
    found = runs_of(command.folder)
    planned = 2 if "catsdogs.compare" in command.arguments else 1
    return len(found) == planned and all("finished" in recorded_facts(run) for run in found)


def _compare(folders: dict[str, Path]) -> Iterator[str]:
    whole, killed = runs_of(folders["whole"]), runs_of(folders["killed"])
    if len(whole) != len(killed):
        yield f"{len(killed)} runs instead of {len(whole)}"
        return
    for one, other in zip(whole, killed, strict=True):
        yield from run_differences(one, other)


def disturb_report(work: Path, kills: int, seed: int) -> Result:
    """Write a report of the undisturbed runs, undisturbed and with kills, and compare all files."""
    started, draw = time.monotonic(), random.Random(f"{seed} report")
    runs = work / "runs"
    for folder in sorted(work.glob("*/whole")):
        for run in runs_of(folder):
            shutil.copytree(run, runs / run.name, dirs_exist_ok=True)
    outs = {kind: work / "report" / kind for kind in ("whole", "killed")}
    commands = {
        kind: Command(("catsdogs.report", f"runs={runs}", f"out={out}"), work, work / "cache")
        for kind, out in outs.items()
    }
    seconds = commands["whole"].run(lambda _: outs["whole"].exists())
    command, done = commands["killed"], list[Kill]()
    places = [outs["killed"], outs["killed"] / "figures"]
    for number in range(kills):
        if number % 2:
            kill = in_a_write(command, lambda: places, draw.randint(1, 40))
        else:
            shutil.rmtree(outs["killed"], ignore_errors=True)
            kill = after_a_while(command, lambda _: outs["killed"].exists(), seconds, draw)
        if kill is not None:
            done.append(kill)
    command.run(lambda _: True)
    differences = [
        f"{name} differs" for name in _different(filecmp.dircmp(outs["whole"], outs["killed"]))
    ]
    return Result("report", done, differences, time.monotonic() - started)


def _different(folders: "filecmp.dircmp[str]") -> Iterator[str]:
    yield from (*folders.left_only, *folders.right_only, *folders.funny_files)
    yield from filecmp.cmpfiles(folders.left, folders.right, folders.common_files, shallow=False)[1]
    for below in folders.subdirs.values():
        yield from _different(below)


def run(work: Path, only: str | None, kills: int, seed: int, jobs: int) -> list[Result]:
    """Run the chosen cases, or all, and print a line for each."""
    every = cases(draw_images(work / "images"))
    shared = next(case for case in every if case.name == "native_sgd")
    # The report needs an undisturbed run.
    chosen = [shared] if only == "report" else [case for case in every if only in (None, case.name)]
    Command((*shared.arguments, "epochs=0"), work / "features", work / "cache").run(lambda _: True)
    shutil.rmtree(work / "features")
    results = []
    report = only in (None, "report")
    with (
        progress(total=len(chosen) + report, description="killing", unit="case") as bar,
        ThreadPoolExecutor(jobs) as pool,
    ):

        def add(result: Result) -> None:
            results.append(result)
            tqdm.write(result.line())
            bar.update()

        for task in as_completed(pool.submit(disturb, case, work, kills, seed) for case in chosen):
            add(task.result())
        if report:
            add(disturb_report(work, kills, seed))
    return sorted(results, key=lambda result: result.case)


def closing_line(results: list[Result]) -> str:
    """Return the number of kills in cases without differences, out of all kills."""
    kills = sum(len(result.kills) for result in results)
    recovered = sum(len(result.kills) for result in results if not result.differences)
    return f"{recovered} of {kills} kills recovered bit for bit"


def run_faults(work: Path, only: str | None, faults: int, seed: int) -> list[Fault]:
    """Make system calls fail, and print a line for each command."""
    settings = [f"data.{split}_per_class={count}" for split, count in FEW_PER_CLASS.items()]
    settings += ["data=folder", "data.root=../images", "data.workers=0", "batch_size=4", "epochs=2"]
    images = draw_images(work / "drawn")
    return inject_faults(work / "faults", images, settings, faults, seed, print, only)


def page(results: list[Result], faults: list[Fault]) -> list[str]:
    """Return the parts of a Markdown page."""
    parts = ["# Kills and faults", circumstances(PROGRAM, "cpu", 1)]
    parts += kills_page(results) if results else []
    if faults:
        parts += ["## Faults", FAULTS_EXPLANATION, *fault_table(faults), f"{faults_line(faults)}."]
    return parts


def kills_page(results: list[Result]) -> list[str]:
    """Return the part of the page on kills."""
    by = Counter(kill.by.name for result in results for kill in result.kills)
    counted = ", ".join(f"{name} {count}" for name, count in by.most_common())
    table = ["| killed | kills | signal and moment | result |", "|---|---|---|---|"]
    table += [result.row() for result in results]
    return [
        "## Kills",
        EXPLANATION,
        "\n".join(table),
        f"{closing_line(results)} ({counted}).",
    ]


def main() -> None:
    """Run the chaos test with the options of the command line."""
    parser = argparse.ArgumentParser(prog=PROGRAM, description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--save", type=Path, metavar="FILE", help="write the result as Markdown")
    for option, default, what in (
        ("--kills", 4, "kills of each case"),
        ("--seed", 0, "seed of the random moments"),
        ("--jobs", 2, "concurrent cases of kills"),
        ("--faults", 300, "system calls that fail; 0 for none"),
    ):
        parser.add_argument(option, type=int, default=default, help=f"{what} ({default})")
    parser.add_argument(
        "--only",
        help="a single case: an optimizer, store, compare, report, faults, faults of train ...",
    )
    options = vars(parser.parse_args())
    save, number = options.pop("save"), options.pop("faults")
    results, faults = list[Result](), list[Fault]()
    with tempfile.TemporaryDirectory(prefix="catsdogs-chaos-") as work:
        # First: a process with threads, as the kills leave it, should not be forked.
        word, _, command = (options["only"] or FAULTS).partition(" of ")
        if word == FAULTS and number:
            if can_trace():
                faults = run_faults(Path(work), command or None, number, options["seed"])
                print(faults_line(faults))
            else:
                print("no faults: strace is not installed, or may not trace processes here")
        if options["only"] is None or word != FAULTS:
            results = run(Path(work), **options)
            print(closing_line(results))
    if save is not None:
        save_page(save, page(results, faults))
        print(f"\nsaved: {save}")
    sys.exit(any(result.differences for result in results) or any(f.problems for f in faults))


if __name__ == "__main__":
    main()
