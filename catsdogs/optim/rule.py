"""The bookkeeping that every update rule shares: the closure, the groups and what is skipped."""

from collections.abc import Callable
from typing import Any, overload

import torch
from torch import Tensor
from torch.optim import Optimizer


class RuleOptimizer(Optimizer):
    """A `torch.optim.Optimizer` whose subclasses say only how one parameter moves.

    A subclass validates its hyperparameters in `__init__` and defines `update`. Hyperparameters
    are read from the group at every step, so parameter groups and learning-rate schedulers work;
    state lives in `self.state[param]`, so `state_dict` holds all of it.
    """

    def update(self, param: Tensor, grad: Tensor, group: dict[str, Any]) -> None:
        """Move `param` in place, given its gradient (which must not be modified)."""
        raise NotImplementedError

    @overload
    def step(self, closure: None = None) -> None: ...

    @overload
    def step(self, closure: Callable[[], float]) -> float: ...

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Update every parameter that has a gradient; parameters without one are left alone.

        Args:
            closure: Re-evaluates the model and returns the loss. It runs once, with gradients on.

        Returns:
            What the closure returned, or None without one.

        Raises:
            RuntimeError: For a sparse gradient or a complex parameter; neither is supported.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for param in group["params"]:
                if param.grad is None:
                    continue
                self._refuse_unsupported(param)
                self.update(param, -param.grad if group["maximize"] else param.grad, group)
        return loss

    def _refuse_unsupported(self, param: Tensor) -> None:
        name = type(self).__name__
        if param.grad is not None and param.grad.is_sparse:
            raise RuntimeError(f"{name} does not support sparse gradients; use a dense layer")
        if param.is_complex():
            raise RuntimeError(f"{name} does not support complex parameters; use view_as_real")
