"""Start a command as a real process, end it by a signal at a chosen moment, start it again."""

import contextlib
import dataclasses
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

GRAIN = 0.0005  # seconds between two looks
PATIENCE = 300.0  # seconds until a process is given up that neither works nor ends


@dataclasses.dataclass(frozen=True)
class Kill:
    """One end that was not the process's own.

    Attributes:
        by: The signal.
        moment: In words.
    """

    by: signal.Signals
    moment: str


@dataclasses.dataclass(frozen=True)
class Command:
    """What is started, over and over.

    Attributes:
        arguments: After `python -m`.
        folder: The working directory.
        cache: Its `CATSDOGS_CACHE`.
    """

    arguments: tuple[str, ...]
    folder: Path
    cache: Path

    def start(self) -> subprocess.Popen[bytes]:
        """Start it on one thread; what it says is appended to `log.txt`."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = os.pathsep.join([str(Path(__file__).resolve().parents[2]), *sys.path])
        with (self.folder / "log.txt").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", *self.arguments],
                cwd=self.folder,
                env=os.environ
                | {"CATSDOGS_CACHE": str(self.cache), "OMP_NUM_THREADS": "1", "PYTHONPATH": path},
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
            )

    def run(self, has_begun: Callable[[int], bool]) -> float:
        """Let it come to its end, and return the seconds of work, without the start.

        Raises:
            RuntimeError: If it ends badly.
        """
        process = self.start()
        began = time.monotonic()
        if wait_for(lambda: has_begun(process.pid), process):
            began = time.monotonic()
        process.wait(PATIENCE)
        self.require(process.returncode, 0)
        return time.monotonic() - began

    def require(self, status: int, *allowed: int) -> None:
        """Raise RuntimeError with the end of the log unless the exit status is an allowed one."""
        if status not in allowed:
            said = (self.folder / "log.txt").read_text(errors="replace")[-2000:]
            raise RuntimeError(f"{' '.join(self.arguments)}: exit status {status}\n{said}")


def wait_for(happens: Callable[[], bool], process: subprocess.Popen[bytes]) -> bool:
    """Wait until something happens, and tell whether it did before the process ended."""
    until = time.monotonic() + PATIENCE
    while process.poll() is None:
        # Folders come and go while they are looked at: a run tries where it may write.
        with contextlib.suppress(FileNotFoundError):
            if happens():
                return True
        if time.monotonic() > until:
            process.kill()
            raise RuntimeError(f"nothing happened in {PATIENCE} s")
        time.sleep(GRAIN)
    return False


def end(command: Command, process: subprocess.Popen[bytes], by: signal.Signals) -> bool:
    """Send a signal and wait for the end; tell whether the signal came before it."""
    if process.poll() is not None:
        command.require(process.returncode, 0)
        return False
    process.send_signal(by)
    status = process.wait(PATIENCE)
    # Python's own handler, before ours is there, lets the signal end the process.
    command.require(status, 0, -by, 128 + by)
    return status != 0


def after_a_while(
    command: Command, has_begun: Callable[[int], bool], seconds: float, draw: random.Random
) -> Kill | None:
    """End a process at a random moment within some seconds of work; None if it was done by then."""
    by = draw.choices([signal.SIGKILL, signal.SIGINT, signal.SIGTERM], [6, 1, 1])[0]
    wait = draw.uniform(0.0, seconds)
    process = command.start()
    if wait_for(lambda: has_begun(process.pid), process):
        until = time.monotonic() + wait
        wait_for(lambda: time.monotonic() > until, process)
    return Kill(by, f"{wait:.2f} s") if end(command, process, by) else None


def in_a_write(command: Command, places: Callable[[], list[Path]], number: int) -> Kill | None:
    """Kill a process while it writes the n-th file that is seen half written."""
    process = command.start()
    seen: list[str] = []

    def writes() -> bool:
        for name in half_written(places()):
            if str(process.pid) in name and name not in seen[-1:]:
                seen.append(name)
        return len(seen) >= number

    if not wait_for(writes, process):
        command.require(process.returncode, 0)
        return None
    name = seen[-1].removeprefix(".").partition(f".{os.uname().nodename}")[0]
    return (
        Kill(signal.SIGKILL, f"writing {name}") if end(command, process, signal.SIGKILL) else None
    )


def half_written(folders: list[Path]) -> Iterator[str]:
    """Yield the names of files that are not whole yet."""
    for folder in folders:
        try:
            with os.scandir(folder) as entries:
                yield from (entry.name for entry in entries if entry.name.endswith(".partial"))
        except OSError:
            continue
