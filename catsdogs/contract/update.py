"""Claims about the update: where a step moves the parameters, and which it leaves unchanged."""

import copy
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from catsdogs.contract.claims import (
    ClaimFailed,
    NotApplicable,
    claim,
    closeness,
    describe,
    require,
    require_separable,
    require_setting,
)
from catsdogs.contract.harness import (
    OptimizerHarness,
    bowl,
    copies,
    distance,
    furthest,
    gradient,
)

MOVES = 5  # first moves that are followed one by one
DECAYS = (0.125, 8.0)  # the signs that a rule steps by change with a large penalty alone
DECAYED_MOVES = 2
DECAY = 0.125


@claim("The optimizer lowers a quadratic cost with the given hyperparameters.", "update")
def goes_downhill(harness: OptimizerHarness) -> str:
    weights = harness.weights()
    optimizer = harness.build(weights)
    sign = -1.0 if maximizes(harness) else 1.0
    first = float(bowl(weights))
    for number in range(harness.after(50)):
        harness.descend(optimizer, weights, number, sign=sign)
    last = float(bowl(weights))
    seen = f"cost from {first:.6g} to {last:.6g} in {harness.after(50)} steps"
    require(last < first, f"{seen} with {settings_in_words(harness)}")
    return seen


@claim("The first moves go downhill along a constant gradient.", "update")
def starts_downhill(harness: OptimizerHarness) -> str:
    weights = harness.weights()
    optimizer = harness.build(weights, **without_decay(harness))
    start = copies(weights)
    grads = [gradient(weight, 0, place) for place, weight in enumerate(weights)]
    uphill = -1.0 if maximizes(harness) else 1.0
    for number in range(harness.after(MOVES)):
        harness.step(optimizer, number, weights, grads)
        pairs = zip(weights, start, grads, strict=True)
        slope = uphill * sum(float(((w.detach() - s) * g).double().sum()) for w, s, g in pairs)
        if number < harness.subject.waiting:
            continue
        move = number - harness.subject.waiting + 1
        require(slope < 0, f"after move {move} the cost has changed by {slope:.2g}")
    return f"the cost is lower after each of {MOVES} moves"


@claim("maximize=True equals minimising the negated cost.", "update")
def climbs_with_maximize(harness: OptimizerHarness) -> str:
    require_setting(harness, "maximize")
    if harness.subject.closure:
        raise NotApplicable("its steps may depend on the cost that the closure returns")
    decay = {"weight_decay": DECAY} if "weight_decay" in harness.settings else {}
    down, up = harness.weights(), harness.weights()
    falling = harness.build(down, maximize=False, **decay)
    try:
        rising = harness.build(up, maximize=True, **decay)
    except (TypeError, ValueError, RuntimeError, NotImplementedError) as error:
        raise NotApplicable(f"maximize=True is refused: {describe(error)}") from None
    steps = range(harness.after(5))
    harness.run(falling, down, steps, scale=-1.0)
    harness.run(rising, up, steps)
    gap = furthest(up, down)
    require(gap <= harness.tolerance, f"weights differ by {gap:.1e} after {len(steps)} steps")
    return f"equal {closeness(gap)} after {len(steps)} steps{' with weight decay' if decay else ''}"


@claim("Weight decay is a penalty on the gradient, or shrinks the weights.", "update")
def decays_weights_in_one_of_the_known_ways(harness: OptimizerHarness) -> str:
    require_setting(harness, "weight_decay")
    for decay in DECAYS:
        seen = _decay_seen(harness, decay)
        if seen:
            return f"{seen}, with weight_decay={decay:g}"
    raise ClaimFailed(f"weight_decay={DECAYS[-1]:g} changes nothing in the first moves")


