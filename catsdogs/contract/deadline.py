"""A time limit for code that may never return."""

import contextlib
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType

SOON = 1e-3  # seconds; 0 would cancel the timer


class OutOfTime(BaseException):
    """The time is up. Not an `Exception`, so that the code under test does not catch it."""


@contextlib.contextmanager
def deadline(seconds: float | None) -> Iterator[None]:
    """Raise `OutOfTime` in the code inside once the time is up.

    A signal interrupts Python code, so the limit needs the main thread, and does not end a call
    into compiled code that never returns. Elsewhere, and without `SIGALRM`, there is no limit.

    Args:
        seconds: Above 0; None for no limit.
    """
    in_main = threading.current_thread() is threading.main_thread()
    if seconds is None or not in_main or not hasattr(signal, "SIGALRM"):
        yield
        return

    def stop(signum: int, frame: FrameType | None) -> None:
        raise OutOfTime

    before = signal.signal(signal.SIGALRM, stop)
    started = time.monotonic()
    # A limit around this one may end earlier: one of a check, or pytest-timeout's.
    left, _ = signal.getitimer(signal.ITIMER_REAL)
    signal.setitimer(signal.ITIMER_REAL, min(seconds, left) if left else seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        if left:
            rest = left - (time.monotonic() - started)
            signal.setitimer(signal.ITIMER_REAL, max(rest, SOON))
