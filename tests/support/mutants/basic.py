"""Mutants of the rules, of groups, state, hooks and closures, and of finite sums."""

# Mutants forward the arguments of an update rule without naming all of them.
# mypy: disable-error-code="override"

import functools
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from catsdogs.optim import (
    SAGA,
    SGD,
    Adam,
    LinearSAGA,
    PublishedAdam,
    PublishedSGD,
    RMSprop,
)
from catsdogs.optim.adam import adam_update
from catsdogs.optim.compiled import apply_each
from catsdogs.optim.rmsprop import rmsprop_update
from catsdogs.optim.saga import saga_update
from catsdogs.optim.sgd import sgd_update
from tests.support.descent import Descent
from tests.support.mutants.registry import MUTANTS, Mutant, seen_by

Prepared = tuple[dict[str, Any], dict[str, Any]]  # arguments of the rule, and state to keep
PARITY = "equals_the_reference_in_float64"


# The formula.


@seen_by(PARITY, torch.optim.Adam)
class AdamEpsBeforeBiasCorrection(Adam):
    """eps is added to sqrt(v) before the bias correction."""

    @staticmethod
    def update_rule(
        param: Tensor, grad: Tensor, *, eps: float, bias_correction2_sqrt: float, **rest: Any
    ) -> None:
        adam_update(
            param,
            grad,
            eps=eps / bias_correction2_sqrt,
            bias_correction2_sqrt=bias_correction2_sqrt,
            **rest,
        )


@seen_by(PARITY, torch.optim.Adam)
class AdamEpsInsideTheRoot(Adam):
    """The denominator is sqrt(v + eps)."""

    @staticmethod
    def update_rule(
        param: Tensor, grad: Tensor, *, exp_avg_sq: Tensor, eps: float, **rest: Any
    ) -> None:
        # Adding eps to v and taking it off again leaves the state as it should be.
        b2, root = rest["beta2"], rest["bias_correction2_sqrt"]
        exp_avg_sq.add_(eps * root**2 / b2)
        adam_update(param, grad, exp_avg_sq=exp_avg_sq, eps=0.0, **rest)
        exp_avg_sq.sub_(eps * root**2)


@seen_by(PARITY, torch.optim.Adam)
class AdamStepOffByOne(Adam):
    """The bias correction uses t + 1."""

    def next_step(self, param: Tensor) -> int:
        return super().next_step(param) + 1

    def prepare_update(self, param: Tensor, group: dict[str, Any]) -> Prepared:
        arguments, state = super().prepare_update(param, group)
        return arguments, state | {"step": state["step"] - 1}


@seen_by(PARITY, torch.optim.Adam)
class AdamWithoutBiasCorrection(Adam):
    """The averages are not corrected for their start at zero."""

    def prepare_update(self, param: Tensor, group: dict[str, Any]) -> Prepared:
        arguments, state = super().prepare_update(param, group)
        return arguments | {"step_size": group["lr"], "bias_correction2_sqrt": 1.0}, state


@seen_by(PARITY, torch.optim.Adam)
class AdamSwappedBetas(Adam):
    """beta1 and beta2 are swapped."""

    def prepare_update(self, param: Tensor, group: dict[str, Any]) -> Prepared:
        arguments, state = super().prepare_update(param, group)
        return arguments | {"beta1": arguments["beta2"], "beta2": arguments["beta1"]}, state


@seen_by(PARITY, torch.optim.Adam)
class AdamFloat32State(Adam):
    """The averages are float32 for weights of any dtype."""

    def prepare_update(self, param: Tensor, group: dict[str, Any]) -> Prepared:
        arguments, state = super().prepare_update(param, group)
        for name in ("exp_avg", "exp_avg_sq"):
            arguments[name].copy_(arguments[name].float())
        return arguments, state


@seen_by(PARITY, torch.optim.SGD, lr=0.01, momentum=0.9, dampening=0.3)
class MomentumDampsTheFirstGradient(SGD):
    """The first gradient enters the buffer with 1 - dampening."""

    def prepare_update(self, param: Tensor, group: dict[str, Any]) -> Prepared:
        arguments, state = super().prepare_update(param, group)
        return arguments | {"dampening": group["dampening"]}, state


@seen_by(PARITY, torch.optim.SGD, lr=0.01, momentum=0.9, nesterov=True)
class NesterovWithoutTheGradient(SGD):
    """Nesterov steps along the buffer alone."""

    def prepare_update(self, param: Tensor, group: dict[str, Any]) -> Prepared:
        arguments, state = super().prepare_update(param, group)
        return arguments | {"nesterov": False}, state


@seen_by(PARITY, torch.optim.SGD, lr=0.01, momentum=0.9)
class MomentumStartsAtTheWeights(SGD):
    """The buffer starts as a copy of the weights (found in a published SGDW)."""

    def prepare_update(self, param: Tensor, group: dict[str, Any]) -> Prepared:
        arguments, state = super().prepare_update(param, group)
        if param not in self.state:
            arguments["momentum_buffer"].copy_(param)
        return arguments, state