def _decay_seen(harness: OptimizerHarness, decay: float) -> str:
    """Return the way in which weights decay in the first moves; empty if nothing decays."""
    weights = harness.weights()
    optimizer = _built_with_decay(harness, weights, decay)
    ways: list[set[str]] = [set(KNOWN_WAYS) for _ in weights]
    close = 1e-9 if harness.dtype == torch.float64 else 1e-6
    changed = False
    for number in range(harness.after(DECAYED_MOVES)):
        before = copies(weights)
        grads = [gradient(weight, number, place) for place, weight in enumerate(weights)]
        plain = _branch(harness, weights, optimizer, number, grads)
        penalised = [g + decay * w for g, w in zip(grads, before, strict=True)]
        coupled = _branch(harness, weights, optimizer, number, penalised)
        harness.step(optimizer, number, weights, grads)
        if furthest(weights, plain) == 0:
            continue  # it waits
        changed = True
        lr = optimizer.param_groups[0].get("lr")
        factor = decay * (1.0 if lr is None else float(lr))
        for place, each in enumerate(zip(before, plain, coupled, weights, strict=True)):
            gaps = _ways(*each, factor, decay)
            here = ways[place] & {way for way, gap in gaps.items() if gap <= close}
            if not here and ways[place] <= FITTED_WAYS:
                continue  # its first move was one; later ones start from state that has decayed
            if not here and each[0].numel() < 3 and ways[0] <= FITTED_WAYS:
                continue  # too few numbers to fit a factor to
            ways[place] = here
            if not here:
                closest = ", ".join(
                    f"{gap:.1e} from {way}" for way, gap in gaps.items() if gap < math.inf
                )
                raise ClaimFailed(
                    f"tensor {place} {tuple(each[0].shape)} at step {number + 1} with "
                    f"weight_decay={decay:g}: {closest}"
                )
    found = {min(sorted(each & ways[0] or each), key=KNOWN_WAYS.index) for each in ways}
    return ", ".join(sorted(found, key=KNOWN_WAYS.index)) if changed else ""


def _built_with_decay(harness: OptimizerHarness, weights: Sequence[Tensor], decay: float) -> Any:
    overrides = {"maximize": False} if "maximize" in harness.settings else {}
    try:
        optimizer = harness.build(weights, weight_decay=decay, **overrides)
    except Exception as error:  # noqa: BLE001 - the code under test may raise anything
        raise NotApplicable(f"weight_decay={decay:g} is refused: {describe(error)}") from None
    if "weight_decay" not in optimizer.param_groups[0]:
        raise NotApplicable("its groups have no weight_decay")
    return optimizer


def _branch(
    harness: OptimizerHarness,
    weights: Sequence[Tensor],
    optimizer: Any,
    number: int,
    grads: Sequence[Tensor],
) -> list[Tensor]:
    """Return the weights after a step of a copy without weight decay."""
    ours = [weight.detach().clone().requires_grad_() for weight in weights]
    try:
        try:
            ours, other = copy.deepcopy((list(weights), optimizer))
            _step_without_decay(harness, ours, other, number, grads)
        except Exception:  # noqa: BLE001 - the code under test may raise anything
            ours = [weight.detach().clone().requires_grad_() for weight in weights]
            other = harness.build(ours)
            other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
            _step_without_decay(harness, ours, other, number, grads)
    except Exception as error:  # noqa: BLE001 - the code under test may raise anything
        raise NotApplicable(f"it cannot be copied: {describe(error)}") from None
    return copies(ours)


def _step_without_decay(
    harness: OptimizerHarness,
    weights: Sequence[Tensor],
    optimizer: Any,
    number: int,
    grads: Sequence[Tensor],
) -> None:
    for group in optimizer.param_groups:
        group["weight_decay"] = 0.0
    harness.step(optimizer, number, weights, grads)


def _ways(
    before: Tensor, plain: Tensor, coupled: Tensor, after: Tensor, factor: float, decay: float
) -> dict[str, float]:
    """Return the distance of a decayed tensor from each of the known ways.

    Args:
        before: The tensor before the step.
        plain: After a step without weight decay.
        coupled: After a step without weight decay, with a penalty added to its gradient.
        after: After the step with weight decay.
        factor: lr * weight_decay.
        decay: weight_decay.
    """
    move = plain - before
    gaps = {"an L2 penalty": distance(after, coupled)}
    for size, name in ((factor, "lr * weight_decay"), (decay, "weight_decay")):
        kept, proximal = 1 - size, 1 / (1 + size)
        gaps[f"shrinking by {name}"] = distance(after, kept * before + move)
        gaps[f"shrinking by {name} after the move"] = distance(after, kept * plain)
        gaps[f"a proximal step of {name}"] = min(
            distance(after, proximal * plain), distance(after, proximal * before + move)
        )
    gaps["none for vectors and scalars"] = distance(after, plain) if before.dim() < 2 else math.inf
    return gaps | _fitted(before, move, after, factor)


