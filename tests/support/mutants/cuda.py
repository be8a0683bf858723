"""Mutants of CUDA graphs, of state that comes from the CPU, and of gradient scalers."""

from typing import Any

import torch
from torch import Tensor

from catsdogs.optim import Adam
from tests.support.descent import Descent, Group, Momentum
from tests.support.mutants.registry import seen_by


@seen_by("replays_from_a_cuda_graph", device="cuda")
class AdamCountsInPython(Adam):
    """capturable is accepted, and a graph repeats the bias correction of the captured step."""

    unsupported = ()  # type: ignore[assignment]


@seen_by("replays_from_a_cuda_graph", device="cuda")
class MomentumReplacesItsBuffer(Momentum):
    """Every step makes a new buffer, and a graph always starts at the captured one."""

    def __init__(self, params: Any, lr: float = 0.01, capturable: bool = False) -> None:
        Descent.__init__(self, params, lr, capturable=capturable)

    def move(self, param: Tensor, grad: Tensor, group: Group) -> None:
        self.state[param]["buffer"] = 0.9 * self.buffer(param) + grad
        param.add_(self.buffer(param), alpha=-group["lr"])


@seen_by("continues_on_the_gpu_from_a_cpu_checkpoint", device="cuda")
class MomentumLeavesItsStateOnTheCPU(Momentum):
    """Loaded tensors stay on the device of the checkpoint."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        params = [param for group in self.param_groups for param in group["params"]]
        for index, param in enumerate(params):
            saved = state_dict["state"].get(index, {})
            self.state[param] = {name: each.to(param.dtype) for name, each in saved.items()}


@seen_by("continues_on_the_gpu_from_a_cpu_checkpoint", device="cuda")
class MomentumForgetsWhatComesFromTheCPU(MomentumLeavesItsStateOnTheCPU):
    """A buffer on another device is replaced by zeros."""

    def buffer(self, param: Tensor) -> Tensor:
        if super().buffer(param).device != param.device:
            self.state[param]["buffer"] = torch.zeros_like(param)
        return super().buffer(param)


class _ScaledMomentum(Momentum):
    """Momentum that unscales gradients and skips overflows by itself."""

    _step_supports_amp_scaling = True

    def move(self, param: Tensor, grad: Tensor, group: Group) -> None:
        if not bool(getattr(self, "found_inf", False)):
            super().move(param, grad / getattr(self, "grad_scale", 1.0), group)


@seen_by("forgets_a_step_that_overflowed")
class MomentumIgnoresOverflows(_ScaledMomentum):
    """found_inf is not read."""

    def move(self, param: Tensor, grad: Tensor, group: Group) -> None:
        Momentum.move(self, param, grad / getattr(self, "grad_scale", 1.0), group)


@seen_by("forgets_a_step_that_overflowed")
class MomentumStartsUninitialised(_ScaledMomentum):
    """The first step makes a buffer without values, also if it is skipped (torch's fused SGD)."""

    def move(self, param: Tensor, grad: Tensor, group: Group) -> None:
        new = param not in self.state
        buffer = self.state[param].setdefault("buffer", torch.empty_like(param))
        if not bool(getattr(self, "found_inf", False)):
            grad = grad / getattr(self, "grad_scale", 1.0)
            buffer.copy_(grad) if new else buffer.mul_(0.9).add_(grad)
            param.add_(buffer, alpha=-group["lr"])


@seen_by("forgets_a_step_that_overflowed")
class MomentumCountsOverflows(_ScaledMomentum):
    """The buffer is corrected for its start by a count of all steps."""

    def move(self, param: Tensor, grad: Tensor, group: Group) -> None:
        count = self.state[param].get("count", 0) + 1
        self.state[param]["count"] = count
        super().move(param, grad, group | {"lr": group["lr"] / (1 - 0.9**count)})
