"""A time limit for code that may never return."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType


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
    left, _ = signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        if left:  # a limit of the caller's, such as pytest-timeout's
            signal.setitimer(signal.ITIMER_REAL, left)
