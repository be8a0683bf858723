"""Mutants of types, of extreme values and of memory."""

# State holds values of any type.
# mypy: disable-error-code="no-any-return"

import itertools
import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from tests.support.mutants.registry import seen_by

HALF = (torch.bfloat16, torch.float16)


class Plain(Optimizer):
    """Descent along whatever `direction` makes of a gradient; the mutants replace that."""

    def __init__(self, params: Any, lr: float = 0.01, beta: float = 0.9) -> None:
        if lr < 0:
            raise ValueError(f"Invalid lr: {lr}")
        super().__init__(params, {"lr": lr, "beta": beta})

    def moving(self) -> Iterable[tuple[Any, Any]]:
        """Return the parameters that a step moves, each with its group."""
        groups = self.param_groups
        return [(p, group) for group in groups for p in group["params"] if p.grad is not None]

    def direction(self, param: Tensor, grad: Tensor, state: Any, group: Any) -> Tensor:
        """Return what is subtracted from a parameter, times the learning rate."""
        return grad

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for param, group in self.moving():
            move = self.direction(param, param.grad, self.state[param], group)
            param.sub_(group["lr"] * move)
        return loss


# Types.


@seen_by("takes_every_float_type")
class MomentumMixesTypes(Plain):
    """The buffer is float32, and lerp_ takes no gradient of another type (found in public)."""

    def direction(self, param: Tensor, grad: Tensor, state: Any, group: Any) -> Tensor:
        if not state:
            wide = torch.promote_types(param.dtype, torch.float32)
            state["buffer"] = torch.zeros_like(param, dtype=wide)
        state["buffer"].lerp_(grad, 1 - group["beta"])
        return state["buffer"].to(param.dtype)


@seen_by("takes_every_float_type", beta=0.999)
class MomentumDividesByZero(Plain):
    """0.999 is 1 in bfloat16, so the bias correction is 0 (found in a published Adai)."""

    def direction(self, param: Tensor, grad: Tensor, state: Any, group: Any) -> Tensor:
        if not state:
            state["buffer"], state["product"] = torch.zeros_like(param), torch.ones_like(param)
        state["product"].mul_(group["beta"])
        state["buffer"].lerp_(grad, 1 - group["beta"])
        return state["buffer"] / (1 - state["product"])


@seen_by("takes_every_float_type")
class SGDComputesInFloat32(Plain):
    """Weights of any type are stepped on in float32."""

    def direction(self, param: Tensor, grad: Tensor, state: Any, group: Any) -> Tensor:
        param.copy_(param.float() - group["lr"] * grad.float())
        return torch.zeros_like(param)


@seen_by("keeps_the_type_of_weights")
class SGDPromotesFloat16(Plain):
    """Weights of float16 are replaced by wider ones."""

    def direction(self, param: Tensor, grad: Tensor, state: Any, group: Any) -> Tensor:
        if param.dtype == torch.float16:
            param.data = param.data.float()
        return grad


@seen_by("moves_weights_of_half_precision")
class SGDForgetsToCopyBack(Plain):
    """Half weights are stepped on in a float32 copy, which is dropped."""

    def direction(self, param: Tensor, grad: Tensor, state: Any, group: Any) -> Tensor:
        if param.dtype not in HALF:
            return grad
        param.float().sub_(group["lr"] * grad.float())
        return torch.zeros_like(param)


@seen_by("moves_weights_of_half_precision", lr=1e-3, beta=0.999)
class RMSpropCorrectsByZero(Plain):
    """0.999 is 1 in bfloat16, so the corrected mean square is infinite, and the step is 0."""

    def direction(self, param: Tensor, grad: Tensor, state: Any, group: Any) -> Tensor:
        if not state:
            state["square"], state["product"] = torch.zeros_like(param), torch.ones_like(param)
        state["product"].mul_(group["beta"])
        state["square"].lerp_(grad.square(), 1 - group["beta"])
        return grad / (state["square"] / (1 - state["product"])).sqrt().add_(1e-4)


@seen_by("resumes_in_bfloat16")
class MomentumLosesItsPrecision(Plain):
    """The buffer is float32 beside half weights, and loading makes it half."""

    def direction(self, param: Tensor, grad: Tensor, state: Any, group: Any) -> Tensor:
        if not state:
            wide = torch.promote_types(param.dtype, torch.float32)
            state["buffer"] = torch.zeros_like(param, dtype=wide)
        return state["buffer"].mul_(group["beta"]).add_(grad).to(param.dtype)


@seen_by("resumes_in_bfloat16")
class SGDKeepsMasterWeightsToItself(Plain):
    """The float32 copy of half weights is an attribute, which no state dict holds."""

    def direction(self, param: Tensor, grad: Tensor, state: Any, group: Any) -> Tensor:
        if param.dtype not in HALF:
            return grad
        masters: dict[Tensor, Tensor] = self.__dict__.setdefault("masters", {})
        master = masters.setdefault(param, param.float())
        param.copy_(master.sub_(group["lr"] * grad.float()))
        return torch.zeros_like(param)


class _Counting(Plain):
    """SGD with a rate that falls with the square root of a count."""

    name = "step"

    def zero(self, param: Tensor) -> Tensor:
        """Return the count of a new parameter."""
        return torch.zeros((), dtype=torch.float32)

    def direction(self, param: Tensor, grad: Tensor, state: Any, group: Any) -> Tensor:
        if not state:
            state[self.name] = self.zero(param)
        state[self.name] += 1
        return grad / state[self.name].to(param.dtype).sqrt()


