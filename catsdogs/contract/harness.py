"""Harness that builds an optimizer, drives it with known gradients and compares the weights.

Gradients are random numbers that depend only on the step and the parameter's index, never on the
weights. Runs that should be equal therefore are, and a wrong step cannot be hidden by a gradient
that follows it.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from catsdogs.optim.step_inputs import declared_step_inputs

Factory = Callable[..., Optimizer]
"""`factory(params, **overrides)`, such as `functools.partial(torch.optim.Adam, lr=1e-3)`."""

SHAPES: tuple[tuple[int, ...], ...] = ((4, 3), (2, 5), (5,), (1,), ())
# Weight and bias of one linear model, for an optimizer that takes samples and logit gradients.
LINEAR_MODEL: tuple[tuple[int, ...], ...] = ((1, 5), (1,))
TOLERANCE = 1e-12


class OptimizerHarness:
    """An optimizer factory, its default hyperparameters and the parameter shapes that it accepts.

    Args:
        factory: Builds the optimizer, `factory(params, **overrides)`.
        reference: Builds the optimizer that it should equal, if there is one.

    Raises:
        ValueError: If it accepts no shape, with its own message, or if the contract cannot drive
            it.
    """

    def __init__(self, factory: Factory, reference: Factory | None = None) -> None:
        self.factory = factory
        self.reference = reference
        self.refused: dict[tuple[int, ...], str] = {}
        self.shapes = tuple(shape for shape in SHAPES if self._accepts(shape))
        if not self.shapes and self._accepts(*LINEAR_MODEL):
            self.shapes = LINEAR_MODEL
        if not self.shapes:
            raise ValueError(
                f"the factory accepts no parameters: {next(iter(self.refused.values()))}"
            )
        optimizer = factory(self.weights())
        if not isinstance(optimizer, Optimizer):
            raise ValueError(
                f"the factory builds a {type(optimizer).__name__}, not a torch.optim.Optimizer"
            )
        self.defaults: dict[str, Any] = dict(optimizer.defaults)
        self.step_inputs = declared_step_inputs(optimizer)
        if self.step_inputs == "samples":
            self._require_samples()

    def _accepts(self, *shapes: tuple[int, ...]) -> bool:
        try:
            self.factory([torch.zeros(shape, requires_grad=True) for shape in shapes])
        except ValueError as error:
            self.refused[shapes[0]] = str(error)
            return False
        return True

    def _require_samples(self) -> None:
        self.shapes = LINEAR_MODEL
        size, num_samples = samples_of_a_batch(self.weights()), self.defaults["num_samples"]
        if num_samples < 2 * size:
            raise ValueError(
                f"num_samples={num_samples}: must be {2 * size} or above, since a linear model is "
                f"tried on at least two batches of {size}"
            )

    def weights(
        self,
        shapes: Iterable[tuple[int, ...]] | None = None,
        dtype: torch.dtype = torch.float64,
    ) -> list[Tensor]:
        """Return random weights, the same in every call.

        Args:
            shapes: The accepted shapes by default.
            dtype: Of all weights.
        """
        generator = torch.Generator().manual_seed(0)
        return [
            torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype).requires_grad_()
            for shape in (self.shapes if shapes is None else shapes)
        ]

    def build(self, params: Iterable[Any], **overrides: Any) -> Optimizer:
        """Build the optimizer with some hyperparameters overridden."""
        return self.factory(params, **overrides)

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
            weights: The parameters that get a gradient.
            steps: Step numbers; a number always means the same gradients and the same block.
            places: Index of the gradient of each weight; 0, 1, 2, ... by default.
            scale: Factor of the gradients.
        """
        for number in steps:
            for place, weight in zip(places or range(len(weights)), weights, strict=True):
                weight.grad = scale * gradient(weight, number, place)
            step(optimizer, number)

    def trained(
        self, steps: int, *, dtype: torch.dtype = torch.float64, **overrides: Any
    ) -> tuple[list[Tensor], Optimizer]:
        """Return new weights and an optimizer that has taken `steps` steps on them."""
        weights = self.weights(dtype=dtype)
        optimizer = self.build(weights, **overrides)
        self.run(optimizer, weights, range(steps))
        return weights, optimizer


def step(optimizer: Optimizer, number: int, closure: Callable[[], Any] | None = None) -> Any:
    """Take one step; an optimizer that takes blocks or samples gets them in turn."""
    take_step: Callable[..., Any] = optimizer.step  # torch's signature has no further keywords
    given = {} if closure is None else {"closure": closure}
    return take_step(**given, **origin(optimizer, number))


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
    return torch.randn(weight.shape, generator=generator, dtype=torch.float64).to(weight.dtype)


def distance(ours: Tensor, others: Tensor) -> float:
    """Return the largest difference, relative where `others` exceeds 1.

    It is inf for other shapes, and where one tensor is nan and the other is not.
    """
    if ours.shape != others.shape:
        return math.inf
    if ours.numel() == 0:
        return 0.0
    a, b = ours.detach().double(), others.detach().double()
    gap = (a - b).abs() / b.abs().clamp(min=1.0)
    gap = torch.where(a.isnan() & b.isnan() | (a == b), 0.0, gap)
    return float(gap.nan_to_num(nan=math.inf).max())


def furthest(ours: Sequence[Tensor], others: Sequence[Tensor]) -> float:
    """Return the largest distance between two lists of tensors."""
    return max((distance(a, b) for a, b in zip(ours, others, strict=True)), default=0.0)


def copies(weights: Sequence[Tensor]) -> list[Tensor]:
    """Return detached clones."""
    return [weight.detach().clone() for weight in weights]
