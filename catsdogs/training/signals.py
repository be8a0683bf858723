"""Handling of SIGINT and SIGTERM: stop a run after its current step, or immediately."""

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType, TracebackType
from typing import Any, Self

from catsdogs.io.voice import is_first_process

SIGNALS = (signal.SIGINT, signal.SIGTERM)
NOTICE = b"\nstopping after the current step; send the signal again to stop now\n"


class Interrupted(KeyboardInterrupt):
    """A signal has stopped the process; the message says how to continue.

    Attributes:
        number: Number of the signal; a command exits with 128 plus this number.
    """

    def __init__(self, number: int, message: str = "interrupted") -> None:
        super().__init__(message)
        self.number = number


class Interruption:
    """Raise `Interrupted` on SIGINT and SIGTERM.

    Use as a context manager; it has an effect in the main thread only.

    Attributes:
        received: Number of the signal that `defer` has deferred; 0 if there is none.
    """

    def __init__(self) -> None:
        self.received = 0
        self._deferring = False
        self._process = os.getpid()
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._handle) for number in SIGNALS}
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
    def defer(self) -> Iterator[None]:
        """Defer the first signal to the caller, in `received`; a second one raises immediately."""
        self._deferring = True
        try:
            yield
        finally:
            self._deferring = False

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._process:  # a forked worker, which should just end
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        if self._deferring and not self.received:
            self.received = number
            if is_first_process():
                with contextlib.suppress(OSError):  # a closed pipe
                    os.write(2, NOTICE)  # not print, which may be what the signal has interrupted
            return
        raise Interrupted(number)
