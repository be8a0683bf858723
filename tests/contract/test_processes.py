"""Functions in processes of their own: their messages, and their end, whatever they do."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from catsdogs.contract import processes
from catsdogs.contract.processes import Ended, Work, run_in_processes

Send = Callable[[Any], None]


@pytest.fixture(params=["forked", "new interpreters"])
def both_ways(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Take each way to start a process."""
    monkeypatch.setattr(processes, "_survives_a_fork", lambda: request.param == "forked")


def messages_of(*works: Work, jobs: int = 1, seconds: float = 60.0) -> list[list[Any]]:
    received: list[list[Any]] = [[] for _ in works]
    run_in_processes(
        works,
        lambda index, message: received[index].append(message),
        jobs=jobs,
        seconds=seconds,
        quiet=True,
    )
    return received


def is_alive(pid: int) -> bool:
    """Return whether a process runs; one that has ended may wait for its parent as a zombie."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


def within(seconds: float, holds: Callable[[], bool]) -> bool:
    end = time.monotonic() + seconds
    while not holds() and time.monotonic() < end:
        time.sleep(0.05)
    return holds()


@pytest.mark.usefixtures("both_ways")
def test_messages_come_in_order_and_the_end_is_the_last() -> None:
    def work(send: Send) -> None:
        for number in range(200):
            send(number)
        send("x" * 10**6)  # more than a pipe holds

    assert messages_of(work, work, jobs=2) == [[*range(200), "x" * 10**6, Ended("")]] * 2


def test_autograd_works_in_a_process_where_its_threads_would_not_survive_a_fork() -> None:
    """Sixty backward passes within each other make autograd start threads."""

    class Nested(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: torch.Tensor, depth: int) -> torch.Tensor:
            ctx.depth = depth
            return x.clone()

        @staticmethod
        def backward(ctx: Any, grad: torch.Tensor) -> Any:
            if ctx.depth:
                with torch.enable_grad():
                    x = torch.ones((), requires_grad=True)
                    Nested.apply(x, ctx.depth - 1).backward()
            return grad, None

    def nested(send: Send) -> None:
        Nested.apply(torch.ones((), requires_grad=True), 70).backward()

        def step(send: Send) -> None:
            x = torch.ones((), requires_grad=True)
            (2 * x).backward()
            assert x.grad is not None
            send(x.grad.item())

        send((processes._survives_a_fork(), messages_of(step)))

    ((told, end),) = messages_of(nested)
    assert told == (False, [[2.0, Ended("")]])
    assert end == Ended("")


def test_a_function_shares_what_is_imported_and_computes_with_one_thread() -> None:
    value = torch.arange(3)

    def work(send: Send) -> None:
        send((value.tolist(), torch.get_num_threads(), os.getpid()))

    ((told, end),) = messages_of(work)
    assert told[:2] == ([0, 1, 2], 1)
    assert told[2] != os.getpid()
    assert end == Ended("")


@pytest.mark.usefixtures("both_ways")
def test_native_code_that_never_returns_is_killed_with_the_processes_it_started() -> None:
    def work(send: Send) -> None:
        send(subprocess.Popen(["sleep", "600"]).pid)
        sum(range(10**15))

    started = time.monotonic()
    ((child, end),) = messages_of(work, seconds=0.5)
    assert end == Ended("did not end within 0.5 s", late=True)
    assert time.monotonic() - started < 30
    assert within(10, lambda: not is_alive(child))


@pytest.mark.usefixtures("both_ways")
def test_a_crash_and_an_exit_are_told_and_what_was_sent_before_is_kept() -> None:
    def crash(send: Send) -> None:
        send(1)
        ctypes.string_at(0)

    def leave(send: Send) -> None:
        os._exit(7)

    def fail(send: Send) -> None:
        raise SystemExit("never")

    crashed, left, failed = messages_of(crash, leave, fail, jobs=3)
    assert crashed == [1, Ended("was ended by signal 11 (Segmentation fault)")]
    assert left == [Ended("ended with status 7")]
    assert failed == [Ended("ended with status 1")]


def test_a_thread_that_a_function_leaves_behind_does_not_keep_its_process() -> None:
    def work(send: Send) -> None:
        import threading

        threading.Thread(target=time.sleep, args=(600,)).start()
        send("done")

    assert messages_of(work, seconds=60) == [["done", Ended("")]]


def test_as_many_run_at_once_as_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    # A new interpreter takes longer to start than a function takes here.
    monkeypatch.setattr(processes, "_survives_a_fork", lambda: True)

    def work(send: Send) -> None:
        begin = time.monotonic()
        time.sleep(0.3)
        send((begin, time.monotonic()))

    spans = [messages[0] for messages in messages_of(*[work] * 5, jobs=2)]
    at_once = [sum(begin <= moment < end for begin, end in spans) for moment, _ in spans]
    assert max(at_once) == 2


def test_all_processes_are_killed_when_the_receiver_raises() -> None:
    pids = []

    def work(send: Send) -> None:
        send(os.getpid())
        time.sleep(600)

    def receive(index: int, message: Any) -> None:
        pids.append(message)
        if len(pids) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_in_processes([work, work, work], receive, jobs=2, seconds=60)
    assert len(pids) == 2
    assert not any(map(is_alive, pids))


@pytest.mark.skipif(sys.platform != "linux", reason="a service of Linux")
def test_a_process_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    program = """
import os, pathlib, sys
from catsdogs.contract.processes import run_in_processes

def work(send):
    send(os.getpid())
    sum(range(10**15))

run_in_processes([work], lambda _, pid: print(pid, flush=True), jobs=1, seconds=600)
"""
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    assert is_alive(child)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    assert within(10, lambda: not is_alive(child))


def test_what_a_quiet_function_prints_is_discarded_and_otherwise_shown(
    capfd: pytest.CaptureFixture[str],
) -> None:
    def work(send: Send) -> None:
        os.system("echo from outside")
        print("from python", file=sys.__stdout__)

    run_in_processes([work], lambda *_: None, jobs=1, seconds=60, quiet=True)
    assert capfd.readouterr().out == ""
    run_in_processes([work], lambda *_: None, jobs=1, seconds=60)
    assert sorted(capfd.readouterr().out.split("\n"))[1:] == ["from outside", "from python"]
