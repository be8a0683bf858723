"""One look for every progress bar: live on a terminal, a line now and then in a log file."""

import sys
from collections.abc import Iterable
from typing import Any

from tqdm import tqdm


def progress(
    iterable: Iterable[Any] | None = None, *, total: int, description: str, unit: str
) -> Any:
    """Return a tqdm bar on stderr over `iterable`, or to be updated by hand without one."""
    return tqdm(
        iterable,
        total=total,
        desc=description,
        unit=unit,
        mininterval=0.1 if sys.stderr.isatty() else 5.0,
        dynamic_ncols=True,
        leave=False,
    )
