"""Faults of the system: calls of real commands that fail, and what the next attempt makes of it.

Every command runs once undisturbed, and its calls on its own files are recorded. Then it runs
again and again with one of these calls failing, and after each of them once more undisturbed.
"""

import dataclasses
import json
import random
import re
import shutil
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

from catsdogs import check, compare, diamonds, export, predict, report, train
from catsdogs.errors import UserError
from catsdogs.runs.schema import LOCK
from catsdogs.training.checkpoint import load_checkpoint
from scripts.chaos.same_runs import run_differences
from scripts.chaos.system_calls import Call, Outcome, run_command

ALWAYS = ("EIO", "EACCES", "EINVAL", "ESTALE")
WRITING = ("ENOSPC", "EDQUOT", "EFBIG", "EROFS")
# What each call may report, according to its manual page or to network file systems.
ERRORS = {
    "open": (*ALWAYS, "EMFILE", "ENFILE", "ENOSPC", "EROFS", "EBUSY", "EPERM", "ENOMEM"),
    "read": ("EIO", "EINVAL", "ESTALE"),
    "write": ("EIO", "EINVAL", "ESTALE", *WRITING),
    "fsync": ("EIO", "EINVAL", "ENOSPC", "EDQUOT", "EROFS"),
    "rename": (*ALWAYS, "EXDEV", "EBUSY", "EMLINK", "ENOSPC", "EROFS", "EPERM"),
    "unlink": (*ALWAYS, "EBUSY", "EPERM", "EROFS"),
    "mkdir": (*ALWAYS, "EMLINK", "ENOSPC", "EDQUOT", "EROFS", "EPERM"),
    "flock": ("ENOLCK", "ENOSYS", "EINVAL", "EIO"),
    "stat": ("EIO", "EACCES", "ESTALE", "EINVAL"),
    "list": ("EIO", "EINVAL", "ESTALE", "EACCES"),
    "seek": ("EINVAL", "EIO"),
    "truncate": ("EIO", "EINVAL", "EFBIG", "EPERM"),
    "close": ("EIO", "ENOSPC", "EDQUOT"),
    "mmap": ("ENOMEM", "EACCES", "ENODEV"),
}
KINDS = {
    **dict.fromkeys(("open", "openat"), "open"),
    **dict.fromkeys(("read", "readv", "pread64"), "read"),
    **dict.fromkeys(("write", "writev", "pwrite64"), "write"),
    **dict.fromkeys(("fsync", "fdatasync"), "fsync"),
    **dict.fromkeys(("rename", "renameat", "renameat2"), "rename"),
    **dict.fromkeys(("unlink", "unlinkat", "rmdir"), "unlink"),
    **dict.fromkeys(("mkdir", "mkdirat"), "mkdir"),
    "flock": "flock",
    **dict.fromkeys(("stat", "lstat", "newfstatat", "statx", "fstat"), "stat"),
    "getdents64": "list",
    "lseek": "seek",
    "ftruncate": "truncate",
    "close": "close",
    "mmap": "mmap",
}
FORBIDDEN = ("unexpected", "Traceback", "Exception ignored")
# What differs from run to run: times, and names of files with a time in them.
TIMES = re.compile(
    rb'"(?:\w*seconds|step_seconds|started|finished|date|command)": (?:\{[^}]*\}|[^,\n]*)'
    rb"|time=.[^ ]*|\d{8}-\d{6}|\d[.\d]* m?s\b|\d+\.\d+ seconds|\d+\.\d+ to \d+\.\d+ +\d+\.\d+"
    rb"|\n +0\.0\d+,?(?=\n)|(?<=[a-z]),\d+\.\d+(?=,\d+\.\d+,)"
)
PLOTS_OF_TIME = ("runtime_and_rmse.png", "runtime_and_rmse.svg")
DATED = re.compile(r"\d{8}-\d{6}")
DRAWS = 20  # attempts to hit a file of the command's own, for each fault


@dataclasses.dataclass(frozen=True)
class Command:
    """A command whose calls fail.

    Attributes:
        name: In the table.
        main: Its function.
        arguments: Of its command line.
        weight: Share of the faults.
        warm: Whether it finds the features of its images.
        files: Pattern of the files to compare below `outputs`, besides those of runs.
    """

    name: str
    main: Callable[[], None]
    arguments: list[str]
    weight: float = 1.0
    warm: bool = True
    files: str = "**/*"


@dataclasses.dataclass(frozen=True)
class Fault:
    """A call that failed, and what came of it.

    Attributes:
        command: Name of the command.
        kind: A key of `ERRORS`.
        error: Name of the error.
        path: The file.
        status: Exit status of the command.
        problems: In the order they were noticed; empty if it recovered bit for bit.
    """

    command: str
    kind: str
    error: str
    path: str
    status: int | None
    problems: list[str]

    def line(self) -> str:
        """Return the fault and its problems as a line for a terminal."""
        found = "; ".join(self.problems) or "equal"
        return f"{self.command}: {self.kind} of {self.path}: {self.error}, {self.status}: {found}"


