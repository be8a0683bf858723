"""Simulated deaths of a process: before its k-th durable change, or by a signal in a step."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from catsdogs.training import loop


class Death(BaseException):
    """Ends the process; unlike in a real kill, `finally` blocks still run."""


class Mortal:
    """Counts durable changes of files (sync, replace, unlink), and dies before the k-th.

    Attributes:
        moments: Name of each durable change so far.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.moments: list[str] = []
        self._last = 0
        self._dead = False
        rename, unlink = Path.replace, Path.unlink
        monkeypatch.setattr("os.fsync", lambda _: self._live("sync"))
        monkeypatch.setattr(Path, "replace", self._living(rename))
        monkeypatch.setattr(Path, "unlink", self._living(unlink))

    def die_at(self, moment: int) -> None:
        """Restart the count and die before the change with this number from 1; never for 0."""
        self.moments, self._last, self._dead = [], moment, False

    def _living(self, act: Callable[..., Any]) -> Callable[..., Any]:
        def do(path: Path, *arguments: Any, **named: Any) -> Any:
            # A dead process removes nothing, so partially written files stay.
            if self._dead:
                return None
            self._live(f"{act.__name__} {path.name}")
            return act(path, *arguments, **named)

        return do

    def _live(self, what: str) -> None:
        if self._dead:
            return
        self.moments.append(what)
        if len(self.moments) == self._last:
            self._dead = True
            raise Death(what)


def signal_in_step(
    monkeypatch: pytest.MonkeyPatch, iteration: int, *numbers: signal.Signals
) -> None:
    """Make the training step with this number, from 1, send these signals to this process."""
    steps = 0
    train_step = loop.train_step

    def step(*arguments: Any) -> float:
        nonlocal steps
        steps += 1
        if steps == iteration:
            for number in numbers:
                os.kill(os.getpid(), number)
        return train_step(*arguments)

    monkeypatch.setattr(loop, "train_step", step)