def _fitted(before: Tensor, move: Tensor, after: Tensor, usual: float) -> dict[str, float]:
    """Return the distance from the ways whose factor the optimizer chooses, as fitted to it."""
    w, m, d = (x.double().flatten() for x in (before, move, after.detach() - before))
    shrink = -float(w @ (d - m) / (w @ w))
    uniform = float((d - m + shrink * w).abs().max())
    twice = bool(usual) and round(shrink / usual) >= 2 and abs(shrink / usual % 1) < 1e-3
    basis = torch.stack([m, w], dim=1)
    length, pull = torch.linalg.lstsq(basis.cpu(), d.cpu().unsqueeze(1)).solution.flatten().tolist()
    rescaled = float((length * m + pull * w - d).abs().max())
    honest = len(w) > 2 and length > 0 > pull and abs(length - 1) > 1e-6
    # Each weight by a factor of its own, as in a preconditioned decay: never away from 0.
    each = -(d - m) / w
    towards_zero = len(w) > 2 and bool(((each > 0) & (each < 1)).all())
    varied = towards_zero and float(each.max() / each.min()) > 1.001
    return {
        "shrinking by a factor of its own": uniform if shrink > 0 and not twice else math.inf,
        "a penalty on a move of another length": rescaled if honest else math.inf,
        "shrinking each weight by a factor of its own": 0.0 if varied else math.inf,
    }


KNOWN_WAYS = (
    "an L2 penalty",
    "shrinking by lr * weight_decay",
    "shrinking by lr * weight_decay after the move",
    "a proximal step of lr * weight_decay",
    "shrinking by weight_decay",
    "shrinking by weight_decay after the move",
    "a proximal step of weight_decay",
    "a penalty on a move of another length",
    "shrinking by a factor of its own",
    "shrinking each weight by a factor of its own",
    "none for vectors and scalars",
)
FITTED_WAYS = set(KNOWN_WAYS[-4:-1])


@claim("A zero gradient without weight decay leaves new parameters unchanged.", "update")
def stands_still_on_a_zero_gradient(harness: OptimizerHarness) -> str:
    if harness.subject.random:
        raise NotApplicable("its steps draw random numbers")
    weights = harness.weights()
    optimizer = harness.build(weights)
    for group in optimizer.param_groups:
        if "weight_decay" in group:
            group["weight_decay"] = 0.0
    before = copies(weights)
    for number in range(harness.after(1)):
        harness.step(optimizer, number, weights, [torch.zeros_like(w) for w in before])
    gap = furthest(weights, before)
    if gap == 0:
        return "no weight moved"
    # Some have a small decay of another name, such as lambd of torch's ASGD.
    shares = [float((new / old).flatten()[0]) for new, old in zip(weights, before, strict=True)]
    shrunk = [share * old for share, old in zip(shares, before, strict=True)]
    only_shrunk = furthest(weights, shrunk) <= harness.tolerance
    require(
        only_shrunk and all(0.99 < share <= 1 for share in shares), f"weights moved by {gap:.1e}"
    )
    return f"weights shrank by a fraction of {1 - min(shares):.0e}, a decay besides weight_decay"


@claim("A parameter without a gradient is neither moved nor given state.", "update")
def skips_parameters_without_gradient(harness: OptimizerHarness) -> str:
    require_separable(harness)
    weights = harness.weights()
    plain, _ = harness.trained(3)
    shape = weights[0].shape
    idle = [
        torch.ones(shape, dtype=harness.dtype, device=weights[0].device, requires_grad=True)
        for _ in range(2)
    ]
    optimizer = harness.build([idle[0], *weights, idle[1]])
    at_start = [len(optimizer.state.get(each, {})) for each in idle]  # torch's Adagrad makes sums
    harness.run(optimizer, weights, range(harness.after(3)))
    for place, (each, start) in enumerate(zip(idle, at_start, strict=True)):
        which = ("first", "last")[place]
        moved = each.detach().flatten()[0].item()
        require(bool((each == 1).all()), f"the {which} parameter moved from 1 to {moved}")
        grown = len(optimizer.state.get(each, {})) - start
        require(grown == 0, f"the {which} parameter has {grown} entries of state")
    gap = furthest(weights, plain)
    require(
        gap <= harness.tolerance,
        f"the other parameters differ by {gap:.1e} from a run without the idle ones",
    )
    return "not moved, no state; the parameters after it move"


