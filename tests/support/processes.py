"""Python processes that tests start, and their environment."""

import os
import subprocess
import sys
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


def run_chaos(*arguments: str) -> str:
    """Run the chaos test with options, and return what it prints."""
    done = subprocess.run(
        [sys.executable, "-m", "scripts.chaos", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
