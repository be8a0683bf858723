"""Claims about the set of parameters: generators, empty and frozen groups, missing gradients.

A run is compared with one whose parameters are a list in one group, so that a constructor which
treats groups in another way than lists fails elsewhere.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from catsdogs.contract.claims import (
    NotApplicable,
    claim,
    describe,
    require,
    require_plain_parameters,
)
from catsdogs.contract.harness import OptimizerHarness, copies, difference, furthest
from catsdogs.contract.probe import deliberate
from catsdogs.contract.update import (
    does_nothing_without_gradients,
    pair,
    require_no_group_counts,
    skips_parameters_without_gradient,
    starts_a_late_parameter_from_its_own_first_step,
)

STEPS = 3


@claim("Every group is stepped on like the first.", "update")
def steps_every_group(harness: OptimizerHarness) -> str:
    require_plain_parameters(harness)
    shapes = harness.shapes if len(harness.shapes) > 1 else harness.shapes * 2
    weights, before = harness.weights(shapes), harness.weights(shapes)
    groups = _trained(harness, [{"params": [weight]} for weight in weights], weights)
    still = [index for index, old in enumerate(before) if torch.equal(old, weights[index])]
    require(not still, f"the parameters of groups {still} have not moved in {groups}")
    if not _depends_on_others(harness):
        together = harness.weights(shapes)
        _trained(harness, [{"params": together}], together)
        _require_equal(harness, weights, together, "in groups of their own")
    return f"{len(weights)} groups, {groups}"


@claim("Parameters given as a generator step like a list.", "use")
def takes_parameters_as_a_generator(harness: OptimizerHarness) -> str:
    require_plain_parameters(harness)
    for what in ("a generator", "a generator in a group"):
        plain, weights = harness.weights(), harness.weights()
        taken: list[Tensor] = []
        as_list: Any = plain if what == "a generator" else [{"params": plain}]
        one_by_one = _noting(weights, taken)
        as_generator: Any = one_by_one if what == "a generator" else [{"params": one_by_one}]
        try:
            steps = _trained(harness, as_generator, weights)
        except Exception as error:
            if deliberate(error) and not taken:
                raise NotApplicable(f"{what} is refused: {describe(error)}") from None
            raise
        _trained(harness, as_list, plain)
        _require_equal(harness, weights, plain, f"with {what}")
    return f"same weights after {steps}, also with a generator in a group"


@claim(
    "A group of frozen parameters is left alone, and changes nothing for the others.",
    "use",
    causes=(skips_parameters_without_gradient, does_nothing_without_gradients, steps_every_group),
)
def steps_beside_a_frozen_group(harness: OptimizerHarness) -> str:
    require_plain_parameters(harness)
    plain = harness.weights()
    _trained(harness, [{"params": plain}], plain)
    for place in ("first", "last"):
        weights, before = harness.weights(), harness.weights(harness.shapes[:1])
        frozen = copies(before)
        groups = [{"params": frozen}, {"params": weights}][:: 1 if place == "first" else -1]
        steps = _trained(harness, groups, weights)
        gap = furthest(frozen, before)
        require(gap == 0, f"the {place} group is frozen, and moved by {gap:.1e} in {steps}")
        thawed = any(weight.requires_grad for weight in frozen)
        require(not thawed, f"the {place} group is frozen, and got requires_grad=True")
        if not _depends_on_others(harness):
            _require_equal(harness, weights, plain, f"with a frozen group {place}")
    return f"left alone in {steps}, first or last"


@claim(
    "A group without parameters changes nothing.",
    "use",
    causes=(does_nothing_without_gradients, steps_every_group, steps_beside_a_frozen_group),
)
def takes_an_empty_group(harness: OptimizerHarness) -> str:
    require_plain_parameters(harness)
    plain = harness.weights()
    _trained(harness, [{"params": plain}], plain)
    for place in ("first", "last"):
        weights = harness.weights()
        groups = [{"params": []}, {"params": weights}][:: 1 if place == "first" else -1]
        steps = _trained(harness, groups, weights)
        _require_equal(harness, weights, plain, f"with an empty group {place}")
    return f"same weights after {steps} with an empty group first or last"


@claim(
    "After a first step without gradients, training goes as if that step had not been.",
    "use",
    causes=(
        does_nothing_without_gradients,
        starts_a_late_parameter_from_its_own_first_step,
        steps_every_group,
        steps_beside_a_frozen_group,
    ),
)
def ignores_a_first_step_without_gradients(harness: OptimizerHarness) -> str:
    if harness.step_inputs == "samples":
        raise NotApplicable("its gradients come from samples, which every step has")
    plain, _ = harness.trained(STEPS)
    weights, before = harness.weights(), harness.weights()
    optimizer = harness.build(weights)
    try:
        harness.step(optimizer, 0)
    except Exception as error:
        if deliberate(error) and furthest(weights, before) == 0:
            raise NotApplicable(f"refused: {describe(error)}") from None
        raise
    gap = furthest(weights, before)
    require(gap == 0, f"the first step had no gradients, and moved weights by {gap:.1e}")
    harness.run(optimizer, weights, range(harness.after(STEPS)))
    require_no_group_counts(harness, furthest(weights, plain))
    _require_equal(harness, weights, plain, "after a first step without gradients")
    return f"same weights after {harness.after(STEPS)} more steps{_late_group(harness)}"


def _late_group(harness: OptimizerHarness) -> str:
    """Let the second of two groups miss the gradients of the first step, and return what was seen.

    Empty if the parameters of an optimizer depend on one another.
    """
    if _depends_on_others(harness) or harness.build_from != "parameters":
        return ""
    early, late = pair(harness)
    try:
        optimizer = _built(harness, [{"params": [early]}, {"params": [late]}])
    except NotApplicable:
        return ""
    fresh = late.detach().clone().requires_grad_()
    harness.run(optimizer, [early], [0])
    later = range(1, 1 + harness.after(STEPS))
    harness.run(optimizer, [early, late], later)
    harness.run(harness.build([{"params": [fresh]}]), [fresh], later, places=[1])
    _require_equal(harness, [late], [fresh], "in a group without gradients at the first step")
    return ", also of a second group alone"


def _noting(weights: list[Tensor], taken: list[Tensor]) -> Iterator[Tensor]:
    """Yield the weights, and list those that were asked for."""
    for weight in weights:
        taken.append(weight)
        yield weight


def _trained(harness: OptimizerHarness, params: Any, weights: list[Tensor]) -> str:
    """Train the weights, given to the constructor in these groups, and return for how long.

    Raises:
        NotApplicable: If the groups are refused.
    """
    optimizer = _built(harness, params)
    harness.run(optimizer, weights, range(harness.after(STEPS)))
    return f"{harness.after(STEPS)} steps"


def _built(harness: OptimizerHarness, params: Any) -> Optimizer:
    try:
        return harness.build(params)
    except Exception as error:
        if not deliberate(error) or not isinstance(params, list):
            raise
        raise NotApplicable(f"refused: {describe(error)}") from None


def _require_equal(
    harness: OptimizerHarness, weights: list[Tensor], plain: list[Tensor], when: str
) -> None:
    gap = furthest(weights, plain)
    require(gap <= harness.tolerance, f"{when}, weights differ {difference(weights, plain)}")


def _depends_on_others(harness: OptimizerHarness) -> bool:
    """Return whether the update of a parameter depends on which others there are."""
    return bool(harness.subject.coupled) or harness.subject.random
