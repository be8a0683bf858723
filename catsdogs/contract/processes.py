"""Functions in processes of their own, which are killed when their time is up."""

import contextlib
import ctypes
import multiprocessing
import os
import pickle
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing import connection
from typing import Any, NoReturn

import torch
from torch.optim import SGD

Work = Callable[[Callable[[Any], None]], None]
"""A function that gets a function to send messages with; a message is anything that pickles."""


PR_SET_PDEATHSIG = 1  # of prctl(2)
GRACE = 1.0  # seconds that a function has to notice by itself that its time is up
START = 120.0  # seconds that a new interpreter has to import torch
STARTED = "the function begins"


@dataclass(frozen=True)
class Ended:
    """The last message of a process.

    Attributes:
        early: Why it ended before its function returned, such as "did not end within 60 s" or "was
            ended by signal 11 (Segmentation fault)"; empty if the function returned.
        late: Whether its time was up.
    """

    early: str
    late: bool = False


class _Process:
    """A process that runs one function, forked or else a new interpreter."""

    def __init__(
        self, index: int, work: Work, seconds: float, *, quiet: bool, forked: bool
    ) -> None:
        # A forked process shares the function and its imports.
        context = multiprocessing.get_context("fork" if forked else "spawn")
        self.index = index
        self.limit = seconds
        self.end = time.monotonic() + START
        self.messages, other_end = context.Pipe(duplex=False)
        begin: Work | bytes = work
        if not forked:
            import cloudpickle  # the contract itself needs torch alone

            begin = cloudpickle.dumps(work)
        self.process = context.Process(target=_run, args=(begin, other_end, quiet))  # type: ignore[attr-defined]
        with warnings.catch_warnings():
            # Of other threads, such as a progress bar's: none holds a lock that a child needs.
            warnings.simplefilter("ignore", DeprecationWarning)
            self.process.start()
        other_end.close()

    def received(self) -> list[Any]:
        """Return the messages that are there; the last one is `Ended` if the process has ended."""
        dead = not self.process.is_alive()  # asked first: what it sent before is then complete
        messages = []
        try:
            while self.messages.poll():
                message = self.messages.recv()
                if isinstance(message, str) and message == STARTED:
                    self.end = time.monotonic() + self.limit + GRACE
                else:
                    messages.append(message)
        except (EOFError, OSError):
            dead = True
        if dead:
            self.process.join()
            return [*messages, Ended(_said(self.process.exitcode))]
        if time.monotonic() < self.end:
            return messages
        self.kill()
        return [*messages, Ended(f"did not end within {self.limit:g} s", late=True)]

    def kill(self) -> None:
        """End the process, with those that it started."""
        if self.process.exitcode is None:
            assert self.process.pid is not None
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.kill()  # it may not have a group of its own yet
        self.process.join()


def run_in_processes(
    works: Sequence[Work],
    receive: Callable[[int, Any], None],
    *,
    jobs: int,
    seconds: float,
    quiet: bool = False,
) -> None:
    """Run functions in processes and pass on what they send.

    The processes are forked and compute with one thread. Where autograd has threads already, which
    no fork survives, they are new interpreters, which import torch anew; the functions must then
    pickle with cloudpickle. All processes are killed if `receive` raises, or a signal handler.

    Args:
        works: The functions.
        receive: Called with the index of a function and each of its messages; the last is `Ended`.
        jobs: Number of processes at once, 1 or above.
        seconds: After which a process is killed, above 0.
        quiet: Whether what the functions print is discarded.
    """
    forked = _survives_a_fork()
    if forked:
        _import_compiler()
    waiting = list(enumerate(works))[::-1]
    running: list[_Process] = []
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                running.append(_Process(*waiting.pop(), seconds, quiet=quiet, forked=forked))
            nearest = min(one.end for one in running) - time.monotonic()
            handles = [handle for one in running for handle in (one.messages, one.process.sentinel)]
            connection.wait(handles, max(0.0, nearest))
            for one in list(running):
                for message in one.received():
                    if isinstance(message, Ended):
                        running.remove(one)
                    receive(one.index, message)
    finally:
        for one in running:
            one.kill()


def _survives_a_fork() -> bool:
    """Return whether autograd works in a forked process."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(10)  # it may wait for a lock that nobody holds here
            torch.ones((), requires_grad=True).backward()
            status = 0
        finally:
            os._exit(status)
    return os.waitpid(pid, 0)[1] == 0


def _run(begin: Work | bytes, messages: connection.Connection, quiet: bool) -> NoReturn:
    """Run a function in this process, which was started for it, and exit."""
    status = 1
    try:
        _die_with_the_parent()
        os.setsid()  # a signal of the terminal is for the parent, which kills this group
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        if quiet:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            for descriptor in (1, 2):
                os.dup2(nowhere, descriptor)
        torch.set_num_threads(1)
        if isinstance(begin, bytes):
            _import_compiler()
            work = pickle.loads(begin)
        else:
            work = begin
        messages.send(STARTED)
        work(messages.send)
        status = 0
    except BrokenPipeError:  # the parent is gone
        pass
    except BaseException:  # noqa: BLE001 - SystemExit, too, must not run the parent's cleanup
        traceback.print_exc()
    finally:
        messages.close()
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        os._exit(status)  # without the handlers of exit, and threads that the function left behind


def _import_compiler() -> None:
    """Let torch import its compiler, as it does with the first optimizer, before time counts."""
    SGD([torch.zeros(1)])


def _die_with_the_parent() -> None:
    """Let Linux kill this process when the parent is killed, and cannot do so itself."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _said(exitcode: int | None) -> str:
    if exitcode == 0:
        return ""
    if exitcode is not None and exitcode < 0:
        return f"was ended by signal {-exitcode} ({signal.strsignal(-exitcode)})"
    return f"ended with status {exitcode}"
