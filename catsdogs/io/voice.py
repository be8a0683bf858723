"""One voice for the processes that torchrun starts: progress by the first, an error by any once."""

import os
import time
from pathlib import Path

WAIT = 3.0  # seconds that a consequence gives its cause to be said
# Environment variables that torchrun sets; the file is in a folder for each process of an attempt.
STARTED_BY_TORCHRUN, ERROR_FILE = "TORCHELASTIC_RUN_ID", "TORCHELASTIC_ERROR_FILE"


def is_first_process() -> bool:
    """Return whether this is the first process of a run, or its only one."""
    return STARTED_BY_TORCHRUN not in os.environ or os.environ.get("RANK") == "0"


def says_error() -> bool:
    """Return whether this process is the first on this machine to report an error; it then must."""
    mark = _mark()
    if mark is None:
        return True
    try:
        os.close(os.open(mark, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
    except FileExistsError:
        return False
    except OSError:
        return True
    return True


def await_cause() -> None:
    """Let the process that has ended first report its error, if it still can."""
    mark, end = _mark(), time.monotonic() + WAIT
    while mark is not None and not mark.exists() and time.monotonic() < end:
        time.sleep(0.05)


def _mark() -> Path | None:
    """Return the file that exists once an error of this attempt was reported."""
    file = os.environ.get(ERROR_FILE)
    return Path(file).parents[1] / "catsdogs-error" if file else None
