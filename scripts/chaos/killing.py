"""Killing of real processes by a signal at a chosen moment."""

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

POLL_INTERVAL = 0.0005  # seconds
TIMEOUT = 300.0  # seconds without any progress of a process


@dataclasses.dataclass(frozen=True)
class Kill:
    """The end of a process by a signal.

    Attributes:
        by: The signal.
        moment: Seconds of work before the signal, or the file being written, as text.
    """

    by: signal.Signals
    moment: str


@dataclasses.dataclass(frozen=True)
class Command:
    """A command that is started repeatedly.

    Attributes:
        arguments: Of `python -m`.
        folder: Its working directory.
        cache: Its `CATSDOGS_CACHE`.
    """

    arguments: tuple[str, ...]
    folder: Path
    cache: Path

    def start(self) -> subprocess.Popen[bytes]:
        """Start the command with one thread; its output is appended to `log.txt`."""
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
        """Run the command to its end and return the seconds of work, without those of the start.

        Args:
            has_begun: Tells whether the process with this id has begun with its work.

        Raises:
            RuntimeError: If its exit status is not 0.
        """
        process = self.start()
        began = time.monotonic()
        if wait_for(lambda: has_begun(process.pid), process):
            began = time.monotonic()
        process.wait(TIMEOUT)
        self.require(process.returncode, 0)
        return time.monotonic() - began

    def require(self, status: int, *allowed: int) -> None:
        """Raise RuntimeError with the end of the log if the exit status is not allowed."""
        if status not in allowed:
            output = (self.folder / "log.txt").read_text(errors="replace")[-2000:]
            raise RuntimeError(f"{' '.join(self.arguments)}: exit status {status}\n{output}")


def wait_for(happens: Callable[[], bool], process: subprocess.Popen[bytes]) -> bool:
    """Wait for an event; return whether it happened before the process ended.

    Raises:
        RuntimeError: If neither happens in time.
    """
    until = time.monotonic() + TIMEOUT
    while process.poll() is None:
        # A run creates and removes folders to find out where it may write.
        with contextlib.suppress(FileNotFoundError):
            if happens():
                return True
        if time.monotonic() > until:
            process.kill()
            raise RuntimeError(f"no progress in {TIMEOUT} s")
        time.sleep(POLL_INTERVAL)
    return False


def end(command: Command, process: subprocess.Popen[bytes], by: signal.Signals) -> bool:
    """Send a signal and wait for the end; return whether the signal ended the process."""
    if process.poll() is not None:
        command.require(process.returncode, 0)
        return False
    process.send_signal(by)
    status = process.wait(TIMEOUT)
    # Before the package installs its handlers, the signal itself ends the process.
    command.require(status, 0, -by, 128 + by)
    return status != 0


def after_a_while(
    command: Command, has_begun: Callable[[int], bool], seconds: float, draw: random.Random
) -> Kill | None:
    """End a process at a random moment within some seconds of work; None if it ended before."""
    by = draw.choices([signal.SIGKILL, signal.SIGINT, signal.SIGTERM], [6, 1, 1])[0]
    wait = draw.uniform(0.0, seconds)
    process = command.start()
    if wait_for(lambda: has_begun(process.pid), process):
        until = time.monotonic() + wait
        wait_for(lambda: time.monotonic() > until, process)
    return Kill(by, f"{wait:.2f} s") if end(command, process, by) else None


def in_a_write(command: Command, places: Callable[[], list[Path]], number: int) -> Kill | None:
    """Kill a process while it writes the n-th observed partial file; None if it ended before."""
    process = command.start()
    seen: list[str] = []

    def writes() -> bool:
        for name in partial_files(places()):
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


def partial_files(folders: list[Path]) -> Iterator[str]:
    """Yield the names of files that are being written."""
    for folder in folders:
        try:
            with os.scandir(folder) as entries:
                yield from (entry.name for entry in entries if entry.name.endswith(".partial"))
        except OSError:
            continue
