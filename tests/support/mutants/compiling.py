"""Mutants of steps that another rule replaces when they are compiled."""

import functools

import torch
from torch import Tensor

from tests.support.descent import Momentum
from tests.support.mutants.registry import seen_by


@seen_by("steps_alike_when_compiled")
class MomentumForgetsWhenCompiled(Momentum):
    """The compiler is shown a simpler rule."""

    def decay(self, param: Tensor) -> float:
        return 0.5 if torch.compiler.is_compiling() else 0.9


@functools.cache
def _new_buffer(param: Tensor) -> Tensor:
    return torch.zeros_like(param)


@seen_by("steps_alike_when_compiled")
class MomentumKeepsItsBuffersInACache(Momentum):
    """Buffers live in a functools.cache, which the compiler looks through."""

    def buffer(self, param: Tensor) -> Tensor:
        return _new_buffer(param)


@seen_by("steps_alike_when_compiled")
class MomentumCountsInItsState(Momentum):
    """A number is where the compiler expects a tensor, as soon as there is an _init_group."""

    def _init_group(self) -> None:
        """Do nothing: it makes the compiler look at the state."""

    def decay(self, param: Tensor) -> float:
        self._init_group()
        self.state[param]["step"] = self.state[param].get("step", 0) + 1
        return 0.9
