"""A time limit for code that may never return."""

import contextlib
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType

WAIT = 6
SOON = 1e-3  # seconds; 0 would cancel a timer


class OutOfTime(BaseException):
    """The time is up. Not an `Exception`, so that the code under test does not catch it."""


@contextlib.contextmanager
def deadline(seconds: float | None) -> Iterator[None]:
    """Raise `OutOfTime` in the code inside once the time is up.

    The limit is on the processor's time, so that a busy machine changes nothing; code that waits
    is stopped after `WAIT` times as many seconds. A signal interrupts Python code: it needs the
    main thread, and does not end a call into compiled code that never returns. Elsewhere, and
    without these signals, nothing is limited.

    Args:
        seconds: Of the processor, above 0; None for no limit.
    """
    in_main = threading.current_thread() is threading.main_thread()
    if seconds is None or not in_main or not hasattr(signal, "SIGPROF"):
        yield
        return

    over = False

    def stop(signum: int, frame: FrameType | None) -> None:
        if not over:
            raise OutOfTime

    limits = {signal.ITIMER_PROF: seconds, signal.ITIMER_REAL: WAIT * seconds}
    numbers = {signal.ITIMER_PROF: signal.SIGPROF, signal.ITIMER_REAL: signal.SIGALRM}
    clocks = {signal.ITIMER_PROF: time.process_time, signal.ITIMER_REAL: time.monotonic}
    before = {number: signal.signal(number, stop) for number in numbers.values()}
    # A limit around this one goes on: that of a check, or pytest-timeout's.
    left = {timer: signal.getitimer(timer)[0] for timer in limits}
    started = {timer: clock() for timer, clock in clocks.items()}
    for timer, limit in limits.items():
        signal.setitimer(timer, min(limit, left[timer]) if left[timer] else limit)
    try:
        yield
    finally:
        over = True  # the other signal may come now, and must not end the restoring
        for timer in limits:
            signal.setitimer(timer, 0)
        for number, handler in before.items():
            signal.signal(number, handler)
        for timer, rest in left.items():
            if rest:
                passed = clocks[timer]() - started[timer]
                signal.setitimer(timer, max(rest - passed, SOON))
