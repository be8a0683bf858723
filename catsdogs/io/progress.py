"""One look for every progress bar: live on a terminal, a line now and then in a log file."""

import contextlib
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from tqdm import tqdm

SHORT = 1.0  # seconds; what takes less shows no bar


def progress(
    iterable: Iterable[Any] | None = None,
    *,
    total: int,
    description: str,
    unit: str,
    initial: int = 0,
) -> Any:
    """Return a tqdm bar on stderr over `iterable`, or to be updated by hand without one.

    `initial` of the `total` were done before. Of several processes of a run the first one shows it.
    """
    terminal = sys.stderr.isatty()
    return tqdm(
        iterable,
        total=total,
        initial=initial,
        desc=description,
        unit=unit,
        delay=SHORT,
        mininterval=0.1 if terminal else 10.0,
        dynamic_ncols=terminal,
        leave=not terminal,
        disable=os.environ.get("RANK", "0") != "0",  # torchrun's
    )


@contextlib.contextmanager
def reported(description: str, *, unit: str) -> Iterator[Callable[..., None]]:
    """Show a bar for work that tells from time to time how much is done, and of how much.

    What is yielded takes these two numbers; what else it is given it leaves alone.
    """
    with progress(total=1, description=description, unit=unit) as bar:

        def show(done: int, total: int, *_: object) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield show
