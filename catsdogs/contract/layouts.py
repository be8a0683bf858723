"""Claims about memory layouts: transposed and channels-last weights, and state across layouts."""

import copy
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.optim import Optimizer

from catsdogs.contract.claims import NotApplicable, claim, describe, require
from catsdogs.contract.harness import OptimizerHarness, distance, gradient
from catsdogs.contract.subject import Shape

CONVOLUTION: Shape = (2, 3, 2, 2)
STEPS = 3


class Layout(NamedTuple):
    """An order of the entries in memory, for weights of a shape.

    Attributes:
        name: Of the layout.
        shape: Of a weight that can have it.
        apply: Returns a tensor of this shape with the same values in this layout.
    """

    name: str
    shape: Shape
    apply: Callable[[Tensor], Tensor]


@claim(
    "Transposed parameters and gradients step like contiguous ones and keep their strides.",
    "update",
)
def takes_any_memory_layout(harness: OptimizerHarness) -> str:
    return _steps_like_a_contiguous_one(harness, _transposed(harness))


@claim(
    "Channels-last parameters and gradients step like contiguous ones and keep their strides.",
    "update",
)
def takes_channels_last_weights(harness: OptimizerHarness) -> str:
    return _steps_like_a_contiguous_one(harness, _channels_last(harness))


@claim("A state saved from weights of one memory layout continues in another.", "state")
def continues_in_another_memory_layout(harness: OptimizerHarness) -> str:
    try:
        layout = _channels_last(harness)
    except NotApplicable:
        layout = _transposed(harness)
    usual = Layout("contiguous", layout.shape, Tensor.contiguous)
    plain = _resumed(harness, usual, usual)
    try:
        kept = _resumed(harness, layout, layout)
    except Exception as error:  # noqa: BLE001 - the code under test may raise anything
        raise NotApplicable(f"{layout.name} weights: {describe(error)}") from None
    if distance(kept, plain) > harness.tolerance:
        raise NotApplicable(f"{layout.name} weights step in another way than contiguous ones")
    for before, after in ((usual, layout), (layout, usual)):
        gap = distance(_resumed(harness, before, after), plain)
        require(
            gap <= harness.tolerance,
            f"a {after.name} weight of shape {layout.shape} differs by {gap:.1e} {STEPS} steps "
            f"after it loaded the state of a {before.name} one",
        )
    return f"shape {layout.shape}, contiguous to {layout.name} and back, {STEPS} + {STEPS} steps"


def _resumed(harness: OptimizerHarness, before: Layout, after: Layout) -> Tensor:
    """Return a weight whose training was interrupted, and continued in another layout."""
    saved, optimizer = _trained(harness, before, STEPS)
    weight = after.apply(saved.detach().clone()).requires_grad_()
    loaded = harness.build([weight])
    loaded.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    _run(harness, loaded, weight, after, range(harness.after(STEPS), harness.after(2 * STEPS)))
    return weight


def _transposed(harness: OptimizerHarness) -> Layout:
    _require_no_random_numbers(harness)
    matrices = [shape for shape in harness.shapes if len(shape) == 2]
    if not matrices:
        raise NotApplicable("it accepts no matrices")
    return Layout("transposed", matrices[0], lambda matrix: matrix.t().contiguous().t())


def _channels_last(harness: OptimizerHarness) -> Layout:
    _require_no_random_numbers(harness)
    if harness.step_inputs == "samples":
        raise NotApplicable("it takes the parameters of one linear model")
    usual = Layout("contiguous", CONVOLUTION, Tensor.contiguous)
    try:
        _trained(harness, usual, 1)
    except Exception as error:  # noqa: BLE001 - the code under test may raise anything
        reason = f"it does not step on shape {CONVOLUTION}: {describe(error)}"
        raise NotApplicable(reason) from None
    return Layout(
        "channels-last",
        CONVOLUTION,
        lambda weight: weight.contiguous(memory_format=torch.channels_last),
    )


def _require_no_random_numbers(harness: OptimizerHarness) -> None:
    if harness.subject.random:
        raise NotApplicable("its steps draw random numbers, in the order of memory")


def _steps_like_a_contiguous_one(harness: OptimizerHarness, layout: Layout) -> str:
    """Compare a weight of a layout with a contiguous one; its gradients have either layout."""
    plain, weight = (harness.weights([layout.shape])[0] for _ in range(2))
    weight = layout.apply(weight.detach()).requires_grad_()
    strides = weight.stride()
    steps = range(harness.after(STEPS))
    harness.run(harness.build([plain]), [plain], steps)
    optimizer = harness.build([weight])
    for number in steps:
        grad = gradient(weight, number, 0)
        harness.step(optimizer, number, [weight], [grad if number % 2 else layout.apply(grad)])
    gap = distance(weight, plain)
    require(
        gap <= harness.tolerance,
        f"a {layout.name} weight of shape {layout.shape} differs by {gap:.1e}",
    )
    require(weight.stride() == strides, f"strides went from {strides} to {weight.stride()}")
    return f"{layout.name} weight of shape {layout.shape}, gradients of both layouts"


def _trained(harness: OptimizerHarness, layout: Layout, steps: int) -> tuple[Tensor, Optimizer]:
    (weight,) = harness.weights([layout.shape])
    weight = layout.apply(weight.detach()).requires_grad_()
    optimizer = harness.build([weight])
    _run(harness, optimizer, weight, layout, range(harness.after(steps)))
    return weight, optimizer


def _run(
    harness: OptimizerHarness, optimizer: Optimizer, weight: Tensor, layout: Layout, steps: range
) -> None:
    """Take steps on gradients of the weight's layout, as autograd makes them."""
    for number in steps:
        grad = layout.apply(gradient(weight, number, 0))
        harness.step(optimizer, number, [weight], [grad])
