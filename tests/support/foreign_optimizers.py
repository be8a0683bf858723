"""Module of optimizers as a library has them: right, wrong, odd, and some that are not its own."""

import os
import signal
from collections.abc import Callable
from typing import Any

import torch
from torch.optim import SGD, Adam, Optimizer

__all__ = [
    "SGD",
    "Adam",
    "AlsoRight",
    "Base",
    "Climbing",
    "Crashing",
    "Endless",
    "Narrow",
    "NeedsAModel",
    "Right",
    "Rude",
    "helper",
]


class Base(Optimizer):
    """Has no step of its own."""


class Right(SGD):
    """Correct."""


AlsoRight = Right


class Climbing(SGD):
    """Moves the wrong way."""

    def step(self, closure: Any = None) -> Any:
        for group in self.param_groups:
            group["maximize"] = not group["maximize"]
        try:
            return super().step(closure)
        finally:
            for group in self.param_groups:
                group["maximize"] = not group["maximize"]


class Rude(Adam):
    """Correct, but accepts any learning rate."""

    def __init__(self, params: Any, lr: float = 1e-3, weight_decay: float = 0.0) -> None:
        super().__init__(params, lr=abs(lr), weight_decay=weight_decay)


class Narrow(SGD):
    """Fails on a parameter without dimensions."""

    def step(self, closure: Any = None) -> Any:
        rows = [param.shape[0] for group in self.param_groups for param in group["params"]]
        assert rows
        return super().step(closure)


class Crashing(SGD):
    """Ends the process when it loads a state."""

    def load_state_dict(self, state_dict: Any) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


class Endless(SGD):
    """Never returns from a step, in code that no signal of Python interrupts."""

    def step(self, closure: Any = None) -> Any:
        return sum(range(10**15))


class NeedsAModel(SGD):
    """Takes an argument that nobody gives."""

    def __init__(self, params: Any, model: torch.nn.Module) -> None:
        super().__init__(params)


def helper(optimizer: Optimizer) -> Callable[..., Any]:
    """Return the step of an optimizer."""
    return optimizer.step
