"""Progress bars: live on a terminal, one line every ten seconds in a log file."""

import contextlib
import logging
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from tqdm import tqdm

from catsdogs.io.voice import is_first_process

SHORT = 1.0  # seconds; shorter work shows no bar


class LinesBesideBars(logging.Handler):
    """Write each message to stderr, on a line of its own where a bar is shown."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write the message of a record."""
        tqdm.write(self.format(record), file=sys.stderr)


class _Bar(tqdm):  # type: ignore[type-arg]
    """A bar that a message beside it does not show before its delay, and whose line then ends."""

    def refresh(self, *args: Any, **kwargs: Any) -> None:
        """Draw the bar, once its delay has passed."""
        if self._is_due():
            super().refresh(*args, **kwargs)

    def clear(self, *args: Any, **kwargs: Any) -> None:
        """Make room for a message, once the delay has passed: before it nothing was drawn."""
        if self._is_due():
            super().clear(*args, **kwargs)

    def _is_due(self) -> bool:
        if not self.delay:
            return True
        assert self.start_t is not None
        assert self.last_print_t is not None
        shown_from = self.start_t + self.delay
        if time.time() < shown_from:
            return False
        self.last_print_t = max(self.last_print_t, shown_from)  # or close() leaves the line
        return True


def progress(
    iterable: Iterable[Any] | None = None,
    *,
    total: int,
    description: str,
    unit: str,
    initial: int = 0,
    delay: float = SHORT,
) -> Any:
    """Return a tqdm bar on stderr; of a run's several processes only the first shows it.

    Args:
        iterable: To iterate over; None for a bar that the caller updates.
        total: Number of units of work.
        description: What is happening, in the present participle.
        unit: Name of one unit.
        initial: Units done before.
        delay: Seconds before the bar appears on a terminal.
    """
    terminal = sys.stderr.isatty()
    return _Bar(
        iterable,
        total=total,
        initial=initial,
        desc=description,
        unit=unit,
        delay=delay if terminal else SHORT,
        mininterval=0.1 if terminal else 10.0,
        dynamic_ncols=terminal,
        leave=not terminal,
        disable=not is_first_process(),
    )


def close_bars() -> None:
    """Close every bar, so that what is printed next begins a line: an error leaves bars open."""
    for bar in list(getattr(tqdm, "_instances", [])):
        bar.close()


@contextlib.contextmanager
def reported(description: str, *, unit: str) -> Iterator[Callable[..., None]]:
    """Show a bar for work that reports its progress through a callback.

    Yields:
        The callback: it takes the units done and their total, and ignores further arguments.
    """
    with progress(total=1, description=description, unit=unit) as bar:

        def show(done: int, total: int, *_: object) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield show
