"""Mutants that change what they should leave alone."""

# Mutants forward the arguments of an update rule without naming all of them.
# mypy: disable-error-code="override"

import random
import sys
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from catsdogs.optim import SGD
from tests.support.mutants.registry import seen_by

Prepared = tuple[dict[str, Any], dict[str, Any]]  # arguments of the rule, and state to keep


class OfALearner(Optimizer):
    """SGD without torch.no_grad(); the mutants say how a parameter is moved."""

    def __init__(self, params: Any, lr: float = 0.01) -> None:
        if lr < 0:
            raise ValueError(f"Invalid lr: {lr}")
        super().__init__(params, {"lr": lr})

    def move(self, param: Tensor, lr: float) -> None:
        """Move a parameter against its gradient."""
        raise NotImplementedError

    def step(self, closure: Any = None) -> Any:
        loss = None if closure is None else closure()
        for group in self.param_groups:
            for param in group["params"]:
                if param.grad is not None:
                    self.move(param, group["lr"])
        return loss


@seen_by("disables_gradients_in_a_step")
class SGDOfALearner(OfALearner):
    """Weights that require gradients are changed in place."""

    def move(self, param: Tensor, lr: float) -> None:
        assert param.grad is not None
        param -= lr * param.grad


@seen_by("disables_gradients_in_a_step")
class SGDInNumpy(OfALearner):
    """The step writes to the memory of weights that require gradients."""

    def move(self, param: Tensor, lr: float) -> None:
        assert param.grad is not None
        param.numpy()[...] -= lr * param.grad.numpy()


@seen_by("leaves_random_numbers_alone", lr=0.01)
class SGDSeedsTheGenerator(SGD):
    """The constructor seeds torch, for results that can be repeated."""

    def __init__(self, params: Any, lr: float = 0.01) -> None:
        torch.manual_seed(0)
        super().__init__(params, lr)


@seen_by("leaves_random_numbers_alone", lr=0.01)
class SGDDrawsNoiseOfNoStrength(SGD):
    """Noise is drawn, also at a temperature of 0."""

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        loss = super().step(closure)
        for group in self.param_groups:
            for param in group["params"]:
                param.add_(torch.randn_like(param), alpha=0.0)
        return loss


@seen_by("leaves_random_numbers_alone", lr=0.01)
class SGDThrowsDice(SGD):
    """Python's generator decides when to do what need not be done."""

    def prepare_update(self, param: Tensor, group: dict[str, Any]) -> Prepared:
        if random.random() < 0.1:
            param.grad = None if param.grad is None else param.grad.clone()
        return super().prepare_update(param, group)


@seen_by("prints_nothing")
class SGDAnnouncesItself(SGD):
    """The constructor prints its settings."""

    def __init__(self, params: Any, lr: float = 0.01) -> None:
        super().__init__(params, lr)
        print(f"SGD with lr={lr}")  # noqa: T201 - the defect


@seen_by("prints_nothing", lr=0.01)
class SGDReportsToStderr(SGD):
    """Every update is reported."""

    def prepare_update(self, param: Tensor, group: dict[str, Any]) -> Prepared:
        sys.stderr.write(f"{tuple(param.shape)}\n")
        return super().prepare_update(param, group)


@seen_by("leaves_the_settings_of_torch_alone")
class SGDWantsFloat64(SGD):
    """The constructor changes the default dtype of torch."""

    def __init__(self, params: Any, lr: float = 0.01) -> None:
        torch.set_default_dtype(torch.float64)
        super().__init__(params, lr)


@seen_by("leaves_the_settings_of_torch_alone", lr=0.01)
class SGDLeavesGradientsDisabled(SGD):
    """The step disables gradients and does not enable them again."""

    def step(self, closure: Any = None) -> Any:
        loss = super().step(closure)
        torch.set_grad_enabled(False)
        return loss


@seen_by("leaves_the_settings_of_torch_alone", lr=0.01)
class SGDLeavesGradientsEnabled(SGD):
    """The step enables gradients at its end, also for a caller who had disabled them."""

    def step(self, closure: Any = None) -> Any:
        loss = super().step(closure)
        torch.set_grad_enabled(True)
        return loss


@seen_by("leaves_the_callers_groups_alone")
class SGDPopsTheName(SGD):
    """The constructor takes a key out of the caller's groups."""

    def __init__(self, params: Any, lr: float = 0.01) -> None:
        params = list(params)
        self.names = [group.pop("name", "") for group in params if isinstance(group, dict)]
        super().__init__(params, lr)


@seen_by("leaves_the_callers_groups_alone")
class SGDScalesTheCallersRate(SGD):
    """The constructor scales the rate in the dict of the caller."""

    def __init__(self, params: Any, lr: float = 0.01) -> None:
        params = list(params)
        for group in params:
            if isinstance(group, dict) and "lr" in group:
                group["lr"] *= 0.5
        super().__init__(params, lr * 0.5)
