"""Harness that builds an optimizer, drives it with known gradients and compares the weights.

Gradients are random numbers that depend only on the step and the parameter's index, never on the
weights. Runs that should be equal therefore are, and a wrong step cannot be hidden by a gradient
that follows it.
"""

import contextlib
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from catsdogs.contract.subject import BuildFrom, Factory, Shape, Subject
from catsdogs.optim.step_inputs import declared_step_inputs


class OptimizerHarness:
    """An optimizer that is known well enough to be driven, and what it should equal.

    Args:
        subject: The optimizer, as far as it is known.
        reference: Builds the optimizer that it should equal, if there is one.
    """

    def __init__(self, subject: Subject, reference: Factory | None = None) -> None:
        self.subject = subject
        self.reference = reference
        self.factory = subject.factory
        self.settings = subject.settings
        self.build_from: BuildFrom = subject.build_from
        self.shapes = subject.shapes
        self.dtype = subject.dtype
        self.tolerance = subject.tolerance
        self.step_inputs = subject.step_inputs

    def weights(
        self, shapes: Iterable[Shape] | None = None, dtype: torch.dtype | None = None
    ) -> list[Tensor]:
        """Return random weights, the same in every call.

        Args:
            shapes: Those that the optimizer steps on by default.
            dtype: Of all weights; that in which claims compare weights by default.
        """
        generator = torch.Generator().manual_seed(0)
        return [
            torch.randn(shape, generator=generator, dtype=torch.float64)
            .to(self.subject.device, dtype or self.dtype)
            .requires_grad_()
            for shape in (self.shapes if shapes is None else shapes)
        ]

    def build(self, params: Iterable[Any], **overrides: Any) -> Optimizer:
        """Build the optimizer with some hyperparameters overridden, ready for its first step."""
        return self._ready(self.factory(self._as_built_from(params), **overrides))

    def build_reference(self, params: Iterable[Any], **overrides: Any) -> Optimizer:
        """Build the reference with some hyperparameters overridden, ready for its first step."""
        assert self.reference is not None
        return self._ready(self.reference(params, **overrides))

    def _ready(self, optimizer: Optimizer) -> Optimizer:
        if self.subject.prepare is not None:
            self.subject.prepare(optimizer)
        train = getattr(optimizer, "train", None)
        if callable(train):  # such as schedule-free optimizers
            train()
        return optimizer

    def _as_built_from(self, params: Iterable[Any]) -> Any:
        if self.build_from == "parameters" or not isinstance(params, Sequence):
            return params
        if not all(isinstance(param, Tensor) for param in params):
            return params
        named = [(f"weight{index}", param) for index, param in enumerate(params)]
        return named if self.build_from == "named" else _Model(named)

    def run(
        self,
        optimizer: Optimizer,
        weights: Sequence[Tensor],
        steps: Iterable[int],
        *,
        places: Sequence[int] | None = None,
        scale: float = 1.0,
    ) -> None:
        """Take the numbered steps, each with other gradients; the weights change in place.

        Args:
            optimizer: Holds the weights.
            weights: The parameters that get a gradient; the gradients of others are left as they
                are.
            steps: Step numbers; a number always means the same gradients and the same block.
            places: Index of the gradient of each weight; 0, 1, 2, ... by default.
            scale: Factor of the gradients.
        """
        where = range(len(weights)) if places is None else places
        for number in steps:
            grads = [
                scale * gradient(weight, number, place)
                for place, weight in zip(where, weights, strict=True)
            ]
            self.step(optimizer, number, weights, grads)

    def step(
        self,
        optimizer: Optimizer,
        number: int,
        weights: Sequence[Tensor] = (),
        grads: Sequence[Tensor] = (),
    ) -> Any:
        """Give the weights these gradients and take one step, in the way that the optimizer needs.

        Args:
            optimizer: Holds the weights.
            number: Of the step: it seeds a random rule, and counts blocks or batches.
            weights: The parameters that get a gradient; other gradients are left as they are.
            grads: Their gradients; the optimizer gets copies.

        Returns:
            What `optimizer.step` returned.
        """

        def closure() -> Tensor:
            with torch.enable_grad():
                return self.provide(weights, grads)

        closure()
        return self.take(optimizer, number, closure if self.subject.closure else None)

    def take(
        self, optimizer: Optimizer, number: int, closure: Callable[[], Any] | None = None
    ) -> Any:
        """Take one step on the gradients that there are.

        Args:
            optimizer: Gets blocks or samples in turn if it takes them.
            number: Of the step: it seeds a random rule, and counts blocks or batches.
            closure: Passed on if given.
        """
        if self.subject.random:
            torch.manual_seed(number)
        take_step: Callable[..., Any] = optimizer.step  # torch's signature has no further keywords
        given = {} if closure is None else {"closure": closure}
        with torch.no_grad() if self.subject.needs_no_grad else contextlib.nullcontext():
            return take_step(**given, **origin(optimizer, number))

    def provide(self, weights: Sequence[Tensor], grads: Sequence[Tensor]) -> Tensor:
        """Set the gradients and return a cost that has them at these weights."""
        cost = torch.zeros((), device=self.subject.device)
        if self.subject.create_graph and weights:
            # w - w.detach() is 0, so the gradient is exactly grad, and the Hessian the identity.
            costs = [
                (grad.detach() * weight + (weight - weight.detach()).square() / 2).sum()
                for weight, grad in zip(weights, grads, strict=True)
            ]
            cost = torch.stack([each.to(costs[0]) for each in costs]).sum()
            for weight in weights:
                weight.grad = None
            torch.autograd.backward(cost, create_graph=True)
            return cost
        for weight, grad in zip(weights, grads, strict=True):
            weight.grad = grad.clone()
            if self.subject.closure and not grad.is_sparse and not grad.is_complex():
                cost = cost + (grad * weight.detach()).sum().to(cost.dtype)
        return cost

    def descend(
        self, optimizer: Optimizer, weights: Sequence[Tensor], number: int, sign: float = 1.0
    ) -> None:
        """Take one step on the gradients of `bowl`, times a sign."""

        def closure() -> Tensor:
            with torch.enable_grad():
                for weight in weights:
                    weight.grad = None
                cost = sign * bowl(weights)
                torch.autograd.backward(cost, create_graph=self.subject.create_graph)
                return cost

        closure()
        self.take(optimizer, number, closure if self.subject.closure else None)

    def trained(
        self, steps: int, *, dtype: torch.dtype | None = None, **overrides: Any
    ) -> tuple[list[Tensor], Optimizer]:
        """Return new weights and an optimizer that has taken steps on them.

        Args:
            steps: Number of steps, after those that move no weight.
            dtype: Of the weights.
            overrides: Hyperparameters.
        """
        weights = self.weights(dtype=dtype)
        optimizer = self.build(weights, **overrides)
        self.run(optimizer, weights, range(self.after(steps)))
        return weights, optimizer

    def after(self, steps: int) -> int:
        """Return a number of steps with the first ones added, those that move no weight."""
        return self.subject.waiting + steps