@claim("A step without any gradients changes nothing.", "use")
def does_nothing_without_gradients(harness: OptimizerHarness) -> str:
    require_separable(harness)
    weights, optimizer = harness.trained(2)
    before = copies(weights)
    clear(weights)
    harness.step(optimizer, harness.after(2))
    require(furthest(weights, before) == 0, f"weights moved by {furthest(weights, before):.1e}")
    harness.run(optimizer, weights, range(harness.after(2), harness.after(4)))
    never_idle, _ = harness.trained(4)
    gap = furthest(weights, never_idle)
    require_no_group_counts(harness, gap)
    require(gap <= harness.tolerance, f"later steps differ by {gap:.1e}")
    return "same weights, same later steps"


@claim("Each parameter moves as it would alone, regardless of the others.", "update")
def moves_each_parameter_by_itself(harness: OptimizerHarness) -> str:
    require_separable(harness)
    together, _ = harness.trained(5)
    steps = range(harness.after(5))
    for place, weight in enumerate(harness.weights()):
        harness.run(harness.build([weight]), [weight], steps, places=[place])
        gap = distance(together[place], weight)
        require(gap <= harness.tolerance, f"tensor {place} differs by {gap:.1e} from a run alone")
    return f"{len(together)} tensors, {len(steps)} steps"


@claim("A parameter whose first gradient comes late starts like a new parameter.", "use")
def starts_a_late_parameter_from_its_own_first_step(harness: OptimizerHarness) -> str:
    require_separable(harness)
    early, late = pair(harness)
    optimizer = harness.build([early, late])
    begin, end = harness.after(3), harness.after(3) + harness.after(3)
    harness.run(optimizer, [early], range(begin))
    fresh = late.detach().clone().requires_grad_()
    harness.run(optimizer, [early, late], range(begin, end))
    harness.run(harness.build([fresh]), [fresh], range(begin, end), places=[1])
    gap = distance(late, fresh)
    counts = ", ".join(harness.subject.group_counts)
    why = f"; its groups count steps for all of their parameters ({counts})" if counts else ""
    require(gap <= harness.tolerance, f"differs by {gap:.1e} from a new parameter{why}")
    return f"same weights after a start {begin} steps late"


@claim("A parameter frozen for some steps continues as if it had not been frozen.", "use")
def continues_a_frozen_parameter(harness: OptimizerHarness) -> str:
    require_separable(harness)
    weight, other = pair(harness)
    optimizer = harness.build([weight, other])
    alone = weight.detach().clone().requires_grad_()
    reference = harness.build([alone])
    first = harness.after(3)
    for number in range(first + 5):
        if number in (first, first + 1):
            weight.grad = None
            harness.run(optimizer, [other], [number], places=[1])
        else:
            harness.run(optimizer, [weight, other], [number])
            harness.run(reference, [alone], [number])
    gap = distance(weight, alone)
    require_no_group_counts(harness, gap)
    require(gap <= harness.tolerance, f"differs by {gap:.1e} from a run without the frozen steps")
    return f"frozen in steps {first + 1} and {first + 2} of {first + 5}"


def require_no_group_counts(harness: OptimizerHarness, gap: float) -> None:
    """Leave a difference to the claim about late parameters if groups count the steps."""
    if gap > harness.tolerance and harness.subject.group_counts:
        counts = ", ".join(harness.subject.group_counts)
        raise NotApplicable(
            f"its groups count steps for all of their parameters ({counts}), see "
            "starts_a_late_parameter_from_its_own_first_step"
        )


def maximizes(harness: OptimizerHarness) -> bool:
    """Return whether the optimizer is built to maximize."""
    flag = harness.settings.get("maximize", harness.subject.defaults.get("maximize"))
    return flag is True


def without_decay(harness: OptimizerHarness) -> dict[str, Any]:
    """Return the override that disables weight decay, if the constructor takes it."""
    decays = harness.settings.get("weight_decay")
    return {"weight_decay": 0.0} if isinstance(decays, int | float) and decays else {}


def settings_in_words(harness: OptimizerHarness) -> str:
    """Return the hyperparameters and their values, such as "lr=0.1, betas=(0.9, 0.999)"."""
    return ", ".join(f"{name}={value}" for name, value in harness.settings.items()) or "no settings"


def clear(weights: Sequence[Tensor]) -> None:
    """Set the gradients to None."""
    for weight in weights:
        weight.grad = None


def pair(harness: OptimizerHarness) -> tuple[Tensor, Tensor]:
    """Return two parameters of accepted shapes."""
    shapes = (harness.shapes * 2)[:2]
    first, second = harness.weights(shapes)
    return first, second