@seen_by(PARITY, torch.optim.SGD, lr=0.01, momentum=0.9)
class MomentumByInterpolation(SGD):
    """buf.lerp_(grad, 1 - dampening): no momentum at all (found in a published SGDW)."""

    @staticmethod
    def update_rule(param: Tensor, grad: Tensor, **rest: Any) -> None:
        sgd_update(param, grad, **rest | {"momentum": rest["dampening"]})


@seen_by(PARITY, torch.optim.RMSprop)
class RMSpropEpsInsideTheRoot(RMSprop):
    """The denominator is sqrt(v + eps)."""

    @staticmethod
    def update_rule(param: Tensor, grad: Tensor, **rest: Any) -> None:
        average, alpha, eps = rest["square_avg"], rest["alpha"], rest["eps"]
        average.add_(eps / alpha)
        rmsprop_update(param, grad, **rest | {"eps": 0.0})
        average.sub_(eps)


@seen_by(PARITY, torch.optim.RMSprop, centered=True)
class RMSpropForgetsToCenter(RMSprop):
    """The mean of the gradient is kept but never subtracted."""

    @staticmethod
    def update_rule(param: Tensor, grad: Tensor, **rest: Any) -> None:
        rest["grad_avg"].lerp_(grad, 1 - rest["alpha"])
        rmsprop_update(param, grad, **rest | {"grad_avg": None})


@seen_by(PARITY, torch.optim.SGD, lr=0.01)
class SGDSkipsScalars(SGD):
    """Parameters without dimensions are not updated."""

    def prepare_update(self, param: Tensor, group: dict[str, Any]) -> Prepared:
        arguments, state = super().prepare_update(param, group)
        return arguments | ({"lr": 0.0} if param.dim() == 0 else {}), state


@seen_by("goes_downhill", lr=0.01)
class SGDGoesUp(SGD):
    """The sign of the step is wrong."""

    @staticmethod
    def update_rule(param: Tensor, grad: Tensor, **rest: Any) -> None:
        sgd_update(param, -grad, **rest)


# Weight decay and maximize.


@seen_by("decays_weights_in_one_of_the_known_ways", lr=0.01)
class SGDDecaysUpwards(SGD):
    """Weight decay has the wrong sign."""

    @staticmethod
    def update_rule(param: Tensor, grad: Tensor, **rest: Any) -> None:
        sgd_update(param, grad, **rest | {"weight_decay": -(rest["weight_decay"] or 0)})


@seen_by("decays_weights_in_one_of_the_known_ways", lr=0.01)
class SGDIgnoresWeightDecay(SGD):
    """Weight decay is accepted but not used."""

    @staticmethod
    def update_rule(param: Tensor, grad: Tensor, **rest: Any) -> None:
        sgd_update(param, grad, **rest | {"weight_decay": None})


@seen_by("decays_weights_in_one_of_the_known_ways", lr=0.01)
class AdamDecaysTwice(Adam):
    """Weight decay is both a penalty and a shrinking."""

    @staticmethod
    def update_rule(param: Tensor, grad: Tensor, **rest: Any) -> None:
        param.mul_(1 - 0.01 * (rest["weight_decay"] or 0))
        adam_update(param, grad, **rest)


@seen_by("climbs_with_maximize", lr=0.01)
class SGDIgnoresMaximize(SGD):
    """maximize is accepted but not used."""

    @staticmethod
    def update_rule(param: Tensor, grad: Tensor, **rest: Any) -> None:
        sgd_update(param, grad, **rest)

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        return super().step(closure)

    def _prepare_updates(self, step_inputs: dict[str, Any]) -> Any:
        return [update._replace(maximize=False) for update in super()._prepare_updates(step_inputs)]


@seen_by("climbs_with_maximize", lr=0.01)
class SGDMaximizesThePenalty(SGD):
    """maximize negates weight decay too."""

    def prepare_update(self, param: Tensor, group: dict[str, Any]) -> Prepared:
        sign = -1 if group["maximize"] else 1
        arguments, state = super().prepare_update(param, group)
        return arguments | {"weight_decay": sign * (arguments["weight_decay"] or 0)}, state


# Hyperparameters.


@seen_by("honours_the_settings_of_each_group", lr=0.01)
class SGDIgnoresTheGroup(SGD):
    """lr is read from the defaults."""

    def prepare_update(self, param: Tensor, group: dict[str, Any]) -> Prepared:
        arguments, state = super().prepare_update(param, group)
        return arguments | {"lr": float(self.defaults["lr"])}, state


