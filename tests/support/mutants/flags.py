"""Mutants of options."""

# Mutants forward the arguments of an update rule without naming all of them.
# mypy: disable-error-code="override"

from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from catsdogs.optim import SGD, Adam
from catsdogs.optim.sgd import sgd_update
from tests.support.mutants.registry import seen_by

Prepared = tuple[dict[str, Any], dict[str, Any]]  # arguments of the rule, and state to keep


class _AdamWithOptions(Adam):
    """Adam that accepts every option; none changes a number."""

    unsupported = ()  # type: ignore[assignment]


class _SGDWithOptions(SGD):
    """SGD that accepts every option; none changes a number."""

    unsupported = ()  # type: ignore[assignment]


@seen_by("gives_the_same_numbers_with_foreach")
class AdamForeachCountsForAll(_AdamWithOptions):
    """With foreach, the oldest parameter's step count is used for all of them."""

    def next_step(self, param: Tensor) -> int:
        if not self.param_groups[0]["foreach"]:
            return super().next_step(param)
        return 1 + max((int(each.get("step", 0)) for each in self.state.values()), default=0)


@seen_by("gives_the_same_numbers_with_foreach", lr=0.01)
class SGDForeachForgetsMaximize(_SGDWithOptions):
    """maximize is written into the loop alone."""

    def _prepare_updates(self, step_inputs: dict[str, Any]) -> Any:
        foreach = self.param_groups[0]["foreach"]
        return [
            update._replace(maximize=update.maximize and not foreach)
            for update in super()._prepare_updates(step_inputs)
        ]


@seen_by("gives_the_same_numbers_with_fused")
class AdamFusedIsAdamW(_AdamWithOptions):
    """The fused kernel is that of AdamW."""

    def prepare_update(self, param: Tensor, group: dict[str, Any]) -> Prepared:
        decoupled = {"decoupled_weight_decay": True} if group["fused"] else {}
        return super().prepare_update(param, group | decoupled)


@seen_by("gives_the_same_numbers_with_fused", lr=0.01)
class SGDFusedRoundsGradients(_SGDWithOptions):
    """The fused kernel reads gradients in bfloat16."""

    def _prepare_updates(self, step_inputs: dict[str, Any]) -> Any:
        updates = super()._prepare_updates(step_inputs)
        if not self.param_groups[0]["fused"]:
            return updates
        return [each._replace(grad=each.grad.bfloat16().to(each.grad)) for each in updates]


@seen_by("gives_the_same_numbers_with_capturable")
class AdamCapturableCountsTwice(_AdamWithOptions):
    """The count is increased on the device, and once more for the bias correction."""

    def prepare_update(self, param: Tensor, group: dict[str, Any]) -> Prepared:
        _, state = super().prepare_update(param, group)
        if group["capturable"]:
            beta1, beta2 = group["betas"]
            count = state["step"] + 1
            arguments, _ = super().prepare_update(param, group)
            arguments["step_size"] = group["lr"] / (1 - beta1**count)
            arguments["bias_correction2_sqrt"] = (1 - beta2**count) ** 0.5
            return arguments, state | {n: arguments[n] for n in ("exp_avg", "exp_avg_sq")}
        return super().prepare_update(param, group)


@seen_by("gives_the_same_numbers_with_capturable")
class AdamCapturableCorrectsNothing(_AdamWithOptions):
    """The bias is corrected in Python alone, and left as it is in a graph."""

    def prepare_update(self, param: Tensor, group: dict[str, Any]) -> Prepared:
        arguments, state = super().prepare_update(param, group)
        captured = {"step_size": group["lr"], "bias_correction2_sqrt": 1.0}
        return arguments | (captured if group["capturable"] else {}), state


@seen_by("keeps_the_largest_second_moment_with_amsgrad")
class AdamIgnoresAmsgrad(Adam):
    """amsgrad is accepted but not used."""

    def prepare_update(self, param: Tensor, group: dict[str, Any]) -> Prepared:
        return super().prepare_update(param, group | {"amsgrad": False})


@seen_by("keeps_the_largest_second_moment_with_amsgrad")
class AdamComparesTwoMoments(Adam):
    """amsgrad takes the larger of the last two second moments."""

    def prepare_update(self, param: Tensor, group: dict[str, Any]) -> Prepared:
        arguments, state = super().prepare_update(param, group)
        if group["amsgrad"]:
            arguments["max_exp_avg_sq"].copy_(arguments["exp_avg_sq"])
        return arguments, state


@seen_by("looks_ahead_with_nesterov", lr=0.01)
class SGDLooksAheadFromTheOldBuffer(SGD):
    """nesterov adds momentum times the buffer from before the step, which is plain momentum."""

    def prepare_update(self, param: Tensor, group: dict[str, Any]) -> Prepared:
        return super().prepare_update(param, group | {"nesterov": False})


@seen_by("looks_ahead_with_nesterov", lr=0.01)
class SGDLooksAheadWithoutTheGradient(SGD):
    """nesterov steps along momentum times the buffer."""

    @staticmethod
    def update_rule(param: Tensor, grad: Tensor, **rest: Any) -> None:
        ahead = {"lr": rest["lr"] * rest["momentum"]} if rest["nesterov"] else {}
        sgd_update(param, grad, **rest | {"nesterov": False} | ahead)


@seen_by("lets_gradients_flow_through_a_differentiable_step", lr=0.01)
class SGDRecordsNothing(_SGDWithOptions):
    """differentiable is accepted but not used."""


@seen_by("lets_gradients_flow_through_a_differentiable_step")
class NormalisedSGDDetachesTheNorm(Optimizer):
    """The norm of the gradient is a constant to autograd."""

    def __init__(self, params: Any, lr: float = 0.01, differentiable: bool = False) -> None:
        super().__init__(params, {"lr": lr, "differentiable": differentiable})

    def step(self, closure: Any = None) -> Any:
        for group in self.param_groups:
            with torch.set_grad_enabled(group["differentiable"]):
                for param in group["params"]:
                    if param.grad is not None:
                        param.add_(param.grad / param.grad.norm().item(), alpha=-group["lr"])
