"""Claims about options: foreach, fused, amsgrad and others do what they say.

An option that changes how a step is computed must leave the numbers as they are. An option that
changes the rule is judged by how the weights move, whatever the state is called.
"""

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from catsdogs.contract.claims import (
    NotApplicable,
    claim,
    closeness,
    describe,
    require,
    require_setting,
)
from catsdogs.contract.harness import OptimizerHarness, copies, distance, furthest, gradient
from catsdogs.contract.probe import deliberate, is_refusal
from catsdogs.contract.update import DECAY, maximizes, without_decay

EXCLUSIVE = ("foreach", "fused", "differentiable")  # torch takes one of them at a time
AMSGRAD = ("amsgrad", "ams_bound")
STEPS = 6
LATE = 2  # steps without the first parameter
FLOAT32 = 1e-6  # tolerance
# A scalar of the rule may be computed in float32, as those of torch's ASGD are and, with a count
# that is a tensor, bias corrections near 0. It changes the moves by these fractions.
SCALAR, COUNT = 1e-6, 1e-4
HAIR = 1e-3  # gradients that are larger by this fraction show how coarsely a rule rounds
REST = 1e-3  # factor of the gradients after a large one
RESTS = 40  # their number
MOMENTUM = 0.9
TURNED = 12  # steps
LARGE = 1e3  # factor of gradients beside which eps is nothing
DELTA = 1e-4  # of a gradient
SMALL = 1e-3  # derivatives below it are compared as they are


@claim("foreach=True and foreach=False give the same weights.", "update")
def gives_the_same_numbers_with_foreach(harness: OptimizerHarness) -> str:
    return _agrees(harness, "foreach")


@claim("fused=True and fused=False give the same weights.", "update")
def gives_the_same_numbers_with_fused(harness: OptimizerHarness) -> str:
    return _agrees(harness, "fused")


@claim("capturable=True and capturable=False give the same weights.", "update")
def gives_the_same_numbers_with_capturable(harness: OptimizerHarness) -> str:
    return _agrees(harness, "capturable", COUNT)


