"""Standard streams that a command can always use, whatever they lead to."""

import contextlib
import io
import os
import select
import sys
from pathlib import Path
from typing import Any, TextIO


class _Lasting(io.FileIO):
    """A file descriptor that drops what can no longer be written, instead of raising an error."""

    def write(self, data: Any) -> int:
        """Write everything, to nowhere once the descriptor takes no more."""
        rest = memoryview(data)
        try:
            while len(rest):  # unbuffered text is lost where only a part of it was written
                written = super().write(rest)
                if written is None:  # the descriptor was set to non-blocking by its owner
                    select.select([], [self], [])
                rest = rest[written or 0 :]
        except OSError as error:
            self._drop(error)
        return len(data)

    def _drop(self, error: OSError) -> None:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, self.fileno())
        os.close(null)
        # A reader that has left (`| head`) knows, and who reads stderr would not see it.
        if self.fileno() == 1 and not isinstance(error, BrokenPipeError):
            reason = f"warning: stdout: {error.strerror}; the rest of the output is lost\n"
            with contextlib.suppress(OSError):
                os.write(2, reason.encode())


def open_standard_streams() -> None:
    """Open streams that are closed, and let stdout and stderr outlast their readers.

    A job of cron or a daemon may start without them, and a reader may leave (`| head`) or a disk
    be full; neither changes what a command does, nor its exit status.
    """
    for number in range(3):  # or the next file to be opened gets the number of a stream
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    if sys.stdin is None:
        sys.stdin = Path(os.devnull).open(encoding="utf-8")  # noqa: SIM115 - until the end
    if sys.stdout is sys.__stdout__:  # not a test's
        sys.stdout = _lasting(sys.stdout)
    if sys.stderr is sys.__stderr__:
        sys.stderr = _lasting(sys.stderr)


def _lasting(stream: TextIO | None) -> TextIO:
    if not isinstance(stream, io.TextIOWrapper):  # None: it was closed
        return Path(os.devnull).open("w", encoding="utf-8")
    raw = _Lasting(stream.fileno(), "w", closefd=False)
    return io.TextIOWrapper(
        raw if stream.write_through else io.BufferedWriter(raw),
        encoding=stream.encoding,
        errors="backslashreplace",  # the encoding may lack characters
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )
