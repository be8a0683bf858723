"""SIGINT and SIGTERM: they end a run at once, or, while it trains, after the step in hand."""

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType, TracebackType
from typing import Any, Self

ASKING = (signal.SIGINT, signal.SIGTERM)


class Interrupted(KeyboardInterrupt):
    """Somebody asked the process to end; the message says how to go on.

    Attributes:
        number: The signal's; a command exits with 128 more.
    """

    def __init__(self, number: int, message: str = "interrupted") -> None:
        super().__init__(message)
        self.number = number


class Interruption:
    """Turns the signals into `Interrupted`, within its context and in the main thread only.

    Attributes:
        asked: The signal that came while it was put off; 0 without one.
    """

    def __init__(self) -> None:
        self.asked = 0
        self._putting_off = False
        self._process = os.getpid()
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._handle) for number in ASKING}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @contextlib.contextmanager
    def put_off(self) -> Iterator[None]:
        """Only take note of a first signal meanwhile; a second one ends the process at once."""
        self._putting_off = True
        try:
            yield
        finally:
            self._putting_off = False

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._process:  # a worker that was forked off and shall end
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        if self._putting_off and not self.asked:
            self.asked = number
            # Not by print: the signal may have come in the middle of one.
            os.write(2, b"\nending after the step in hand; another signal ends at once\n")
            return
        raise Interrupted(number)