@claim(
    "amsgrad=True keeps the largest second moment: moves stay short after a large gradient.",
    "update",
)
def keeps_the_largest_second_moment_with_amsgrad(harness: OptimizerHarness) -> str:
    flag = next((name for name in AMSGRAD if name in harness.settings), None)
    if flag is None:
        raise NotApplicable(f"its constructor takes none of {', '.join(AMSGRAD)}")
    if harness.subject.random:
        raise NotApplicable("its steps draw random numbers")
    if harness.dtype != torch.float64:
        raise NotApplicable("it computes in float32, which rounds small moves too coarsely")
    require_accepted(harness, harness.weights(), **{flag: True})
    on, off = (_moves_after_a_large_gradient(harness, flag, value) for value in (True, False))
    excess = [plain / short - 1 for plain, short in zip(off, on, strict=True)]
    noise = 100 * harness.tolerance
    longest = min(range(RESTS), key=excess.__getitem__)
    require(
        excess[longest] > -noise,
        f"{longest + 1} steps after a gradient {1 / REST:g} times as large as the others, a move "
        f"is {on[longest]:.6g} with {flag}=True and {off[longest]:.6g} without",
    )
    last, before = excess[-1], excess[3 * RESTS // 4]
    seen = (
        f"{RESTS} steps after a gradient {1 / REST:g} times as large as the others, moves without "
        f"{flag}=True are longer by {last:.2%}"
    )
    require(last > noise, f"{flag}=True changes nothing: {seen}")
    require(last > 1.05 * before, f"{seen}, {RESTS // 4} steps before by {before:.2%}")
    return seen


@claim("nesterov=True looks ahead: a step follows a gradient that turns sooner.", "update")
def looks_ahead_with_nesterov(harness: OptimizerHarness) -> str:
    require_setting(harness, "nesterov")
    overrides = without_decay(harness)
    if harness.settings.get("momentum") == 0:
        overrides["momentum"] = MOMENTUM
    if "dampening" in harness.settings:
        overrides["dampening"] = 0
    require_accepted(harness, harness.weights(), **overrides, nesterov=True)
    moved, plain = (
        _move_after_the_gradient_turned(harness, nesterov=value, **overrides)
        for value in (True, False)
    )
    also = f" with momentum={overrides['momentum']}" if "momentum" in overrides else ""
    gap = distance(moved, plain)
    require(gap > harness.tolerance, f"nesterov=True changes no weight{also}")
    sign = -1.0 if maximizes(harness) else 1.0
    ahead, behind = (
        sign * float((move * gradient(move, 1, 0)).double().sum()) for move in (moved, plain)
    )
    seen = (
        f"{TURNED} steps after the gradient turned, weights have moved by {ahead:.3g} along it "
        f"with nesterov=True and by {behind:.3g} without{also}"
    )
    require(ahead < behind, seen)
    return seen


@claim("differentiable=True records the step: gradients flow through it, numbers stay.", "use")
def lets_gradients_flow_through_a_differentiable_step(harness: OptimizerHarness) -> str:
    require_setting(harness, "differentiable")
    if harness.subject.closure or harness.subject.create_graph or harness.subject.random:
        raise NotApplicable(f"its steps need {harness.subject.needs or 'random numbers'}")
    (start,) = harness.weights(harness.shapes[:1])
    require_accepted(harness, [start.clone()], differentiable=True)
    grad, along, probe = (gradient(start, harness.after(1), place) for place in range(3))
    recorded = grad.clone().requires_grad_()
    end = _stepped_last_on(harness, recorded, differentiable=True)
    plain, ahead, behind = (
        _stepped_last_on(harness, grad + change * along, differentiable=False)
        for change in (0.0, DELTA, -DELTA)
    )
    gap = distance(end, plain)
    allowed = harness.tolerance + COUNT * distance(plain, start)
    require(gap <= allowed, f"weights differ by {gap:.1e} from those without it")
    require(end.requires_grad, "the weights after it have no graph")
    (slope,) = torch.autograd.grad(
        (probe * end).sum(), [recorded], allow_unused=True, materialize_grads=True
    )
    found = float((slope * along).double().sum())
    expected = float((probe * (ahead - behind)).double().sum()) / (2 * DELTA)
    # Single precision leaves a difference of weights few digits.
    allowed = 1e-4 if harness.dtype == torch.float64 else 1e-1
    seen = f"a derivative by the gradient is {found:.6g}, and by differences {expected:.6g}"
    require(abs(found - expected) <= allowed * max(SMALL, abs(expected)), seen)
    return seen


def _agrees(harness: OptimizerHarness, flag: str, fraction: float = SCALAR) -> str:
    """Compare runs with an option on and off, in several situations."""
    require_setting(harness, flag)
    if harness.subject.random:
        raise NotApplicable("its steps draw random numbers, in an order that may differ")
    others = {name: False for name in EXCLUSIVE if name != flag and harness.settings.get(name)}
    require_accepted(harness, harness.weights(), **others, **{flag: True})
    gaps, remarks = {}, []
    for situation, dtype, overrides in _situations(harness):
        late = LATE if situation == "with a late parameter" else 0
        off, on = (
            functools.partial(_run, harness, dtype, late, overrides | others | {flag: value})
            for value in (False, True)
        )
        plain = off()
        try:
            found = on()
        except Exception as error:
            # The claim about late parameters fails for an optimizer that is built with the option.
            if not late and not (overrides and deliberate(error)):
                raise
            remarks.append(f"; {situation} {flag}=True raises {describe(error)}")
            continue
        gaps[situation] = gap = furthest(found, plain)
        allowed = harness.tolerance if dtype == harness.dtype else max(FLOAT32, harness.tolerance)
        allowed += fraction * furthest(plain, harness.weights(dtype=dtype))
        if gap > allowed:
            allowed += _rounding(off)
        steps = f"{harness.after(STEPS)} steps"
        require(gap <= allowed, f"weights differ by {gap:.1e} after {steps} {situation}")
    return (
        f"equal {closeness(max(gaps.values()))} after {harness.after(STEPS)} steps "
        f"{', '.join(gaps)}{''.join(remarks)}"
    )


def _situations(
    harness: OptimizerHarness,
) -> Iterator[tuple[str, torch.dtype, dict[str, Any]]]:
    """Yield words, the type of the weights and hyperparameters."""
    for dtype in dict.fromkeys((harness.dtype, torch.float32)):
        if dtype in harness.subject.dtypes:
            yield f"in {str(dtype).removeprefix('torch.')}", dtype, {}
    if len(harness.shapes) > 1 and harness.step_inputs != "samples":
        yield "with a late parameter", harness.dtype, {}
    wanted: dict[str, Any] = {"weight_decay": DECAY, "maximize": True}
    more = {name: value for name, value in wanted.items() if name in harness.settings}
    try:
        harness.trained(1, **more)
    except Exception:  # noqa: BLE001 - other claims try these hyperparameters
        return
    if more:
        words = " and ".join(f"{name}={value}" for name, value in more.items())
        yield f"with {words}", harness.dtype, more


def _run(
    harness: OptimizerHarness,
    dtype: torch.dtype,
    late: int,
    overrides: dict[str, Any],
    scale: float = 1.0,
) -> list[Tensor]:
    """Return weights after some steps; the first has no gradient in the first `late` of them."""
    weights = harness.weights(dtype=dtype)
    optimizer = harness.build(weights, **overrides)
    harness.run(optimizer, weights[1:], range(late), places=range(1, len(weights)), scale=scale)
    harness.run(optimizer, weights, range(late, harness.after(STEPS)), scale=scale)
    return weights


def _rounding(run: Callable[..., list[Tensor]]) -> float:
    """Return how far weights jump when gradients grow steadily: the rounding inside of a rule.

    Some rules multiply matrices in bfloat16, one by one or in batches.
    """
    low, middle, high = (run(scale=1 + change) for change in (-HAIR, 0.0, HAIR))
    return furthest([(one + other) / 2 for one, other in zip(low, high, strict=True)], middle)


def _moves_after_a_large_gradient(harness: OptimizerHarness, flag: str, value: bool) -> list[float]:
    """Return the lengths of the moves after one large gradient, with a constant one."""
    (weight,) = harness.weights(harness.shapes[:1])
    optimizer = harness.build([weight], **without_decay(harness) | {flag: value})
    large = gradient(weight, 0, 0)
    lengths = []
    for number in range(harness.after(1 + RESTS)):
        (before,) = copies([weight])
        grad = large if number <= harness.subject.waiting else REST * large
        harness.step(optimizer, number, [weight], [grad])
        lengths.append(float((weight.detach() - before).double().norm()))
    return lengths[-RESTS:]


def _move_after_the_gradient_turned(harness: OptimizerHarness, **overrides: Any) -> Tensor:
    """Return how far some steps on one gradient move a weight that has followed another."""
    (weight,) = harness.weights(harness.shapes[:1])
    optimizer = harness.build([weight], **overrides)
    turns = harness.after(3)
    for number in range(turns + TURNED):
        if number == turns:
            (before,) = copies([weight])
        harness.step(
            optimizer, number, [weight], [LARGE * gradient(weight, int(number >= turns), 0)]
        )
    return weight.detach() - before


def _stepped_last_on(harness: OptimizerHarness, grad: Tensor, *, differentiable: bool) -> Tensor:
    """Return a weight after some steps, the last of them on this gradient."""
    (weight,) = harness.weights(harness.shapes[:1])
    if differentiable:
        weight = weight.clone()  # autograd does not let a leaf change in place
    optimizer = harness.build([weight], differentiable=differentiable)
    harness.run(optimizer, [weight], range(harness.after(1)))
    harness.step(optimizer, harness.after(1), [weight], [grad])
    return weight


def require_accepted(
    harness: OptimizerHarness, weights: Sequence[Tensor], **overrides: Any
) -> None:
    """Raise `NotApplicable` if hyperparameters are refused before any weight moves."""
    before = copies(weights)
    try:
        harness.run(harness.build(weights, **overrides), weights, [0])
    except Exception as error:
        if not is_refusal(error) or furthest(weights, before) > 0:
            raise
        given = ", ".join(f"{name}={value}" for name, value in overrides.items())
        raise NotApplicable(f"{given} is refused: {describe(error)}") from None