@seen_by("honours_the_settings_of_each_group", lr=0.01)
class SGDFirstGroupForAll(SGD):
    """The first group's lr is used for every group."""

    def prepare_update(self, param: Tensor, group: dict[str, Any]) -> Prepared:
        return super().prepare_update(param, self.param_groups[0])


@seen_by("reads_the_group_at_every_step", lr=0.01)
class SGDCachesItsGroups(SGD):
    """Hyperparameters are copied when a group is added."""

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        super().add_param_group(param_group)
        group = self.param_groups[-1]
        cached = {**group, "lr": float(group["lr"])}
        self.cached = [*getattr(self, "cached", []), (group["params"], cached)]

    def prepare_update(self, param: Tensor, group: dict[str, Any]) -> Prepared:
        for params, cached in self.cached:
            if any(param is other for other in params):
                return super().prepare_update(param, cached)
        return super().prepare_update(param, group)


@seen_by("reads_the_group_at_every_step")
class AdamCachesBetas(Adam):
    """betas are stored on the object."""

    def __init__(self, params: Any, betas: Any = (0.9, 0.999), **rest: Any) -> None:
        self.betas = betas
        super().__init__(params, betas=betas, **rest)

    def prepare_update(self, param: Tensor, group: dict[str, Any]) -> Prepared:
        return super().prepare_update(param, {**group, "betas": self.betas})


@functools.cache
def _complement(betas: tuple[float, float]) -> tuple[float, float]:
    return betas


@seen_by("takes_betas_as_a_list")
class AdamHashesBetas(Adam):
    """betas are the key of a cache, so a list raises TypeError."""

    def __init__(self, params: Any, betas: Any = (0.9, 0.999), **rest: Any) -> None:
        super().__init__(params, betas=_complement(betas), **rest)


@seen_by("takes_a_tensor_as_learning_rate", lr=0.01)
class SGDDecaysATensorRate(SGD):
    """A tensor lr is changed in place."""

    def prepare_update(self, param: Tensor, group: dict[str, Any]) -> Prepared:
        if isinstance(group["lr"], Tensor):
            group["lr"].mul_(0.99)
        return super().prepare_update(param, group)


@seen_by("leaves_hyperparameters_alone", lr=0.01)
class SGDDecaysItsRate(SGD):
    """The step multiplies the group's lr by 0.99."""

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        loss = super().step(closure)
        for group in self.param_groups:
            group["lr"] = group["lr"] * 0.99
        return loss


@seen_by("refuses_a_negative_learning_rate")
class SGDTakesAnyRate(Descent):
    """Hyperparameters are not checked."""

    def __init__(self, params: Any, lr: float = 0.01) -> None:
        Optimizer.__init__(self, params, {"lr": lr})


@seen_by("refuses_other_bad_hyperparameters")
class AdamTakesAnyBetas(Adam):
    """betas are not checked."""

    def __init__(self, params: Any, betas: Any = (0.9, 0.999), **rest: Any) -> None:
        super().__init__(params, **rest)
        for group in self.param_groups:
            group["betas"] = tuple(betas)
        self.defaults["betas"] = tuple(betas)


@seen_by("refuses_what_is_no_parameter_list", lr=0.01)
class SGDTakesABareTensor(SGD):
    """A bare tensor is accepted as a list of one."""

    def __init__(self, params: Any, lr: float) -> None:
        super().__init__([params] if isinstance(params, Tensor) else params, lr=lr)


@seen_by("takes_named_parameters", lr=0.01)
class SGDDropsNames(SGD):
    """The names of named parameters are discarded."""

    def __init__(self, params: Any, lr: float, **rest: Any) -> None:
        if not isinstance(params, Tensor):
            params = [entry[1] if isinstance(entry, tuple) else entry for entry in params]
        super().__init__(params, lr=lr, **rest)


@seen_by("takes_new_groups_during_training", lr=0.01)
class SGDForgetsNewGroups(SGD):
    """The parameters are listed once, at construction."""

    def __init__(self, params: Any, lr: float, **rest: Any) -> None:
        super().__init__(params, lr=lr, **rest)
        self.first = len(self.param_groups)

    def _prepare_updates(self, step_inputs: dict[str, Any]) -> Any:
        known = [id(p) for group in self.param_groups[: self.first] for p in group["params"]]
        return [
            update for update in super()._prepare_updates(step_inputs) if id(update.param) in known
        ]


@seen_by("takes_every_shape", lr=0.01)
class SGDNormalisesByTheLargest(SGD):
    """The largest entry of the gradient is computed, even of an empty one."""

    def prepare_update(self, param: Tensor, group: dict[str, Any]) -> Prepared:
        if param.grad is not None:
            param.grad.abs().max()
        return super().prepare_update(param, group)


@seen_by("prints_its_groups", lr=0.01)
class SGDPrintsItsName(SGD):
    """repr shows the class alone."""

    def __repr__(self) -> str:
        return "SGD()"


@seen_by("works_with_schedulers", lr=0.01)
class SGDRestoresItsRate(SGD):
    """Every step resets lr to the value that the scheduler started from."""

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        for group in self.param_groups:
            group["lr"] = group.get("initial_lr", group["lr"])
        return super().step(closure)


@seen_by("refuses_a_parameter_in_two_groups", lr=0.01)
class SGDSharesParameters(SGD):
    """A parameter may be in two groups and is updated twice."""

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        groups, self.param_groups = self.param_groups, []
        super().add_param_group(param_group)
        self.param_groups = [*groups, *self.param_groups]


# Side effects of a step.


@seen_by("leaves_gradients_alone", lr=0.01)
class SGDDecaysThroughTheGradient(SGD):
    """Weight decay is added to p.grad."""

    @staticmethod
    def update_rule(param: Tensor, grad: Tensor, **rest: Any) -> None:
        grad.add_(param, alpha=rest["weight_decay"] or 0)
        sgd_update(param, grad, **rest | {"weight_decay": None})


@seen_by("leaves_gradients_alone", lr=0.01)
class SGDNegatesTheGradient(SGD):
    """maximize negates p.grad in place."""

    def _prepare_updates(self, step_inputs: dict[str, Any]) -> Any:
        updates = super()._prepare_updates(step_inputs)
        for update in updates:
            if update.maximize:
                update.grad.neg_()
        return [update._replace(maximize=False) for update in updates]


@seen_by("leaves_gradients_alone", lr=0.01, momentum=0.9)
class MomentumInTheGradient(SGD):
    """The direction is built in p.grad (found in a published Muon)."""

    @staticmethod
    def update_rule(param: Tensor, grad: Tensor, **rest: Any) -> None:
        before = param.clone()
        sgd_update(param, grad, **rest)
        grad.copy_((before - param) / rest["lr"])


@seen_by("keeps_no_gradient", lr=0.01, momentum=0.9)
class MomentumKeepsTheGradient(SGD):
    """The first buffer is p.grad itself."""

    def prepare_update(self, param: Tensor, group: dict[str, Any]) -> Prepared:
        arguments, state = super().prepare_update(param, group)
        if param not in self.state and param.grad is not None and not param.grad.is_sparse:
            arguments |= {"momentum_buffer": param.grad, "momentum": 0.0}
            state["momentum_buffer"] = param.grad
        return arguments, state


@seen_by("skips_parameters_without_gradient")
class AdamGivesEveryParameterState(Adam):
    """A parameter without a gradient gets state."""

    def _prepare_updates(self, step_inputs: dict[str, Any]) -> Any:
        for group in self.param_groups:
            for param in group["params"]:
                if param.grad is None:
                    self.state[param].update(self.prepare_update(param, group)[1])
        return super()._prepare_updates(step_inputs)


@seen_by("continues_a_frozen_parameter", lr=0.01, momentum=0.9)
class MomentumTakesNoneForZero(SGD):
    """A missing gradient counts as zero once there is state."""

    def _prepare_updates(self, step_inputs: dict[str, Any]) -> Any:
        for group in self.param_groups:
            for param in group["params"]:
                if param.grad is None and self.state.get(param):
                    param.grad = torch.zeros_like(param)
        return super()._prepare_updates(step_inputs)


@seen_by("does_nothing_without_gradients")
class AdamCountsEveryCall(Adam):
    """The step counts of all parameters advance, with or without a gradient."""

    def _prepare_updates(self, step_inputs: dict[str, Any]) -> Any:
        for group in self.param_groups:
            for param in group["params"]:
                if param.grad is None and self.state.get(param):
                    self.state[param]["step"] += 1
        return super()._prepare_updates(step_inputs)


@seen_by("stands_still_on_a_zero_gradient", lr=0.01)
class SGDAddsNoise(SGD):
    """A constant is added to every gradient."""

    @staticmethod
    def update_rule(param: Tensor, grad: Tensor, **rest: Any) -> None:
        sgd_update(param, grad + 1e-6, **rest)


@seen_by("moves_each_parameter_by_itself")
class AdamPowersPerTensor(Adam):
    """The powers of beta advance once per tensor instead of once per step."""

    def prepare_update(self, param: Tensor, group: dict[str, Any]) -> Prepared:
        arguments, state = super().prepare_update(param, group)
        self.powers = getattr(self, "powers", 0) + 1
        beta1, beta2 = group["betas"]
        arguments |= {
            "step_size": float(group["lr"]) / (1 - beta1**self.powers),
            "bias_correction2_sqrt": (1 - beta2**self.powers) ** 0.5,
        }
        return arguments, state


