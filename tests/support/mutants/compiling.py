"""Mutants of steps that another rule replaces when they are compiled."""

import functools
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from tests.support.mutants.registry import seen_by


class _Momentum(Optimizer):
    """Momentum, whose decay and buffers mutants replace."""

    def __init__(self, params: Any, lr: float = 0.01) -> None:
        if not lr >= 0:
            raise ValueError(f"Invalid lr: {lr}")
        super().__init__(params, {"lr": lr})

    def decay(self, param: Tensor) -> float:
        """Return the share of the buffer that is kept."""
        return 0.9

    def buffer(self, param: Tensor) -> Tensor:
        """Return the buffer of a parameter."""
        found: Tensor = self.state[param].setdefault("buffer", torch.zeros_like(param))
        return found

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for param in group["params"]:
                if param.grad is not None:
                    buffer = self.buffer(param)
                    buffer.mul_(self.decay(param)).add_(param.grad)
                    param.add_(buffer, alpha=-group["lr"])
        return loss


@seen_by("steps_alike_when_compiled")
class MomentumForgetsWhenCompiled(_Momentum):
    """The compiler is shown a simpler rule."""

    def decay(self, param: Tensor) -> float:
        return 0.5 if torch.compiler.is_compiling() else 0.9


@functools.cache
def _new_buffer(param: Tensor) -> Tensor:
    return torch.zeros_like(param)


@seen_by("steps_alike_when_compiled")
class MomentumKeepsItsBuffersInACache(_Momentum):
    """Buffers live in a functools.cache, which the compiler looks through."""

    def buffer(self, param: Tensor) -> Tensor:
        return _new_buffer(param)


@seen_by("steps_alike_when_compiled")
class MomentumCountsInItsState(_Momentum):
    """A number is where the compiler expects a tensor, as soon as there is an _init_group."""

    def _init_group(self) -> None:
        """Do nothing: it makes the compiler look at the state."""

    def decay(self, param: Tensor) -> float:
        self._init_group()
        self.state[param]["step"] = self.state[param].get("step", 0) + 1
        return 0.9
