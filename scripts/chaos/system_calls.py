"""Commands in processes of their own, whose system calls strace records and makes fail.

A process is forked from this one, which has imported the commands: a command then takes a second
rather than ten, and the calls that strace counts are the command's own, not those of the imports.
"""

import atexit
import collections
import contextlib
import dataclasses
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import torch

OUTPUT = "output.txt"
TIMEOUT = 60.0  # seconds of one command
TRACED = (
    "open,openat,read,readv,pread64,write,writev,pwrite64,fsync,fdatasync,rename,renameat,renameat2,"
    "unlink,unlinkat,mkdir,mkdirat,rmdir,flock,stat,lstat,newfstatat,statx,fstat,lseek,getdents64,"
    "ftruncate,mmap,close,statfs,fstatfs,sendfile,copy_file_range,chmod,fchmod,utimensat,access,"
    "faccessat2,readlink,readlinkat"
)
BEGUN = re.compile(r"(?P<task>\d+) +(?P<name>\w+)\(")
LINE = re.compile(
    r"\d+ +\w+\((?:AT_FDCWD<[^>]*>, )?"
    r'(?:(?P<number>\d+)<(?P<open>[^>]*)>(?:, "(?P<below>[^"]*)")?|"(?P<path>[^"]*)")'
)
AT_CALLS = ("newfstatat", "statx", "unlinkat", "openat", "readlinkat", "faccessat2")


@dataclasses.dataclass(frozen=True)
class Call:
    """A system call on a file.

    Attributes:
        name: Of the call.
        number: Among the calls of this name in its thread, from 1.
        path: The file, relative to the working directory where it is inside.
        failed: Whether strace made it fail.
    """

    name: str
    number: int
    path: str
    failed: bool


@dataclasses.dataclass(frozen=True)
class Outcome:
    """The end of a command.

    Attributes:
        status: Exit status, or minus the signal; None if it did not end in time.
        output: What it wrote to stdout and stderr.
        calls: The system calls on files of its own; empty if not traced.
        strays: Number of other calls that strace made fail, such as those of a process it started.
    """

    status: int | None
    output: str
    calls: tuple[Call, ...] = ()
    strays: int = 0


def can_trace() -> bool:
    """Return whether strace is installed and may attach to a process."""
    if not shutil.which("strace"):
        return False
    tried = subprocess.run(["strace", "-qq", "-e", "trace=none", "true"], check=False)
    return tried.returncode == 0


def run_command(
    main: Callable[[], None],
    arguments: list[str],
    folder: Path,
    inject: str | None = None,
    *,
    traced: bool = False,
) -> Outcome:
    """Run a command in a forked process and return its end.

    Args:
        main: The command's function.
        arguments: Of the command line.
        folder: Its working directory, which holds its cache too.
        inject: strace's expression, such as `write:error=EIO:when=3`; None to let all succeed.
        traced: Whether to record the calls of a process that nothing disturbs.
    """
    log, trace = folder.with_name(OUTPUT), folder.with_name("trace.txt")
    trace.unlink(missing_ok=True)
    ready, go = os.pipe()
    process = os.fork()
    if process == 0:
        os.close(go)
        _become(main, arguments, folder, log, ready)
    os.close(ready)
    tracer = _attach(process, trace, inject) if inject or traced else None
    os.write(go, b"x")
    os.close(go)
    status = _wait(process)
    if tracer is not None:
        tracer.communicate()
    output = log.read_text(errors="replace")
    if tracer is None:
        return Outcome(status, output)
    lines = trace.read_text(errors="replace").splitlines()
    calls = tuple(_own_calls(lines, folder))
    failed = sum(line.endswith("(INJECTED)") for line in lines)
    return Outcome(status, output, calls, failed - sum(call.failed for call in calls))


def _become(
    main: Callable[[], None], arguments: list[str], folder: Path, log: Path, ready: int
) -> None:
    """Become the command, wait until strace has attached, run and exit."""
    status = 1
    atexit._clear()  # what this program would do at its end, such as remove its folders
    try:
        os.chdir(folder)
        os.environ["CATSDOGS_CACHE"] = str(folder / "cache")
        descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
        os.close(descriptor)
        sys.stdout, sys.stderr = (open(n, "w", 1, closefd=False) for n in (1, 2))  # noqa: SIM115
        torch.set_num_threads(1)
        sys.argv = [f"{main.__module__}.py", *arguments]
        os.read(ready, 1)
        os.close(ready)
        main()
        status = 0
    except SystemExit as stop:
        status = stop.code if isinstance(stop.code, int) else 0
    except BaseException:  # noqa: BLE001 - as the interpreter would print it
        traceback.print_exc()
    finally:
        # What the interpreter does at its end.
        with contextlib.suppress(Exception):
            atexit._run_exitfuncs()
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _attach(process: int, trace: Path, inject: str | None) -> subprocess.Popen[bytes]:
    options = ["-e", f"inject={inject}"] if inject else []
    tracer = subprocess.Popen(
        ["strace", "-f", "-y", "-s", "4096", "-e", f"trace={TRACED}", "-e", "signal=none"]
        + [*options, "-o", str(trace), "-p", str(process)],
        stderr=subprocess.PIPE,
    )
    assert tracer.stderr is not None
    line = tracer.stderr.readline()
    if b"attached" not in line:
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
        raise RuntimeError(f"strace: {line.decode().strip()}")
    return tracer


def _wait(process: int) -> int | None:
    until = time.monotonic() + TIMEOUT
    while time.monotonic() < until:
        found, status = os.waitpid(process, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)
    return None


def _own_calls(lines: list[str], folder: Path) -> Iterator[Call]:
    """Yield the calls on files inside the folder's parent: outputs, cache, images, runs."""
    numbers: collections.Counter[tuple[str, str]] = collections.Counter()
    main = None
    for line in lines:
        begun = BEGUN.match(line)
        if not begun:  # the end of a call that another thread's call has cut in two
            continue
        task, name = begun["task"], begun["name"]
        main = main or task
        numbers[task, name] += 1
        found = LINE.match(line)
        if not found:
            continue
        path = Path(found["path"] if found["open"] is None else found["open"])
        if found["below"] and name in AT_CALLS:
            path /= found["below"]
        if task == main and not path.name.startswith("pipe:"):
            path = folder / path  # another process may be elsewhere
        if path.is_relative_to(folder.parent) and path != folder.with_name(OUTPUT):
            own = os.path.relpath(path, folder)
            yield Call(name, numbers[task, name], own, line.endswith("(INJECTED)"))
