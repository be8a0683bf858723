"""Description of an exception in somebody else's code: what was raised, in which file and line."""

import os
import sysconfig
import traceback
from pathlib import Path

from catsdogs.io.text import one_line

OURS = str(Path(__file__).parents[1])
STANDARD = sysconfig.get_path("stdlib")
INSTALLED = {"site-packages", "dist-packages"}  # folders of packages
# Packages between this project and a class that a user names.
BETWEEN = {"torch", "hydra", "omegaconf"}


def described(error: BaseException) -> str:
    """Return type and message of an exception in one line, with the place in the user's code."""
    text = error.msg if isinstance(error, SyntaxError) else str(error)
    said = f"{type(error).__name__}: {' '.join(text.split())}".removesuffix(": ")
    return one_line(f"{said} ({place(error)})" if place(error) else said)


def place(error: BaseException) -> str:
    """Return the file and line that an exception came from; empty if no user's code is involved.

    It is the innermost line of a file of the user's own, or else of a package other than torch.
    """
    if isinstance(error, SyntaxError) and error.filename:
        return f"{_shown(error.filename)}, line {error.lineno}"
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if _is_others(frame)]
    own = [frame for frame in frames if INSTALLED.isdisjoint(Path(frame.filename).parts)]
    for frame in (own or frames)[-1:]:
        return f"{_shown(frame.filename)}, line {frame.lineno}"
    return ""


def _is_others(frame: traceback.FrameSummary) -> bool:
    """Return whether a line belongs neither to this project nor to what lies in between."""
    file = Path(frame.filename)
    if not INSTALLED.isdisjoint(file.parts):
        return BETWEEN.isdisjoint(file.parts) and not file.is_relative_to(OURS)
    of_python = file.is_relative_to(STANDARD) or frame.filename.startswith("<frozen ")
    return not of_python and not file.is_relative_to(OURS)


def _shown(file: str) -> str:
    """Return a path as it is shortest: relative to the working directory if it lies there."""
    here = Path.cwd()
    return os.path.relpath(file) if Path(file).is_relative_to(here) else file