class _Model(torch.nn.Module):
    """A module with the given tensors as its parameters."""

    def __init__(self, named: Sequence[tuple[str, Tensor]]) -> None:
        super().__init__()
        for name, weight in named:
            # Parameter(...) would be another tensor than the one that gets the gradient.
            self._parameters[name] = weight  # type: ignore[assignment]


def origin(optimizer: Optimizer, number: int) -> dict[str, Any]:
    """Return the keyword arguments that tell step `number` the origin of its gradients."""
    declared = declared_step_inputs(optimizer)
    if declared == "block":
        return {"block": number % len(optimizer.param_groups[0]["block_sizes"])}
    if declared == "samples":
        return _batch_with_these_gradients(optimizer, number)
    return {}


def _batch_with_these_gradients(optimizer: Optimizer, number: int) -> dict[str, Any]:
    """Return a batch of a linear model whose gradients are those that the parameters hold.

    Sample j has the unit vector j as features and entry j of the weight's gradient as logit
    gradient; one more sample, with features of 0, supplies the rest of the bias's gradient.
    Successive numbers cycle through disjoint sets of samples.
    """
    params = [param for group in optimizer.param_groups for param in group["params"]]
    count = samples_of_a_batch(params)
    slopes, features = torch.zeros(count), torch.eye(count, count - 1)
    for param in params:
        slopes, features = slopes.to(param), features.to(param)
        if param.grad is not None and param.dim() == 2:
            slopes[:-1] += param.grad[0]
            slopes[-1] -= param.grad.sum()
        elif param.grad is not None:
            slopes[-1] += param.grad[0]
    first = count * (number % (optimizer.param_groups[0]["num_samples"] // count))
    samples = torch.arange(first, first + count)
    return {"samples": samples, "features": features, "logit_grad": slopes}


def samples_of_a_batch(params: Iterable[Tensor]) -> int:
    """Return the batch size for a linear model of these parameters: the features plus one."""
    return 1 + max(param.numel() for param in params)


def gradient(weight: Tensor, number: int, place: int) -> Tensor:
    """Return the gradient of step `number` for the weight with index `place`."""
    generator = torch.Generator().manual_seed(1000 * number + place)
    return torch.randn(weight.shape, generator=generator, dtype=torch.float64).to(weight)


def bowl(weights: Sequence[Tensor]) -> Tensor:
    """Return a convex cost with its minimum where every weight is 3.

    Its curvature is low, so that a learning rate of 1 descends, with momentum too.
    """
    costs = [0.1 * (weight - 3).square().sum() for weight in weights]
    return torch.stack([cost.to(costs[0].dtype) for cost in costs]).sum()


def distance(ours: Tensor, others: Tensor) -> float:
    """Return the largest difference, relative where `others` exceeds 1.

    It is inf for other shapes, and where one tensor is nan and the other is not.
    """
    if ours.shape != others.shape:
        return math.inf
    if ours.numel() == 0:
        return 0.0
    a, b = (x.detach().to("cpu").double() for x in (ours, others))
    gap = (a - b).abs() / b.abs().clamp(min=1.0)
    gap = torch.where(a.isnan() & b.isnan() | (a == b), 0.0, gap)
    return float(gap.nan_to_num(nan=math.inf).max())


def furthest(ours: Sequence[Tensor], others: Sequence[Tensor]) -> float:
    """Return the largest distance between two lists of tensors."""
    return max((distance(a, b) for a, b in zip(ours, others, strict=True)), default=0.0)


def widest(ours: Tensor, others: Tensor) -> str:
    """Return the two entries that differ most, such as "0.25 instead of 0.5"."""
    a, b = (x.detach().double().flatten().cpu() for x in (ours, others))
    if a.shape != b.shape:
        return f"of shapes {tuple(ours.shape)} and {tuple(others.shape)}"
    at = int((a - b).abs().nan_to_num(nan=float("inf")).argmax())
    return f"{a[at]:.9g} instead of {b[at]:.9g}"


def difference(ours: Sequence[Tensor], others: Sequence[Tensor]) -> str:
    """Return where two lists of tensors differ most, with both numbers."""
    gaps = [distance(a, b) for a, b in zip(ours, others, strict=True)]
    at = gaps.index(max(gaps))
    return f"by {gaps[at]:.1e}: {widest(ours[at], others[at])} in tensor {at}"


def copies(weights: Sequence[Tensor]) -> list[Tensor]:
    """Return detached clones."""
    return [weight.detach().clone() for weight in weights]
