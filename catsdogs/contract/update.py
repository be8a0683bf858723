"""Claims about the update: how a step moves the parameters, and which it leaves unchanged."""

from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer, lr_scheduler

from catsdogs.contract.claims import (
    NotApplicable,
    claim,
    closeness,
    require,
    require_separable,
)
from catsdogs.contract.harness import (
    TOLERANCE,
    OptimizerHarness,
    copies,
    distance,
    furthest,
    gradient,
    step,
)


@claim("The optimizer lowers a quadratic cost with the given hyperparameters.")
def goes_downhill(harness: OptimizerHarness) -> str:
    weights = harness.weights()
    first, last = _descend(harness.build(weights), weights, 50)
    require(last < first, f"cost from {first:.4g} to {last:.4g} in 50 steps")
    return f"cost from {first:.4g} to {last:.4g} in 50 steps"


@claim("A step keeps the learning rate that torch's schedulers set, and weights stay finite.")
def works_with_schedulers(harness: OptimizerHarness) -> str:
    if "lr" not in harness.defaults:
        raise NotApplicable("it has no lr")
    lr = float(harness.defaults["lr"])
    cycled = bool({"momentum", "betas"} & set(harness.defaults))
    schedules: dict[str, Any] = {
        "StepLR": lambda o: lr_scheduler.StepLR(o, 3, gamma=0.5),
        "CosineAnnealingLR": lambda o: lr_scheduler.CosineAnnealingLR(o, 10),
        "LambdaLR": lambda o: lr_scheduler.LambdaLR(o, lambda t: 0.9**t),
        "ReduceLROnPlateau": lambda o: lr_scheduler.ReduceLROnPlateau(o, patience=1),
        "OneCycleLR": lambda o: lr_scheduler.OneCycleLR(
            o, max_lr=lr or 1.0, total_steps=20, cycle_momentum=cycled
        ),
    }
    for name, build in schedules.items():
        weights = harness.weights()
        optimizer = harness.build(weights)
        scheduler = build(optimizer)
        for number in range(10):
            cost = _quadratic_cost(weights)
            torch.autograd.backward(cost)
            scheduled = float(optimizer.param_groups[0]["lr"])
            step(optimizer, number)
            now = float(optimizer.param_groups[0]["lr"])
            require(now == scheduled, f"{name} set lr to {scheduled}, a step changed it to {now}")
            scheduler.step(*([1.0] if name == "ReduceLROnPlateau" else []))
            optimizer.zero_grad()
        finite = all(bool(weight.isfinite().all()) for weight in weights)
        require(finite, f"weights are not finite after 10 steps with {name}")
        now = float(optimizer.param_groups[0]["lr"])
        require(lr == 0 or now != lr, f"lr is still {lr} after 10 steps with {name}")
    return f"{', '.join(schedules)}{' (momentum cycled)' if cycled else ''}"


@claim("maximize=True equals minimising the negated cost.")
def climbs_with_maximize(harness: OptimizerHarness) -> str:
    if "maximize" not in harness.defaults:
        raise NotApplicable("it has no maximize")
    down, up = harness.weights(), harness.weights()
    decay = {"weight_decay": 0.125} if "weight_decay" in harness.defaults else {}
    harness.run(harness.build(down, maximize=False, **decay), down, range(5), scale=-1.0)
    harness.run(harness.build(up, maximize=True, **decay), up, range(5))
    gap = furthest(up, down)
    require(gap <= TOLERANCE, f"weights differ by {gap:.1e} after 5 steps")
    return f"equal {closeness(gap)} after 5 steps{' with weight decay' if decay else ''}"


@claim("Weight decay is an L2 penalty on the gradient or shrinks the weights by lr * weight_decay.")
def decays_weights_in_one_of_the_known_ways(harness: OptimizerHarness) -> str:
    if "weight_decay" not in harness.defaults:
        raise NotApplicable("it has no weight_decay")
    rate, lr = 0.125, float(harness.defaults.get("lr", 1.0))
    overrides = {"maximize": False} if "maximize" in harness.defaults else {}
    weights, penalised, plain = harness.weights(), harness.weights(), harness.weights()
    decaying = harness.build(weights, weight_decay=rate, **overrides)
    coupled = harness.build(penalised, weight_decay=0.0, **overrides)
    decoupled = harness.build(plain, weight_decay=0.0, **overrides)
    gaps = {"L2 penalty": 0.0, "shrinking": 0.0}
    for number in range(5):
        before = copies(weights)
        for place, weight in enumerate(penalised):
            weight.grad = gradient(weight, number, place) + rate * weight.detach()
        step(coupled, number)
        harness.run(decaying, weights, [number])
        harness.run(decoupled, plain, [number])
        shrunk = [w.detach() - lr * rate * old for w, old in zip(plain, before, strict=True)]
        gaps["L2 penalty"] = max(gaps["L2 penalty"], furthest(weights, penalised))
        gaps["shrinking"] = max(gaps["shrinking"], furthest(weights, shrunk))
        with torch.no_grad():
            for weight, other in zip(plain, weights, strict=True):
                weight.copy_(other)
    best = min(gaps, key=lambda name: gaps[name])
    require(
        gaps[best] <= TOLERANCE,
        f"neither: {gaps['L2 penalty']:.1e} from a penalty, {gaps['shrinking']:.1e} from shrinking",
    )
    return f"{best}, equal {closeness(gaps[best])} over 5 steps"