@seen_by("moves_each_parameter_by_itself", lr=0.01)
class SGDNormalisesTogether(SGD):
    """Every gradient is divided by the norm of the last one."""

    def _prepare_updates(self, step_inputs: dict[str, Any]) -> Any:
        updates = super()._prepare_updates(step_inputs)
        if not updates or updates[-1].grad.is_sparse:
            return updates
        norm = updates[-1].grad.norm()
        return [update._replace(grad=update.grad / norm) for update in updates]


@seen_by("starts_a_late_parameter_from_its_own_first_step")
class AdamOneCountForAll(Adam):
    """All parameters share one step count, that of the oldest."""

    def next_step(self, param: Tensor) -> int:
        if param in self.state:
            return super().next_step(param)
        return max([state["step"] for state in self.state.values()], default=1)


@seen_by("moves_weights_in_place")
class SGDRebindsData(PublishedSGD):
    """p.data is bound to a new tensor."""

    def __init__(self, params: Any, lr: float = 0.01) -> None:
        super().__init__(params, lr)


@seen_by("shows_its_move_to_autograd", lr=0.01)
class SGDHidesBehindData(SGD):
    """The weights are updated through .data, unnoticed by autograd."""

    @staticmethod
    def update_rule(param: Tensor, grad: Tensor, **rest: Any) -> None:
        sgd_update(param.data, grad, **rest)


@seen_by("steps_outside_the_graph", lr=0.01, momentum=0.9)
class MomentumGrowsAGraph(SGD):
    """The buffer is computed with gradients enabled."""

    @staticmethod
    def update_rule(param: Tensor, grad: Tensor, **rest: Any) -> None:
        buffer = rest["momentum_buffer"]
        sgd_update(param, grad, **rest)
        buffer.requires_grad_()


@seen_by("takes_any_memory_layout", lr=0.01)
class SGDFlattens(SGD):
    """Weights and gradients are viewed flat."""

    @staticmethod
    def update_rule(param: Tensor, grad: Tensor, **rest: Any) -> None:
        flat = torch.as_strided(grad, param.size(), param.stride())
        sgd_update(param, flat if grad.dim() == 2 else grad, **rest)


@seen_by("keeps_the_type_of_weights", lr=0.01)
class SGDPromotesWeights(SGD):
    """Weights below float32 become float32."""

    @staticmethod
    def update_rule(param: Tensor, grad: Tensor, **rest: Any) -> None:
        sgd_update(param, grad, **rest)
        if param.dtype == torch.bfloat16:
            param.data = param.data.float()


@seen_by("steps_or_refuses_sparse_gradients", lr=0.01)
class SGDMisreadsSparseGradients(SGD):
    """Sparse gradients are silently ignored."""

    def _refuse_unsupported_tensors(self, param: Tensor, grad: Tensor) -> None:
        if grad.is_sparse:
            grad.zero_()


@seen_by("steps_or_refuses_complex_parameters")
class AdamSquaresComplexGradients(Adam):
    """Complex gradients are squared as complex numbers."""

    def _refuse_unsupported_tensors(self, param: Tensor, grad: Tensor) -> None:
        return


@seen_by("works_under_a_gradient_scaler", lr=0.01)
class SGDPromisesToUnscale(SGD):
    """It declares to GradScaler that it unscales gradients, and does not."""

    _step_supports_amp_scaling = True


@seen_by("gives_the_same_bits_twice", lr=0.01, momentum=0.9)
class MomentumStartsAnywhere(SGD):
    """The buffer starts as uninitialised memory."""

    def prepare_update(self, param: Tensor, group: dict[str, Any]) -> Prepared:
        arguments, state = super().prepare_update(param, group)
        if param not in self.state:
            empty = torch.empty_like(param)
            buffer = empty if bool(empty.isnan().any()) else torch.zeros_like(param)
            arguments["momentum_buffer"] = state["momentum_buffer"] = buffer
        return arguments, state


# The closure and the hooks.


class ClosureMutant(SGD):
    """SGD whose closure handling a mutant replaces."""

    def evaluate(self, closure: Callable[[], Any]) -> Any:
        """Run the closure."""
        with torch.enable_grad():
            return closure()

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        loss = None if closure is None else self.evaluate(closure)
        list(apply_each(type(self).update_rule, self._prepare_updates({})))
        return loss


@seen_by("runs_the_closure_once_with_gradients_on", lr=0.01)
class ClosureWithoutGrad(ClosureMutant):
    """The closure runs with gradients disabled."""

    def evaluate(self, closure: Callable[[], Any]) -> Any:
        return closure()


@seen_by("runs_the_closure_once_with_gradients_on", lr=0.01)
class ClosureTwice(ClosureMutant):
    """The closure runs twice."""

    def evaluate(self, closure: Callable[[], Any]) -> Any:
        super().evaluate(closure)
        return super().evaluate(closure)


@seen_by("runs_the_closure_once_with_gradients_on", lr=0.01)
class ClosureValueLost(ClosureMutant):
    """The closure's value is not returned."""

    def evaluate(self, closure: Callable[[], Any]) -> Any:
        super().evaluate(closure)


