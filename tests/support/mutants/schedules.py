"""Mutants of the learning rate, and of the way there."""

# Mutants forward the arguments of an update rule without naming all of them.
# mypy: disable-error-code="override"

from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from catsdogs.optim import SGD, Adam
from tests.support.mutants.registry import seen_by

Prepared = tuple[dict[str, Any], dict[str, Any]]  # arguments of the rule, and state to keep


@seen_by("obeys_the_learning_rate", lr=0.01)
class SGDIgnoresLr(SGD):
    """The step is a hundredth of the gradient, whatever lr is."""

    def prepare_update(self, param: Tensor, group: dict[str, Any]) -> Prepared:
        return super().prepare_update(param, group | {"lr": 0.01})


@seen_by("obeys_the_learning_rate", lr=0.01)
class SGDKeepsItsRateAsAnAttribute(Optimizer):
    """lr is an attribute of the object, and the groups have a copy that nobody reads."""

    def __init__(self, params: Any, lr: float = 0.01) -> None:
        self.rate = lr
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        for group in self.param_groups:
            for param in group["params"]:
                if param.grad is not None:
                    param.add_(param.grad, alpha=-self.rate)


@seen_by("starts_downhill")
class AdamClimbsAtFirst(Adam):
    """The first five steps have the wrong sign (found in a published optimizer)."""

    def prepare_update(self, param: Tensor, group: dict[str, Any]) -> Prepared:
        arguments, state = super().prepare_update(param, group)
        early = state["step"] <= 5
        return arguments | {"step_size": arguments["step_size"] * (-1 if early else 1)}, state


@seen_by("starts_downhill", lr=0.01, momentum=0.9)
class MomentumStartsAgainstTheGradient(SGD):
    """The buffer starts as -2 times the gradient."""

    def prepare_update(self, param: Tensor, group: dict[str, Any]) -> Prepared:
        arguments, state = super().prepare_update(param, group)
        if param not in self.state and param.grad is not None:
            arguments["momentum_buffer"].copy_(-2 * param.grad)
        return arguments, state


@seen_by("survives_warmup_from_zero")
class AdamDividesByTheFirstRate(Adam):
    """The rate is scaled by its ratio to the first one, which is 0 with warm-up."""

    def prepare_update(self, param: Tensor, group: dict[str, Any]) -> Prepared:
        arguments, state = super().prepare_update(param, group)
        lr = torch.as_tensor(group["lr"])
        first = group.setdefault("first_lr", float(group["lr"]))
        scale = float(lr / torch.tensor(first)) if float(lr) != first else 1.0
        return arguments | {"step_size": arguments["step_size"] * scale}, state


@seen_by("survives_warmup_from_zero", lr=0.01)
class SGDStopsForGoodAtZero(SGD):
    """A parameter that was stepped on with a rate of 0 is taken for frozen."""

    def prepare_update(self, param: Tensor, group: dict[str, Any]) -> Prepared:
        arguments, state = super().prepare_update(param, group)
        frozen = self.state.get(param, {}).get("frozen", False) or float(group["lr"]) == 0
        lr = 0.0 if frozen else group["lr"]
        return arguments | {"lr": lr}, state | {"frozen": frozen}


class _SGDWithATensorRate(Optimizer):
    """SGD that accepts a tensor as lr."""

    def __init__(self, params: Any, lr: Any = 0.01) -> None:
        super().__init__(params, {"lr": lr})

    def rate(self, group: dict[str, Any]) -> float:
        """Return the rate of a group."""
        return float(group["lr"])

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        for group in self.param_groups:
            for param in group["params"]:
                if param.grad is not None:
                    param.add_(param.grad, alpha=-self.rate(group))


@seen_by("obeys_a_tensor_learning_rate_changed_in_place")
class SGDCachesItsTensorRate(_SGDWithATensorRate):
    """The number in a tensor lr is kept as long as the group holds the same tensor."""

    def rate(self, group: dict[str, Any]) -> float:
        lr = group["lr"]
        if not isinstance(lr, Tensor):
            return float(lr)
        cached: dict[int, float] = self.__dict__.setdefault("cache", {})
        return cached.setdefault(id(lr), float(lr))


@seen_by("obeys_a_tensor_learning_rate_changed_in_place")
class SGDDecaysItsTensorRate(_SGDWithATensorRate):
    """A tensor lr is multiplied in place after it was changed."""

    def rate(self, group: dict[str, Any]) -> float:
        lr = group["lr"]
        if isinstance(lr, Tensor) and float(lr) < 2.0**-6:
            lr.mul_(0.5)
        return float(lr)
