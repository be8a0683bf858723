"""Mutants of memory layouts."""

# Mutants forward the arguments of an update rule without naming all of them.
# mypy: disable-error-code="override"

from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from catsdogs.optim import SGD, Adam
from catsdogs.optim.adam import adam_update
from catsdogs.optim.sgd import sgd_update
from tests.support.mutants.registry import seen_by

Prepared = tuple[dict[str, Any], dict[str, Any]]  # arguments of the rule, and state to keep


def by_memory(tensor: Tensor) -> Tensor:
    """Return the entries of a dense tensor as a vector, in the order of memory."""
    return torch.as_strided(tensor, (tensor.numel(),), (1,))


@seen_by("takes_any_memory_layout", lr=0.01)
class SGDMovesACopy(SGD):
    """Weights are flattened with reshape, which copies those that are not contiguous."""

    @staticmethod
    def update_rule(
        param: Tensor, grad: Tensor, momentum_buffer: Tensor | None = None, **rest: Any
    ) -> None:
        buffer = None if momentum_buffer is None else momentum_buffer.reshape(-1)
        sgd_update(param.reshape(-1), grad.reshape(-1), buffer, **rest)


@seen_by("takes_channels_last_weights", lr=0.01)
class SGDViewsFilters(SGD):
    """Every filter is viewed as a row, which a channels-last weight does not allow."""

    @staticmethod
    def update_rule(param: Tensor, grad: Tensor, **rest: Any) -> None:
        if param.dim() > 2 and len(param):
            param, grad = param.view(len(param), -1), grad.reshape(len(grad), -1)
        sgd_update(param, grad, **rest)


@seen_by("takes_channels_last_weights", lr=0.01)
class SGDMakesWeightsContiguous(SGD):
    """Weights of four dimensions become contiguous."""

    @staticmethod
    def update_rule(param: Tensor, grad: Tensor, **rest: Any) -> None:
        sgd_update(param, grad, **rest)
        if param.dim() == 4:
            param.data = param.data.contiguous()


@seen_by("continues_in_another_memory_layout")
class AdamPairsByMemory(Adam):
    """Weights, gradients and averages are paired by their place in memory (torch's fused step)."""

    @staticmethod
    def update_rule(param: Tensor, grad: Tensor, **rest: Any) -> None:
        flat: dict[str, Any] = {
            n: by_memory(x) if isinstance(x, Tensor) else x for n, x in rest.items()
        }
        adam_update(by_memory(param), by_memory(grad), **flat)


@seen_by("continues_in_another_memory_layout", lr=0.01)
class MomentumKeepsAVector(Optimizer):
    """The buffer is a vector in the order of memory."""

    def __init__(self, params: Any, lr: float = 0.01) -> None:
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        for group in self.param_groups:
            for param in group["params"]:
                if param.grad is None:
                    continue
                grad = torch.empty_like(param).copy_(param.grad)
                state = self.state[param]
                buffer = state.setdefault("buffer", torch.zeros_like(by_memory(param)))
                buffer.mul_(0.9).add_(by_memory(grad))
                by_memory(param).add_(buffer, alpha=-group["lr"])