@seen_by("runs_the_closure_once_with_gradients_on", lr=0.01)
class GradientsReadBeforeTheClosure(SGD):
    """The gradients are gathered before the closure computes them."""

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        updates = self._prepare_updates({})
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        list(apply_each(type(self).update_rule, updates))
        return loss


@seen_by("returns_none_without_a_closure", lr=0.01)
class SGDReturnsZero(SGD):
    """A step without a closure returns 0."""

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        loss = super().step(closure)
        return 0.0 if loss is None else loss


@seen_by("runs_step_hooks", lr=0.01)
class SGDBypassesHooks(SGD):
    """step is replaced on the object, which bypasses the wrapper that runs hooks."""

    def __init__(self, params: Any, **rest: Any) -> None:
        super().__init__(params, **rest)
        self.step = self.bare_step  # type: ignore[method-assign, assignment]

    @torch.no_grad()
    def bare_step(self, closure: Any = None) -> Any:
        """Step without hooks."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        list(apply_each(type(self).update_rule, self._prepare_updates({})))
        return loss


@seen_by("clears_gradients")
class AdamForgetsOnZeroGrad(Adam):
    """zero_grad clears the state too."""

    def zero_grad(self, set_to_none: bool = True) -> None:
        super().zero_grad(set_to_none)
        self.state.clear()


# State.


@seen_by("resumes_from_a_state_dict")
class AdamKeepsStateOnItself(Adam):
    """State is an attribute of the object, so the state dict is empty."""

    def __init__(self, params: Any, **rest: Any) -> None:
        super().__init__(params, **rest)
        self.hidden: dict[Tensor, Any] = {}

    def prepare_update(self, param: Tensor, group: dict[str, Any]) -> Prepared:
        self.state[param] = self.hidden.get(param, {})
        arguments, self.hidden[param] = super().prepare_update(param, group)
        del self.state[param]
        return arguments, {}


@seen_by("resumes_from_a_file")
class AdamKeepsAnObject(Adam):
    """The state contains an object that a weights-only load refuses."""

    def prepare_update(self, param: Tensor, group: dict[str, Any]) -> Prepared:
        arguments, state = super().prepare_update(param, group)
        return arguments, state | {"name": Mutant(Adam, "none")}


@seen_by("resumes_from_a_state_dict")
class AdamStartsAgainAfterLoading(Adam):
    """Loading resets the step count."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        for state in self.state.values():
            state["step"] = 0


@seen_by("survives_deepcopy")
class SGDWithAnAttribute(SGD):
    """A setting is an attribute of the object, which a copy of an optimizer lacks."""

    def __init__(self, params: Any, lr: float = 0.01, factor: float = 0.5, **rest: Any) -> None:
        super().__init__(params, lr=lr, **rest)
        self.factor = factor

    def prepare_update(self, param: Tensor, group: dict[str, Any]) -> Prepared:
        arguments, state = super().prepare_update(param, group)
        return arguments | {"lr": self.factor * arguments["lr"]}, state


@seen_by("resumes_from_a_file", lr=0.01)
class SGDWithALambda(SGD):
    """The group holds an object that cannot be pickled."""

    def __init__(self, params: Any, **rest: Any) -> None:
        super().__init__(params, **rest)
        self.param_groups[0]["transform"] = _Unpicklable()


class _Unpicklable:
    def __reduce__(self) -> Any:
        raise TypeError("cannot be pickled")

    def __deepcopy__(self, memo: Any) -> "_Unpicklable":
        return self


@seen_by("loads_state_as_it_was_saved")
class AdamCountsInATensor(Adam):
    """An int64 tensor in the state, which loading casts to the type of the weights."""

    def prepare_update(self, param: Tensor, group: dict[str, Any]) -> Prepared:
        arguments, state = super().prepare_update(param, group)
        return arguments, state | {"seen": torch.tensor(state["step"])}


@seen_by("loads_state_as_it_was_saved")
class AdamKeepsAMask(Adam):
    """A bool tensor in the state, which loading casts to the type of the weights."""

    def prepare_update(self, param: Tensor, group: dict[str, Any]) -> Prepared:
        arguments, state = super().prepare_update(param, group)
        return arguments, state | {"positive": param > 0}


@seen_by("loads_hyperparameters_with_the_state")
class SGDKeepsItsOwnSettings(SGD):
    """Loading restores the state but not the hyperparameters."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        before = [{k: v for k, v in group.items() if k != "params"} for group in self.param_groups]
        super().load_state_dict(state_dict)
        for group, own in zip(self.param_groups, before, strict=True):
            group.update(own)


@seen_by("loads_without_tying_to_the_source")
class AdamLoadsByReference(Adam):
    """Loading shares the given state instead of copying it."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        for param, index in zip(self._params(), range(len(state_dict["state"])), strict=False):
            self.state[param] = state_dict["state"][index]

    def _params(self) -> Iterator[Tensor]:
        return (param for group in self.param_groups for param in group["params"])