def commands(small: list[str]) -> list[Command]:
    """Return all commands, for a folder with a finished run in `runs/`.

    Args:
        small: Settings of a short run.
    """
    run, trained = "runs/run", ["optimizer=custom_momentum", "resume=auto"]
    return [
        Command("train", train.main, [*small, *trained], 4.0, files=""),
        Command("train, no features", train.main, [*small, *trained], warm=False, files=""),
        Command(
            "compare",
            compare.main,
            [*small, "contenders=[native_sgd,custom_sgd]", "seeds=[0]", "output_dir=outputs"],
            files="comparison.json",
        ),
        Command("report", report.main, ["runs=runs", "out=outputs"]),
        Command(
            "predict",
            predict.main,
            [f"checkpoint={run}/best.pt", "pictures=../images/cat.1.png", "output_dir=outputs"],
        ),
        Command("export", export.main, [f"checkpoint={run}/best.pt", "out=outputs/head"], 0.15),
        Command("check", check.main, ["optimizer=custom_sgd", "only=[state]", "jobs=1"], 3.0),
        Command("diamonds", diamonds.main, ["epochs=20", "output_dir=outputs"], 0.2),
    ]


def inject_faults(
    work: Path,
    images: Path,
    small: list[str],
    faults: int,
    seed: int,
    tell: Callable[[str], None],
    only: str | None = None,
) -> list[Fault]:
    """Make calls of every command fail, and return what came of each.

    Args:
        work: An empty folder.
        images: The images, in the folder beside it that is `../images` from a command.
        small: Settings of a short run.
        faults: Number of faults over all commands.
        seed: Of the choice of calls and errors.
        tell: Called with a line about each fault that was not recovered, and about each command.
        only: Name of a single command; None for all.
    """
    all_commands = [command for command in commands(small) if only in (None, command.name)]
    weights = sum(command.weight for command in all_commands)
    prepared = _prepare(work, images, small)
    found: list[Fault] = []
    due = 0.0
    for command in all_commands:
        due += faults * command.weight / weights
        started, before = time.monotonic(), len(found)
        trial = Trial(command, work, prepared)
        draw = random.Random(f"{seed} {command.name}")
        while len(found) < round(due):
            fault = trial.draw(draw)
            found.append(fault)
            if fault.problems:
                tell(fault.line())
        new = found[before:]
        held = sum(not fault.problems for fault in new)
        seconds = time.monotonic() - started
        tell(f"{command.name:<20} {held} of {len(new)} faults recovered, {seconds:.0f} s")
    return found


def _prepare(work: Path, images: Path, small: list[str]) -> Path:
    """Return a folder with a finished run and the features of its images."""
    prepared = work / "prepared"
    now = work / "now"
    now.mkdir(parents=True)
    shutil.copytree(images, work / "images", dirs_exist_ok=True)
    done = run_command(train.main, [*small, "optimizer=custom_adam", "output_dir=runs"], now)
    if done.status != 0:
        raise RuntimeError(f"the run that the others need failed\n{done.output}")
    (run,) = (now / "runs").glob("*/")
    run.rename(run.with_name("run"))
    now.rename(prepared)
    return prepared


