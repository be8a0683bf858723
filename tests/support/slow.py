"""Parameters of one test that are divided between the fast and the slow tests."""

from collections.abc import Iterable
from typing import Any

import pytest


def slow_except(fast: Iterable[Any], values: Iterable[Any]) -> list[Any]:
    """Return the values as parameters, marked slow except those in `fast`."""
    kept = list(fast)
    return [
        value if value in kept else pytest.param(value, marks=pytest.mark.slow) for value in values
    ]
