"""Environment of the Python processes that tests start."""

import os
from pathlib import Path

ROOT = Path(__file__).parents[2]


def environment(**variables: str) -> dict[str, str]:
    """Return this process's environment, with the project on Python's path in any directory.

    What is on the path already stays there: the packages of the tests' own process may be.

    Args:
        variables: Others to set.
    """
    path = filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])
    return os.environ | {"PYTHONPATH": os.pathsep.join(path)} | variables