class Trial:
    """A command with its undisturbed result and its calls.

    Args:
        command: The command.
        work: Folder of its attempts.
        prepared: Copied for each attempt, as its working directory.

    Raises:
        RuntimeError: If the command fails undisturbed.
    """

    def __init__(self, command: Command, work: Path, prepared: Path) -> None:
        self.command, self.work, self.prepared = command, work, prepared
        self.now, self.whole = work / "now", work / "whole"
        shutil.rmtree(self.whole, ignore_errors=True)
        self._start_over()
        done = self._run(traced=True)
        if done.status != 0:
            raise RuntimeError(f"{command.name} failed undisturbed\n{done.output}")
        self.now.rename(self.whole)
        # Some files are read or written a hundred times: each pair of call and file counts once.
        self.calls: dict[str, dict[str, list[Call]]] = defaultdict(lambda: defaultdict(list))
        for call in done.calls:
            if call.name in KINDS:
                self.calls[KINDS[call.name]][_name(call.path)].append(call)

    def draw(self, draw: random.Random) -> Fault:
        """Let a random call fail with a random error."""
        for _ in range(DRAWS):
            kind = draw.choice(sorted(self.calls))
            call = draw.choice(self.calls[kind][draw.choice(sorted(self.calls[kind]))])
            error = draw.choice(ERRORS[kind])
            self._start_over()
            done = self._run(f"{call.name}:error={error}:when={call.number}")
            hit = [call.path for call in done.calls if call.failed]
            if hit and not done.strays:
                problems = [*self._wrong_end(done), *self._half_written(), *self._after(done)]
                return Fault(self.command.name, kind, error, hit[0], done.status, problems)
        raise RuntimeError(f"{self.command.name}: no call on its own files failed in {DRAWS} runs")

    def _start_over(self) -> None:
        shutil.rmtree(self.now, ignore_errors=True)
        leave_out = [] if self.command.warm else ["features", "manifests"]
        shutil.copytree(self.prepared, self.now, ignore=shutil.ignore_patterns(*leave_out))

    def _run(self, inject: str | None = None, *, traced: bool = False) -> Outcome:
        command = self.command
        return run_command(command.main, command.arguments, self.now, inject, traced=traced)

    def _wrong_end(self, done: Outcome) -> Iterator[str]:
        """Yield what is wrong with a command's status and words."""
        some_failed = done.status == 1 and " runs failed, see above" in done.output
        if done.status not in (0, 2) and not some_failed:
            yield f"exit status {done.status}: {done.output.strip()[-300:]}"
        # The system's own words, as in a failed run's reason, may be "Input/output error: ...".
        # Two bars move the cursor between their lines by an escape.
        if done.status and len(re.findall(r"(?:^|[\r\n])(?:\x1b\[A)*error: ", done.output)) != 1:
            yield f"not one error: {done.output.strip()[-300:]}"
        for word in FORBIDDEN:
            if word in done.output:
                at = done.output.index(word)
                yield f"says {done.output[max(0, at - 80) : at + 200]!r}"

    def _half_written(self) -> Iterator[str]:
        """Yield the files that a reader would stumble over."""
        for path in sorted(self.now.glob("outputs/**/*")):
            if path.suffix == ".json" and not _is_json(path):
                yield f"{path.name} is not JSON"
            elif path.suffix == ".pt" and not _is_checkpoint(path):
                yield f"{path.name} is not a checkpoint"

    def _after(self, done: Outcome) -> Iterator[str]:
        """Run a command that stopped or warned again, undisturbed, and yield what differs."""
        whole = done.status == 0 and "WARNING: " not in done.output
        again = done if whole else self._run()
        if again.status != 0:
            yield f"afterwards exit status {again.status}: {again.output.strip()[-300:]}"
            return
        yield from self._differences()

    def _differences(self) -> Iterator[str]:
        whole, now = (_finished_runs(folder) for folder in (self.whole, self.now))
        if len(whole) == 1:  # the next attempt of a run that is over is another run
            now = now[-1:]
        if len(whole) != len(now):
            yield f"{len(now)} runs instead of {len(whole)}"
            return
        for one, other in zip(whole, now, strict=True):
            yield from run_differences(one, other)
        pattern = self.command.files
        files = [dict(_other_files(folder, pattern)) for folder in (self.whole, self.now)]
        for name in sorted(files[0].keys() | files[1].keys()):
            if files[0].get(name) != files[1].get(name):
                yield f"{name} differs"


def _name(path: str) -> str:
    """Return a path without the numbers and hashes that differ from file to file."""
    return re.sub(r"\w*\d\w*", "0", path)


def _finished_runs(folder: Path) -> list[Path]:
    found = (folder.glob(f"outputs/{below}record.json") for below in ("*/", "*/*/"))
    return sorted(
        path.parent for paths in found for path in paths if "finished" in path.read_text()
    )


def _other_files(folder: Path, pattern: str) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of the files outside run directories, without times."""
    outputs = folder / "outputs"
    runs = [path.parent for path in outputs.rglob("record.json")]
    for path in sorted(outputs.glob(pattern)) if pattern else ():
        inside = any(path.is_relative_to(run) for run in runs)
        if path.is_file() and not inside and path.name != LOCK:
            # Of several attempts in folders named by their time, the last one counts.
            name = DATED.sub("", str(path.relative_to(outputs)))
            content = b"" if path.name in PLOTS_OF_TIME else path.read_bytes()
            yield name, re.sub(rb"[ -]+", b" ", TIMES.sub(b"", content))


def _is_json(path: Path) -> bool:
    try:
        json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return False
    return True


def _is_checkpoint(path: Path) -> bool:
    try:
        load_checkpoint(path)
    except UserError:
        return False
    return True


def fault_table(faults: list[Fault]) -> list[str]:
    """Return the faults by command and kind as a Markdown table, and those not recovered."""
    kinds = [kind for kind in ERRORS if any(fault.kind == kind for fault in faults)]
    names = list(dict.fromkeys(fault.command for fault in faults))
    counts = Counter((fault.command, fault.kind) for fault in faults)
    held = Counter(fault.command for fault in faults if not fault.problems)
    ended = Counter((fault.command, fault.status) for fault in faults)
    lines = [
        f"| command | faults | {' | '.join(kinds)} | went on | stopped | recovered |",
        "|---" * (len(kinds) + 5) + "|",
    ]
    for name in names:
        total = sum(fault.command == name for fault in faults)
        cells = [counts[name, kind] or "" for kind in kinds]
        row = [name, total, *cells, ended[name, 0], ended[name, 2], f"{held[name]} of {total}"]
        lines.append(f"| {' | '.join(map(str, row))} |")
    by_error = Counter(fault.error for fault in faults)
    listed = ", ".join(f"{error} {number}" for error, number in by_error.most_common())
    bad = [f"- {fault.line()}" for fault in faults if fault.problems]
    return ["\n".join(lines), f"Errors: {listed}.", *(["\n".join(bad)] if bad else [])]


def faults_line(faults: list[Fault]) -> str:
    """Return the number of faults recovered, out of all."""
    held = sum(not fault.problems for fault in faults)
    return f"{held} of {len(faults)} faults recovered bit for bit"