@seen_by("counts_every_step_of_half_precision_models")
class SGDCountsInTheTypeOfTheWeights(_Counting):
    """The count is a tensor of the type of the weights: 256 + 1 is 256 in bfloat16."""

    def zero(self, param: Tensor) -> Tensor:
        return param.new_zeros(())


@seen_by("counts_every_step_of_half_precision_models")
class SGDCountsForEveryWeight(_Counting):
    """The count is as large as the parameter, and of its type."""

    def zero(self, param: Tensor) -> Tensor:
        return torch.zeros_like(param)


@seen_by("counts_every_step_of_half_precision_models")
class SGDCountsUnderAnotherName(_Counting):
    """The count is float32, but torch's load_state_dict spares `step` alone from a cast."""

    name = "iteration"


# Extreme values.


@seen_by("keeps_nan_in_its_parameter")
class SGDReturnsAtANan(Plain):
    """A nan ends the step, after the parameters before it have moved."""

    def moving(self) -> Iterable[tuple[Any, Any]]:
        return itertools.takewhile(lambda pair: not pair[0].grad.isnan().any(), super().moving())


@seen_by("keeps_nan_in_its_parameter")
class SGDScalesByANan(Plain):
    """Rare large gradients are clipped by the norm of all, and any factor times nan is nan."""

    def direction(self, param: Tensor, grad: Tensor, state: Any, group: Any) -> Tensor:
        norms = [each.grad.norm() for each, _ in self.moving()]
        return grad * (1e9 / torch.stack(norms).norm()).clamp(max=1.0)


@seen_by("survives_tiny_gradients")
class SGDDividesByARootOfZero(Plain):
    """Each gradient is divided by its root mean square, whose squares underflow."""

    def direction(self, param: Tensor, grad: Tensor, state: Any, group: Any) -> Tensor:
        square = grad.square().mean()
        return grad / square.sqrt() if bool(grad.any()) else grad


@seen_by("survives_tiny_gradients")
class SGDTrustsAnInfiniteRatio(Plain):
    """The step is as long as the weights, times the quotient of two squared norms."""

    def direction(self, param: Tensor, grad: Tensor, state: Any, group: Any) -> Tensor:
        if not bool(grad.any()):
            return grad
        ratio = param.square().sum() / grad.square().sum()
        return ratio.sqrt() * grad


@seen_by("survives_huge_gradients")
class SGDTakesFourthPowers(Plain):
    """The gradient is normalised by its fourth powers, which overflow."""

    def direction(self, param: Tensor, grad: Tensor, state: Any, group: Any) -> Tensor:
        return grad * grad.pow(4).sum() / (1e-8 + grad.pow(4).sum())


@seen_by("survives_huge_gradients")
class SGDMultipliesMatricesTwice(Plain):
    """The square of grad @ grad.T is divided by its size too late."""

    def direction(self, param: Tensor, grad: Tensor, state: Any, group: Any) -> Tensor:
        if grad.dim() != 2 or grad.numel() == 0:
            return grad
        square = grad @ grad.T
        return (square @ square) / (1e-8 + (square @ square).norm()) @ grad


@seen_by("survives_rows_of_zero_gradient")
class SGDNormalisesRows(Plain):
    """Each row is divided by its norm, which may be 0."""

    def direction(self, param: Tensor, grad: Tensor, state: Any, group: Any) -> Tensor:
        if grad.dim() < 2 or not bool(grad.any()):
            return grad
        return grad / grad.norm(dim=-1, keepdim=True)


@seen_by("survives_rows_of_zero_gradient")
class FactorsWithoutEps(Plain):
    """The second moment is a product of row and column means, which may be 0."""

    def direction(self, param: Tensor, grad: Tensor, state: Any, group: Any) -> Tensor:
        if grad.dim() != 2 or not bool(grad.any()):
            return grad
        square = grad.square()
        rows, columns = square.mean(dim=1, keepdim=True), square.mean(dim=0, keepdim=True)
        return grad / (rows * columns / square.mean()).sqrt()


# Memory.


@seen_by("needs_memory_in_proportion_to_the_parameters")
class KeepsAllProducts(Plain):
    """The state holds the product of every entry of the gradient with every other."""

    def direction(self, param: Tensor, grad: Tensor, state: Any, group: Any) -> Tensor:
        flat = grad.flatten()
        if not state:
            state["products"] = torch.zeros(len(flat), len(flat), dtype=flat.dtype)
        diagonal = state["products"].add_(torch.outer(flat, flat)).diagonal()
        return (flat / (diagonal.sqrt() + 1e-8)).view_as(grad)


@seen_by("needs_memory_in_proportion_to_the_parameters")
class ComparesAllEntries(Plain):
    """A step compares every entry of the gradient with every other, and keeps nothing."""

    def direction(self, param: Tensor, grad: Tensor, state: Any, group: Any) -> Tensor:
        flat = grad.abs().flatten()
        rank = (flat.unsqueeze(0) < flat.unsqueeze(1)).sum(dim=1)
        return (rank.to(grad.dtype) / math.prod(grad.shape)).view_as(grad) * grad


@seen_by("keeps_state_of_constant_size")
class SGDRemembersEveryNorm(Plain):
    """An attribute collects a number per step and parameter."""

    def direction(self, param: Tensor, grad: Tensor, state: Any, group: Any) -> Tensor:
        self.__dict__.setdefault("norms", []).append(grad.norm())
        return grad
