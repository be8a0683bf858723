"""Gradient descent and momentum in the usual two loops, for tests that change one part of them."""

from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

Group = dict[str, Any]


class Descent(Optimizer):
    """Gradient descent; a subclass replaces `move`."""

    def __init__(self, params: Any, lr: float | None = 0.01, **more: Any) -> None:
        if lr is not None and lr < 0:
            raise ValueError(f"Invalid lr: {lr}")
        super().__init__(params, {"lr": lr, **more})

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for param in group["params"]:
                if param.grad is not None:
                    self.move(param, param.grad, group)
        return loss

    def move(self, param: Tensor, grad: Tensor, group: Group) -> None:
        """Step on one parameter."""
        param.add_(grad, alpha=-float(group["lr"]))


class Momentum(Descent):
    """Momentum, whose decay and buffers a subclass replaces."""

    def __init__(self, params: Any, lr: float = 0.01) -> None:
        super().__init__(params, lr)

    def decay(self, param: Tensor) -> float:
        """Return the share of the buffer that is kept."""
        return 0.9

    def buffer(self, param: Tensor) -> Tensor:
        """Return the buffer of a parameter."""
        found: Tensor = self.state[param].setdefault("buffer", torch.zeros_like(param))
        return found

    def move(self, param: Tensor, grad: Tensor, group: Group) -> None:
        buffer = self.buffer(param)
        buffer.mul_(self.decay(param)).add_(grad)
        param.add_(buffer, alpha=-group["lr"])
