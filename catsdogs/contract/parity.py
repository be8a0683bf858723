"""Claims about parity: an optimizer equals its reference at every step.

Both get the same weights and the same gradients, so a difference can only come from the update.
They are compared with the given hyperparameters and, where both have the hyperparameter, with
weight decay, with maximize, with small gradients, with a learning rate that changes midway and with
a parameter that starts late.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from catsdogs.contract.claims import ClaimFailed, NotApplicable, claim, closeness
from catsdogs.contract.harness import Factory, OptimizerHarness, distance

STEPS = 30
# Equal formulas differ by 1e-15 in float64 and 1e-6 in float32 over 50 steps; eps added before
# the bias correction, the least visible of the usual mistakes, by 1e-5.
FLOAT64, FLOAT32 = 1e-12, 5e-6


@claim("In float64, weights and state equal the reference's to 1e-12 at every step.")
def equals_the_reference_in_float64(harness: OptimizerHarness) -> str:
    return _equals(harness, torch.float64, FLOAT64)


@claim("In float32, weights and state equal the reference's up to rounding at every step.")
def equals_the_reference_in_float32(harness: OptimizerHarness) -> str:
    return _equals(harness, torch.float32, FLOAT32)


def _equals(harness: OptimizerHarness, dtype: torch.dtype, tolerance: float) -> str:
    if harness.reference is None:
        raise NotApplicable("no reference was given")
    largest = 0.0
    situations = list(_situations(harness, harness.reference))
    for situation, overrides in situations:
        ours, theirs = harness.weights(dtype=dtype), harness.weights(dtype=dtype)
        custom = harness.build(ours, **overrides)
        reference = harness.reference(theirs, **overrides)
        for number in range(STEPS):
            late = 1 if situation == "a late parameter" and number < 3 else 0
            if situation == "a new learning rate" and number == STEPS // 2:
                for group in (*custom.param_groups, *reference.param_groups):
                    group["lr"] = group["lr"] / 2
            places = range(late, len(ours))
            scale = 1e-6 if situation == "small gradients" else 1.0
            harness.run(custom, ours[late:], [number], places=places, scale=scale)
            harness.run(reference, theirs[late:], [number], places=places, scale=scale)
            for index, (mine, its) in enumerate(zip(ours, theirs, strict=True)):
                for name, a, b in _pairs(mine, custom.state[mine], its, reference.state[its]):
                    gap = distance(a, b)
                    largest = max(largest, gap)
                    if not gap <= tolerance:
                        raise ClaimFailed(
                            f"with {situation} at step {number + 1}: {name} of tensor "
                            f"{index} {tuple(mine.shape)} differs by {gap:.1e}"
                        )
    tried = ", ".join(situation for situation, _ in situations)
    return f"{closeness(largest)} over {STEPS} steps with {tried}"


def _situations(
    harness: OptimizerHarness, reference: Factory
) -> Iterator[tuple[str, dict[str, Any]]]:
    theirs = reference(harness.weights()).defaults
    both = harness.defaults.keys() & theirs.keys()
    yield "the given hyperparameters", {}
    yield "small gradients", {}  # these reveal where eps is added
    if "weight_decay" in both:
        yield "weight decay", {"weight_decay": 0.125}
    if "maximize" in both:
        yield "maximize", {"maximize": True}
    if "lr" in both:
        yield "a new learning rate", {}
    if len(harness.shapes) > 1:
        yield "a late parameter", {}


def _pairs(
    mine: Tensor, state: dict[str, Any], its: Tensor, reference: dict[str, Any]
) -> Iterator[tuple[str, Tensor, Tensor]]:
    yield "weight", mine, its
    for name in state.keys() & reference.keys():
        ours, theirs = state[name], reference[name]
        if ours is not None and theirs is not None:
            yield name, torch.as_tensor(ours), torch.as_tensor(theirs)