@seen_by("loads_without_tying_to_the_source")
class SGDEmptiesTheGivenDict(SGD):
    """Loading removes entries from the given dict."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        for group in state_dict["param_groups"]:
            group.pop("maximize", None)


@seen_by("loads_state_into_another_type")
class AdamKeepsItsOldType(Adam):
    """Loading restores the dtype that the state was saved in."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        for state, given in zip(self.state.values(), state_dict["state"].values(), strict=False):
            for name in ("exp_avg", "exp_avg_sq"):
                state[name] = state[name].to(given[name].dtype)


@seen_by("refuses_a_state_dict_of_another_shape", lr=0.01)
class SGDLoadsAnything(SGD):
    """A state dict that does not fit is silently ignored."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        try:
            super().load_state_dict(state_dict)
        except ValueError:
            return


@seen_by("loads_a_checkpoint_without_flags")
class SGDRestoresTheWrongDefault(Optimizer):
    """Loading a checkpoint that is older than an option switches the option on."""

    def __init__(self, params: Any, lr: float = 0.01, maximize: bool = False) -> None:
        super().__init__(params, {"lr": lr, "maximize": maximize})

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        for group in self.param_groups:
            group.setdefault("maximize", True)

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        for group in self.param_groups:
            sign = 1 if group["maximize"] else -1
            for param in group["params"]:
                if param.grad is not None:
                    param.add_(param.grad, alpha=sign * group["lr"])


@seen_by("runs_state_dict_hooks", lr=0.01)
class SGDSavesPastItsHooks(SGD):
    """state_dict is assembled by hand, without hooks."""

    def state_dict(self) -> dict[str, Any]:
        count = 0
        groups = []
        for group in self.param_groups:
            size = len(group["params"])
            groups.append({**group, "params": list(range(count, count + size))})
            count += size
        return {"state": {}, "param_groups": groups}


@seen_by("keeps_state_of_constant_size", lr=0.01, momentum=0.9)
class MomentumKeepsItsHistory(SGD):
    """Every step's norm is appended to the state."""

    def prepare_update(self, param: Tensor, group: dict[str, Any]) -> Prepared:
        arguments, state = super().prepare_update(param, group)
        return arguments, state | {"norms": [*self.state.get(param, {}).get("norms", []), 0.0]}


# The table of SAGA.

BLOCKS: dict[str, Any] = {"lr": 0.01, "block_sizes": (8, 8, 8, 4)}
CORRECTS = "corrects_by_the_last_gradient_of_the_block"


@seen_by(CORRECTS, **BLOCKS)
class SAGAWithTheWrongSign(SAGA):
    """The stored gradient is added and the new one subtracted (found in a published SAGA)."""

    def prepare_update(self, param: Tensor, group: dict[str, Any], *, block: int) -> Prepared:
        arguments, state = super().prepare_update(param, group, block=block)
        return arguments | {"correction": -arguments["correction"]}, state


@seen_by(CORRECTS, **BLOCKS)
class SAGAKeyedByPosition(SAGA):
    """The table is keyed by the position of the step in the epoch."""

    def prepare_update(self, param: Tensor, group: dict[str, Any], *, block: int) -> Prepared:
        position = self.state.get(param, {}).get("position", 0)
        at = position % len(group["block_sizes"])
        arguments, state = super().prepare_update(param, group, block=at)
        return arguments, state | {"position": position + 1}


@seen_by("reaches_the_least_squares_solution", **BLOCKS)
class SAGAWithOneRow(SAGA):
    """One previous gradient is stored for all blocks (found in several published SAGAs)."""

    def prepare_update(self, param: Tensor, group: dict[str, Any], *, block: int) -> Prepared:
        return super().prepare_update(param, group, block=0)