@claim("A zero gradient without weight decay leaves new parameters unchanged.")
def stands_still_on_a_zero_gradient(harness: OptimizerHarness) -> str:
    weights = harness.weights()
    optimizer = harness.build(weights)
    for group in optimizer.param_groups:
        if "weight_decay" in group:
            group["weight_decay"] = 0.0
    before = copies(weights)
    for weight in weights:
        weight.grad = torch.zeros_like(weight)
    step(optimizer, 0)
    gap = furthest(weights, before)
    if gap == 0:
        return "no weight moved"
    # torch's ASGD has a small decay, lambd, besides weight_decay.
    factor = float((weights[0] / before[0]).flatten()[0])
    shrunk = furthest(weights, [factor * weight for weight in before]) <= TOLERANCE
    require(shrunk and 0.99 < factor < 1, f"weights moved by {gap:.1e}")
    return f"every weight shrank by a fraction of {1 - factor:.0e}, a decay besides weight_decay"


@claim("A parameter without a gradient is neither moved nor given state.")
def skips_parameters_without_gradient(harness: OptimizerHarness) -> str:
    require_separable(harness)
    weights = harness.weights()
    idle = torch.ones(weights[0].shape, dtype=torch.float64, requires_grad=True)
    optimizer = harness.build([*weights, idle])
    at_start = len(optimizer.state.get(idle, {}))  # torch's Adagrad creates its sums here
    harness.run(optimizer, weights, range(3))
    require(bool((idle == 1).all()), f"it moved to {idle.flatten()[0].item()}")
    grown = len(optimizer.state.get(idle, {})) - at_start
    require(grown == 0, f"it has {grown} entries of state")
    return "not moved, no state"


@claim("A step without any gradients changes nothing.")
def does_nothing_without_gradients(harness: OptimizerHarness) -> str:
    require_separable(harness)
    weights, optimizer = harness.trained(2)
    before = copies(weights)
    optimizer.zero_grad()
    step(optimizer, 2)
    require(furthest(weights, before) == 0, f"weights moved by {furthest(weights, before):.1e}")
    harness.run(optimizer, weights, range(2, 4))
    never_idle, _ = harness.trained(4)
    gap = furthest(weights, never_idle)
    require(gap <= TOLERANCE, f"later steps differ by {gap:.1e}")
    return "same weights, same later steps"


@claim("Each parameter moves as it would alone, regardless of the others.")
def moves_each_parameter_by_itself(harness: OptimizerHarness) -> str:
    require_separable(harness)
    together, _ = harness.trained(5)
    for place, weight in enumerate(harness.weights()):
        harness.run(harness.build([weight]), [weight], range(5), places=[place])
        gap = distance(together[place], weight)
        require(gap <= TOLERANCE, f"tensor {place} differs by {gap:.1e} from a run alone")
    return f"{len(together)} tensors, 5 steps"


@claim("A parameter whose first gradient comes late starts like a new parameter.")
def starts_a_late_parameter_from_its_own_first_step(harness: OptimizerHarness) -> str:
    require_separable(harness)
    early, late = _pair(harness)
    optimizer = harness.build([early, late])
    harness.run(optimizer, [early], range(3))
    fresh = late.detach().clone().requires_grad_()
    harness.run(optimizer, [early, late], range(3, 6))
    harness.run(harness.build([fresh]), [fresh], range(3, 6), places=[1])
    gap = distance(late, fresh)
    require(gap <= TOLERANCE, f"differs by {gap:.1e} from a new parameter after 3 steps")
    return "same weights after a start 3 steps late"


@claim("A parameter frozen for some steps continues as if it had not been frozen.")
def continues_a_frozen_parameter(harness: OptimizerHarness) -> str:
    require_separable(harness)
    weight, other = _pair(harness)
    optimizer = harness.build([weight, other])
    alone = weight.detach().clone().requires_grad_()
    reference = harness.build([alone])
    for number in range(8):
        if number in (3, 4):
            weight.grad = None
            harness.run(optimizer, [other], [number], places=[1])
        else:
            harness.run(optimizer, [weight, other], [number])
            harness.run(reference, [alone], [number])
    gap = distance(weight, alone)
    require(gap <= TOLERANCE, f"differs by {gap:.1e} from a run without the frozen steps")
    return "frozen in steps 4 and 5 of 8"


def _quadratic_cost(weights: list[Tensor]) -> Tensor:
    return torch.stack([(weight - 3).square().sum() for weight in weights]).sum()


def _descend(optimizer: Optimizer, weights: list[Tensor], steps: int) -> tuple[float, float]:
    first = float(_quadratic_cost(weights))
    for number in range(steps):
        optimizer.zero_grad()
        torch.autograd.backward(_quadratic_cost(weights))
        step(optimizer, number)
    return first, float(_quadratic_cost(weights))


def _pair(harness: OptimizerHarness) -> tuple[Tensor, Tensor]:
    shapes = (harness.shapes * 2)[:2]
    first, second = harness.weights(shapes)
    return first, second
