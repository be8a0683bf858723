"""One look for every progress bar: live on a terminal, a line now and then in a log file."""

import sys
from collections.abc import Iterable
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

    `initial` of the `total` were done before.
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
    )
