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
from catsdogs.contract.harness import OptimizerHarness, distance, widest
from catsdogs.contract.subject import Factory, constructor_settings

STEPS = 30
# Equal formulas differ by 1e-15 in float64 and 1e-6 in float32 over 50 steps; eps added before
# the bias correction, the least visible of the usual mistakes, by 1e-5.
FLOAT64, FLOAT32 = 1e-12, 5e-6
_NUMBER = (Tensor, int, float)


@claim("In float64, weights and state equal the reference's to 1e-12 at every step.", "update")
def equals_the_reference_in_float64(harness: OptimizerHarness) -> str:
    return _equals(harness, torch.float64, FLOAT64)


@claim(
    "In float32, weights and state equal the reference's up to rounding at every step.", "update"
)
def equals_the_reference_in_float32(harness: OptimizerHarness) -> str:
    return _equals(harness, torch.float32, FLOAT32)


def _equals(harness: OptimizerHarness, dtype: torch.dtype, tolerance: float) -> str:
    if harness.reference is None:
        raise NotApplicable("no reference was given")
    if dtype not in harness.subject.dtypes:
        raise NotApplicable(f"it does not step on {dtype}")
    if dtype == torch.float64 != harness.dtype:
        raise NotApplicable("it computes in float32 whatever the weights")
    largest = 0.0
    situations = list(_situations(harness, harness.reference))
    for situation, overrides in situations:
        ours, theirs = harness.weights(dtype=dtype), harness.weights(dtype=dtype)
        custom = harness.build(ours, **overrides)
        reference = harness.build_reference(theirs, **overrides)
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
                            f"{index} {tuple(mine.shape)} differs by {gap:.1e}: "
                            f"{widest(a, b)}; {both_settings(harness)}"
                        )
    tried = ", ".join(situation for situation, _ in situations)
    return f"{closeness(largest)} over {STEPS} steps with {tried}; {both_settings(harness)}"


def both_settings(harness: OptimizerHarness) -> str:
    """Return the hyperparameters of the two, those that both take and those of one alone."""
    assert harness.reference is not None
    theirs = constructor_settings(harness.reference)
    ours = harness.settings
    both = {name: ours[name] for name in ours if name in theirs and ours[name] == theirs[name]}
    other = {name: value for name, value in ours.items() if name not in both}
    others = {name: value for name, value in theirs.items() if name not in both}
    parts = [("both", both), ("it alone", other), ("the reference alone", others)]
    return "; ".join(
        f"{who}: {', '.join(f'{name}={value}' for name, value in settings.items())}"
        for who, settings in parts
        if settings
    )


def _situations(
    harness: OptimizerHarness, reference: Factory
) -> Iterator[tuple[str, dict[str, Any]]]:
    both = harness.settings.keys() & constructor_settings(reference).keys()
    yield "the given hyperparameters", {}
    yield "small gradients", {}  # these reveal where eps is added
    if "weight_decay" in both:
        yield "weight decay", {"weight_decay": 0.125}
    if "maximize" in both:
        yield "maximize", {"maximize": True}
    theirs = reference(harness.weights()).param_groups[0]
    ours = harness.build(harness.weights()).param_groups[0]
    if ours.get("lr") is not None and theirs.get("lr") is not None:
        yield "a new learning rate", {}
    separable = harness.step_inputs != "samples" and not harness.subject.coupled
    if len(harness.shapes) > 1 and separable:
        yield "a late parameter", {}


def _pairs(
    mine: Tensor, state: dict[str, Any], its: Tensor, reference: dict[str, Any]
) -> Iterator[tuple[str, Tensor, Tensor]]:
    yield "weight", mine, its
    for name in state.keys() & reference.keys():
        ours, theirs = state[name], reference[name]
        if isinstance(ours, _NUMBER) and isinstance(theirs, _NUMBER):
            yield name, torch.as_tensor(ours), torch.as_tensor(theirs)
