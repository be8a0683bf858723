"""A time limit for code that may never return."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

WAIT = 6


class OutOfTime(BaseException):
    """The time is up. Not an `Exception`, so that the code under test does not catch it."""


@contextlib.contextmanager
def deadline(seconds: float | None) -> Iterator[None]:
    """Raise `OutOfTime` in the code inside once the time is up.

    The limit is on the processor's time, so that a busy machine changes nothing; code that waits
    is stopped after `WAIT` times as many seconds. A signal interrupts Python code: it needs the
    main thread, and does not end a call into compiled code that never returns. Elsewhere, and
    without these signals, there is no limit.

    Args:
        seconds: Of the processor, above 0; None for no limit.
    """
    in_main = threading.current_thread() is threading.main_thread()
    if seconds is None or not in_main or not hasattr(signal, "SIGPROF"):
        yield
        return

    def stop(signum: int, frame: FrameType | None) -> None:
        raise OutOfTime

    timers = {
        signal.ITIMER_PROF: (signal.SIGPROF, seconds),
        signal.ITIMER_REAL: (signal.SIGALRM, WAIT * seconds),
    }
    before = {number: signal.signal(number, stop) for number, _ in timers.values()}
    left = {timer: signal.setitimer(timer, limit)[0] for timer, (_, limit) in timers.items()}
    try:
        yield
    finally:
        for timer in timers:
            signal.setitimer(timer, 0)
        for number, handler in before.items():
            signal.signal(number, handler)
        for timer, rest in left.items():
            if rest:  # a limit of the caller's, such as pytest-timeout's
                signal.setitimer(timer, rest)
