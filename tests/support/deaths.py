"""Ways to die: at the k-th moment at which something becomes durable, or of a signal in a step."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from catsdogs.training import loop


class Death(BaseException):
    """Ends a process that nothing can save; `finally` still runs, as it does not in a real kill."""


class Mortal:
    """Counts the moments at which a file becomes durable, and dies before the k-th of them.

    Attributes:
        moments: What became durable so far, by name.
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
        """Start over with counting, and die before that moment; never at 0."""
        self.moments, self._last, self._dead = [], moment, False

    def _living(self, act: Callable[..., Any]) -> Callable[..., Any]:
        def do(path: Path, *arguments: Any, **named: Any) -> Any:
            # The dead remove nothing: what they left half written stays.
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
    """Let that training step of this process, counted from 1, send it these signals."""
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