@seen_by("reaches_the_least_squares_solution", **BLOCKS)
class SAGAOnReshuffledBlocks(SAGA):
    """A block has other samples in the next epoch."""

    def prepare_update(self, param: Tensor, group: dict[str, Any], *, block: int) -> Prepared:
        visits, count = self.state.get(param, {}).get("visits", 0), len(group["block_sizes"])
        other = (block + visits // count) % count
        arguments, state = super().prepare_update(param, group, block=other)
        return arguments, state | {"visits": visits + 1}


@seen_by(CORRECTS, **BLOCKS)
class SAGAMovesTheMeanFirst(SAGA):
    """The mean is updated by the new gradient before it is used."""

    @staticmethod
    def update_rule(param: Tensor, grad: Tensor, **rest: Any) -> None:
        known = rest["row"] if rest["seen"] else rest["mean"]
        ahead = rest["lr"] * rest["share"] * (grad - known)
        saga_update(param, grad, **rest)
        param.sub_(ahead)


@seen_by(CORRECTS, **BLOCKS)
class SAGAFreezesItsMean(SAGA):
    """The mean is computed in the first epoch and never updated."""

    def prepare_update(self, param: Tensor, group: dict[str, Any], *, block: int) -> Prepared:
        arguments, state = super().prepare_update(param, group, block=block)
        return arguments | ({"share": 0.0} if arguments["seen"] else {}), state


@seen_by(CORRECTS, **BLOCKS)
class SAGACountsBlocksAsEqual(SAGA):
    """The smaller last block counts like the others."""

    def prepare_update(self, param: Tensor, group: dict[str, Any], *, block: int) -> Prepared:
        equal = group | {"block_sizes": (8, 8, 8, 8)}
        return super().prepare_update(param, equal, block=block)


@seen_by(CORRECTS, **BLOCKS)
class SAGADividesByAllFromTheStart(SAGA):
    """An unseen block stands for the mean of the seen, but the mean is divided by all blocks."""

    def prepare_update(self, param: Tensor, group: dict[str, Any], *, block: int) -> Prepared:
        sizes = group["block_sizes"]
        arguments, state = super().prepare_update(param, group, block=block)
        return arguments | {"share": sizes[block] / sum(sizes)}, state


@seen_by("refuses_a_gradient_of_unknown_origin", **BLOCKS)
class SAGAGuessesItsBlock(SAGA):
    """A step without a block uses block 0."""

    def step(self, closure: Any = None, *, block: int | None = 0) -> Any:
        return super().step(closure, block=block)


@seen_by("loads_state_as_it_was_saved", table_dtype=torch.float16, **BLOCKS)
class SAGALosesItsTableType(SAGA):
    """The table is loaded by torch, which casts it to the dtype of the weights."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super(SAGA, self).load_state_dict(state_dict)


@seen_by("loads_state_as_it_was_saved", **BLOCKS)
class SAGAMarksSeenInATensor(SAGA):
    """Seen blocks are marked in a bool tensor, which loading casts to the dtype of the weights."""

    def prepare_update(self, param: Tensor, group: dict[str, Any], *, block: int) -> Prepared:
        arguments, state = super().prepare_update(param, group, block=block)
        seen = bool(arguments["seen"])
        return arguments | {"seen": seen}, state | {"seen": torch.as_tensor(state["seen"])}


@seen_by("keeps_no_gradient", **BLOCKS)
class SAGAKeepsTheGradient(SAGA):
    """The mean starts as the gradient itself."""

    def prepare_update(self, param: Tensor, group: dict[str, Any], *, block: int) -> Prepared:
        arguments, state = super().prepare_update(param, group, block=block)
        if param not in self.state and param.grad is not None:
            arguments |= {"mean": param.grad, "share": 0.0}
            state["mean"] = param.grad
        return arguments, state


# The table of slopes.

SAMPLES: dict[str, Any] = {"lr": 0.01, "num_samples": 28}


@seen_by("reaches_the_least_squares_solution", **SAMPLES)
class LinearSAGAWithoutCorrection(LinearSAGA):
    """The table is filled and its mean followed, without a correction by stored slopes."""

    def prepare_update(self, param: Tensor, group: dict[str, Any], **batch: Any) -> Prepared:
        arguments, state = super().prepare_update(param, group, **batch)
        return arguments | {"num_unseen": 0}, state


@seen_by(CORRECTS, **SAMPLES)
class LinearSAGADividesByAllFromTheStart(LinearSAGA):
    """An unseen sample stands for the mean of the seen, but the mean is divided by all samples."""

    def prepare_update(self, param: Tensor, group: dict[str, Any], **batch: Any) -> Prepared:
        arguments, state = super().prepare_update(param, group, **batch)
        return arguments | {"num_seen": group["num_samples"]}, state


@seen_by("refuses_a_gradient_of_unknown_origin", **SAMPLES)
class LinearSAGACountsFromTheEnd(LinearSAGA):
    """A negative sample index counts from the end."""

    def step(self, closure: Any = None, *, samples: Any = None, **rest: Any) -> None:
        known = None if samples is None else samples % self.param_groups[0]["num_samples"]
        super().step(closure, samples=known, **rest)


@seen_by("loads_state_as_it_was_saved", **SAMPLES)
class LinearSAGALosesItsTable(LinearSAGA):
    """Loading creates an empty table beside the loaded mean."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        for state in self.state.values():
            if "table" in state:
                state["table"].fill_(torch.nan)


# The exhibits.

MUTANTS["published_sgd"] = Mutant(
    functools.partial(PublishedSGD, lr=0.01), "honours_the_settings_of_each_group"
)
MUTANTS["published_adam"] = Mutant(
    functools.partial(PublishedAdam, lr=0.01), "moves_each_parameter_by_itself"
)
