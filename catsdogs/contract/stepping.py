"""Claims about a step: what it moves, what it must leave alone, and how it treats a closure."""

import copy
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer, lr_scheduler

from catsdogs.contract.claims import (
    Broken,
    NotApplicable,
    claim,
    describe,
    require,
    require_separable,
)
from catsdogs.contract.subject import (
    TOLERANCE,
    Subject,
    copies,
    distance,
    furthest,
    gradient,
    origin,
    step,
)


@claim("It goes downhill on a quadratic bowl, with the hyperparameters that it was given.")
def goes_downhill(subject: Subject) -> str:
    weights = subject.weights()
    first, last = _descend(subject.build(weights), weights, 50)
    require(last < first, f"the cost went from {first:.4g} to {last:.4g} in 50 steps")
    return f"the cost went from {first:.4g} to {last:.4g} in 50 steps"


@claim("It steps under torch's schedulers, which set its learning rate, and stays finite.")
def works_with_schedulers(subject: Subject) -> str:
    if "lr" not in subject.defaults:
        raise NotApplicable("it has no lr")
    lr = float(subject.defaults["lr"])
    cycled = bool({"momentum", "betas"} & set(subject.defaults))
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
        weights = subject.weights()
        optimizer = subject.build(weights)
        scheduler = build(optimizer)
        for number in range(10):
            cost = _bowl(weights)
            torch.autograd.backward(cost)
            scheduled = float(optimizer.param_groups[0]["lr"])
            step(optimizer, number)
            now = float(optimizer.param_groups[0]["lr"])
            require(now == scheduled, f"{name} set lr to {scheduled}, a step made it {now}")
            scheduler.step(*([1.0] if name == "ReduceLROnPlateau" else []))
            optimizer.zero_grad()
        finite = all(bool(weight.isfinite().all()) for weight in weights)
        require(finite, f"weights are not finite after 10 steps of {name}")
        now = float(optimizer.param_groups[0]["lr"])
        require(lr == 0 or now != lr, f"lr is still {lr} after 10 steps of {name}")
    return f"{', '.join(schedules)}{' (momentum cycled)' if cycled else ''}"


@claim("maximize=True equals minimising the negated cost.")
def climbs_with_maximize(subject: Subject) -> str:
    if "maximize" not in subject.defaults:
        raise NotApplicable("it has no maximize")
    down, up = subject.weights(), subject.weights()
    decay = {"weight_decay": 0.125} if "weight_decay" in subject.defaults else {}
    subject.run(subject.build(down, maximize=False, **decay), down, range(5), scale=-1.0)
    subject.run(subject.build(up, maximize=True, **decay), up, range(5))
    gap = furthest(up, down)
    require(gap <= TOLERANCE, f"weights differ by {gap:.1e} after 5 steps")
    return f"same weights to {gap:.0e} after 5 steps{' with weight decay' if decay else ''}"


@claim("Weight decay is an L2 penalty on the gradient or shrinks the weights by lr * weight_decay.")
def decays_weights_in_one_of_the_known_ways(subject: Subject) -> str:
    if "weight_decay" not in subject.defaults:
        raise NotApplicable("it has no weight_decay")
    rate, lr = 0.125, float(subject.defaults.get("lr", 1.0))
    overrides = {"maximize": False} if "maximize" in subject.defaults else {}
    weights, penalised, plain = subject.weights(), subject.weights(), subject.weights()
    decaying = subject.build(weights, weight_decay=rate, **overrides)
    coupled = subject.build(penalised, weight_decay=0.0, **overrides)
    decoupled = subject.build(plain, weight_decay=0.0, **overrides)
    gaps = {"L2 penalty": 0.0, "shrinking": 0.0}
    for number in range(5):
        before = copies(weights)
        for place, weight in enumerate(penalised):
            weight.grad = gradient(weight, number, place) + rate * weight.detach()
        step(coupled, number)
        subject.run(decaying, weights, [number])
        subject.run(decoupled, plain, [number])
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
    return f"{best}, to {gaps[best]:.0e} over 5 steps"


@claim("A zero gradient without weight decay leaves fresh parameters where they are.")
def stands_still_on_a_zero_gradient(subject: Subject) -> str:
    weights = subject.weights()
    optimizer = subject.build(weights)
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
    # torch's ASGD has a small decay of its own, lambd, besides weight_decay.
    factor = float((weights[0] / before[0]).flatten()[0])
    shrunk = furthest(weights, [factor * weight for weight in before]) <= TOLERANCE
    require(shrunk and 0.99 < factor < 1, f"weights moved by {gap:.1e}")
    return f"every weight shrank by {1 - factor:.0e} of itself, a decay that is not weight_decay"


@claim("A parameter without a gradient is neither moved nor given state.")
def skips_parameters_without_gradient(subject: Subject) -> str:
    require_separable(subject)
    weights = subject.weights()
    idle = torch.ones(weights[0].shape, dtype=torch.float64, requires_grad=True)
    optimizer = subject.build([*weights, idle])
    at_start = len(optimizer.state.get(idle, {}))  # torch's Adagrad has its sums from the start
    subject.run(optimizer, weights, range(3))
    require(bool((idle == 1).all()), f"it moved to {idle.flatten()[0].item()}")
    grown = len(optimizer.state.get(idle, {})) - at_start
    require(grown == 0, f"it was given {grown} entries of state")
    return "not moved, no state"


@claim("A step without any gradient changes nothing.")
def does_nothing_without_gradients(subject: Subject) -> str:
    require_separable(subject)
    weights, optimizer = subject.trained(2)
    before = copies(weights)
    optimizer.zero_grad()
    step(optimizer, 2)
    require(furthest(weights, before) == 0, f"weights moved by {furthest(weights, before):.1e}")
    subject.run(optimizer, weights, range(2, 4))
    never_idle, _ = subject.trained(4)
    gap = furthest(weights, never_idle)
    require(gap <= TOLERANCE, f"the steps after it are off by {gap:.1e}")
    return "neither weights nor later steps"


@claim("Each parameter moves as it would alone, whatever the others do.")
def moves_each_parameter_by_itself(subject: Subject) -> str:
    require_separable(subject)
    together, _ = subject.trained(5)
    for place, weight in enumerate(subject.weights()):
        subject.run(subject.build([weight]), [weight], range(5), places=[place])
        gap = distance(together[place], weight)
        require(gap <= TOLERANCE, f"tensor {place} is {gap:.1e} from where it goes alone")
    return f"{len(together)} tensors, 5 steps"


@claim("A parameter whose first gradient comes late starts like one that starts then.")
def starts_a_late_parameter_from_its_own_first_step(subject: Subject) -> str:
    require_separable(subject)
    early, late = _pair(subject)
    optimizer = subject.build([early, late])
    subject.run(optimizer, [early], range(3))
    fresh = late.detach().clone().requires_grad_()
    subject.run(optimizer, [early, late], range(3, 6))
    subject.run(subject.build([fresh]), [fresh], range(3, 6), places=[1])
    gap = distance(late, fresh)
    require(gap <= TOLERANCE, f"{gap:.1e} from a fresh start after 3 steps")
    return "3 steps late, same weights"


@claim("A parameter frozen for some steps continues as if they had not been.")
def continues_a_frozen_parameter(subject: Subject) -> str:
    require_separable(subject)
    weight, other = _pair(subject)
    optimizer = subject.build([weight, other])
    alone = weight.detach().clone().requires_grad_()
    reference = subject.build([alone])
    for number in range(8):
        if number in (3, 4):
            weight.grad = None
            subject.run(optimizer, [other], [number], places=[1])
        else:
            subject.run(optimizer, [weight, other], [number])
            subject.run(reference, [alone], [number])
    gap = distance(weight, alone)
    require(gap <= TOLERANCE, f"{gap:.1e} from the run without the pause")
    return "frozen at steps 4 and 5 of 8"


@claim("The gradients are left as they are, with weight decay and maximize as well.")
def leaves_gradients_alone(subject: Subject) -> str:
    tried = []
    settings: dict[str, Any] = {"defaults": None, "weight_decay": 0.125, "maximize": True}
    for name, value in settings.items():
        overrides = {} if value is None else {name: value}
        if not overrides.keys() <= subject.defaults.keys():
            continue
        weights, optimizer = subject.trained(1, **overrides)
        for number in (1, 2):
            subject.run(optimizer, weights, [number])
            for place, weight in enumerate(weights):
                due = gradient(weight, number, place)
                if weight.grad is None:
                    raise Broken(f"the gradient of tensor {place} is gone")
                gap = distance(weight.grad, due)
                require(gap == 0, f"tensor {place} off by {gap:.1e} with {name}")
        tried.append(name)
    return f"with {', '.join(tried)}"


@claim("State does not share memory with the gradients, which the next backward overwrites.")
def keeps_no_gradient(subject: Subject) -> str:
    weights, overwritten = subject.weights(), subject.weights()
    optimizer, other = subject.build(weights), subject.build(overwritten)
    for number in range(6):
        subject.run(optimizer, weights, [number % 3])
        subject.run(other, overwritten, [number % 3])
        for weight in overwritten:
            if weight.grad is not None:
                weight.grad.fill_(1e3)
    gap = furthest(overwritten, weights)
    require(gap == 0, f"overwriting the gradients after each step moved weights by {gap:.1e}")
    return "gradients overwritten after each of 6 steps, same weights"


@claim("The closure runs once, with gradients on, before they are read; its value comes back.")
def runs_the_closure_once_with_gradients_on(subject: Subject) -> str:
    if subject.wants == "samples":
        raise NotApplicable("it is told slopes of one evaluation, which a closure would repeat")
    plain, _ = subject.trained(1)
    weights = subject.weights()
    optimizer = subject.build(weights)
    value = torch.tensor(3.0)
    grad_modes = []

    def closure() -> Tensor:
        grad_modes.append(torch.is_grad_enabled())
        for place, weight in enumerate(weights):
            weight.grad = gradient(weight, 0, place)
        return value

    with torch.no_grad():  # as a caller may
        returned = step(optimizer, 0, closure)
    require(len(grad_modes) == 1, f"called {len(grad_modes)} times")
    require(grad_modes[0], "called with gradients off")
    require(returned is value, f"returned {returned!r} instead of what the closure returned")
    gap = furthest(weights, plain)
    require(gap == 0, f"its gradients were not the ones used: off by {gap:.1e}")
    return "called once, gradients on, value returned"


@claim("A step without a closure returns None.")
def returns_none_without_a_closure(subject: Subject) -> str:
    weights, optimizer = subject.trained(1)
    for place, weight in enumerate(weights):
        weight.grad = gradient(weight, 1, place)
    returned = step(optimizer, 1)
    require(returned is None, f"returned {returned!r}")
    return "None"


@claim("Weights stay leaves without a graph, whether the caller has gradients on or off.")
def steps_outside_the_graph(subject: Subject) -> str:
    weights, optimizer = subject.trained(2)
    for weight in weights:
        require(weight.is_leaf and weight.requires_grad, "a weight is no trainable leaf any more")
    for state in optimizer.state.values():
        for name, value in state.items() if isinstance(state, dict) else ():
            grows = isinstance(value, Tensor) and value.requires_grad
            require(
                not grows, f"{name} of the state requires gradients: every step adds to a graph"
            )
    return "leaves, no state in a graph"


@claim("Weights move in place, so that views and averages of them follow.")
def moves_weights_in_place(subject: Subject) -> str:
    weights = subject.weights()
    views = [weight.detach().view(-1) for weight in weights]
    optimizer = subject.build(weights)
    subject.run(optimizer, weights, range(3))
    gap = furthest([view.view(w.shape) for view, w in zip(views, weights, strict=True)], weights)
    require(gap == 0, f"a view taken before is {gap:.1e} behind")
    return "views taken before follow"


@claim("Autograd sees the move: backward through a graph built before it is refused.")
def shows_its_move_to_autograd(subject: Subject) -> str:
    weights = subject.weights()
    versions = [weight._version for weight in weights]
    subject.run(subject.build(weights), weights, [0])
    silent = [i for i, (v, w) in enumerate(zip(versions, weights, strict=True)) if w._version == v]
    require(not silent, f"tensors {silent} moved without a new version, as .data does")
    return "every version counter grew"


@claim("A strided, expanded or transposed parameter or gradient steps like a contiguous one.")
def takes_any_memory_layout(subject: Subject) -> str:
    for place, plain in enumerate(subject.trained(3)[0]):
        if plain.dim() != 2:
            continue
        start = subject.weights()[place].detach()
        weight = start.t().contiguous().t().requires_grad_()
        strides = weight.stride()
        optimizer = subject.build([weight])
        for number in range(3):
            due = gradient(weight, number, place)
            weight.grad = due if number % 2 else due.t().contiguous().t()
            step(optimizer, number)
        gap = distance(weight, plain)
        require(gap <= TOLERANCE, f"a transposed weight is off by {gap:.1e}")
        require(weight.stride() == strides, f"strides went from {strides} to {weight.stride()}")
        return "transposed weight, gradients of both layouts"
    raise NotApplicable("it takes no matrices")


@claim("Weights of float64, float32 and bfloat16 keep their type, in one optimizer if they can.")
def keeps_the_type_of_weights(subject: Subject) -> str:
    types = (torch.float64, torch.float32, torch.bfloat16)
    models = [subject.weights(dtype=dtype) for dtype in types]
    if subject.wants == "samples":
        for model in models:
            subject.run(subject.build(model), model, range(3))
    else:
        weights = [model[0] for model in models]
        subject.run(subject.build(weights), weights, range(3), places=[0, 0, 0])
    for (weight, *_), dtype in zip(models, types, strict=True):
        require(weight.dtype == dtype, f"{dtype} became {weight.dtype}")
        # bfloat16 has 8 bits of precision and its steps may round to nothing.
        gap = distance(weight, models[0][0])
        require(gap < 0.1, f"{dtype} is {gap:.1e} from float64 after 3 steps")
    return "one optimizer each" if subject.wants == "samples" else "mixed in one optimizer"


@claim("Sparse gradients step like dense ones or are refused before anything moves.")
def steps_or_refuses_sparse_gradients(subject: Subject) -> str:
    require_separable(subject)
    overrides = {"weight_decay": 0.0} if "weight_decay" in subject.defaults else {}
    weight, dense = (subject.weights([(4, 3)])[0] for _ in range(2))
    before = weight.detach().clone()
    rows = torch.zeros(4, 3, dtype=torch.float64)
    rows[1] = 1.0
    dense.grad, weight.grad = rows, rows.to_sparse()
    step(subject.build([dense], **overrides), 0)
    try:
        step(subject.build([weight], **overrides), 0)
    except (RuntimeError, NotImplementedError, ValueError, TypeError) as error:
        require(distance(weight, before) == 0, f"moved, then refused: {describe(error)}")
        return f"refused: {describe(error)}"
    gap = distance(weight, dense)
    require(gap <= TOLERANCE, f"off by {gap:.1e} from the dense step")
    return "same weights as with a dense gradient"


@claim("Complex parameters step like their real and imaginary parts or are refused.")
def steps_or_refuses_complex_parameters(subject: Subject) -> str:
    require_separable(subject)
    real = subject.weights([(4, 3, 2)] if (5,) in subject.shapes else [(4, 6)])[0]
    weight = torch.view_as_complex(real.detach().clone().view(4, 3, 2)).requires_grad_()
    before = weight.detach().clone()
    try:
        optimizer, parts = subject.build([weight]), subject.build([real])
        for number in range(3):
            real.grad = gradient(real, number, 0)
            weight.grad = torch.view_as_complex(real.grad.clone().view(4, 3, 2))
            step(parts, number)
            step(optimizer, number)
    except (RuntimeError, NotImplementedError, ValueError, TypeError) as error:
        require(torch.equal(weight, before), f"moved, then refused: {describe(error)}")
        return f"refused: {describe(error)}"
    gap = distance(torch.view_as_real(weight.detach()).view(real.shape), real)
    require(gap <= TOLERANCE, f"off by {gap:.1e} from the run on real and imaginary parts")
    return "same weights as the real and imaginary parts"


@claim("GradScaler steps it with unscaled gradients and skips it when one overflowed.")
def works_under_a_gradient_scaler(subject: Subject) -> str:
    plain, _ = subject.trained(2, dtype=torch.float32)
    weights = subject.weights(dtype=torch.float32)
    optimizer = subject.build(weights)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0, growth_interval=1000)
    scaler.scale(torch.zeros(()))  # the scaler creates its scale at the first use
    for number in range(2):
        for place, weight in enumerate(weights):
            weight.grad = gradient(weight, number, place)
        told = origin(optimizer, number)
        for weight in weights:
            weight.grad = None if weight.grad is None else weight.grad * 1024.0
        scaler.step(optimizer, **told)
        scaler.update()
    gap = furthest(weights, plain)
    require(gap < 1e-6, f"off by {gap:.1e} from the steps without a scaler")
    before = copies(weights)
    for weight in weights:
        weight.grad = torch.full_like(weight, torch.inf)
    scaler.step(optimizer, **origin(optimizer, 2))
    require(furthest(weights, before) == 0, "it stepped on an infinite gradient")
    return "2 steps scaled by 1024, 1 skipped"


@claim("Hooks before and after a step run once each, with the optimizer.")
def runs_step_hooks(subject: Subject) -> str:
    weights, optimizer = subject.trained(1)
    seen: list[tuple[str, Optimizer]] = []
    optimizer.register_step_pre_hook(lambda o, *_: seen.append(("before", o)))
    optimizer.register_step_post_hook(lambda o, *_: seen.append(("after", o)))
    subject.run(optimizer, weights, [1])
    require(seen == [("before", optimizer), ("after", optimizer)], f"ran {[s[0] for s in seen]}")
    return "before, after"


@claim("zero_grad clears gradients, to None or to zero as asked, and nothing else.")
def clears_gradients(subject: Subject) -> str:
    plain, _ = subject.trained(3)
    weights, optimizer = subject.trained(2)
    optimizer.zero_grad(set_to_none=False)
    zero = all(w.grad is not None and not bool(w.grad.any()) for w in weights)
    require(zero, "set_to_none=False left a gradient that is not zero")
    optimizer.zero_grad()
    require(all(weight.grad is None for weight in weights), "a gradient is not None")
    subject.run(optimizer, weights, [2])
    gap = furthest(weights, plain)
    require(gap == 0, f"the step after it is off by {gap:.1e}")
    return "zero, None"


@claim("Two equal runs give the same bits, whatever uninitialised memory holds.")
def gives_the_same_bits_twice(subject: Subject) -> str:
    first, _ = subject.trained(4)
    was = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    # In this mode torch.empty is filled with nan.
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        second, _ = subject.trained(4)
    finally:
        torch.use_deterministic_algorithms(was, warn_only=warn_only)
    gap = furthest(second, first)
    require(gap == 0, f"the second run is off by {gap:.1e}")
    return "same bits, empty memory filled with nan"


@claim("A step leaves the hyperparameters in the groups as they are.")
def leaves_hyperparameters_alone(subject: Subject) -> str:
    weights = subject.weights()
    optimizer = subject.build(weights)
    before = [
        {k: copy.copy(v) for k, v in g.items() if k in subject.defaults}
        for g in optimizer.param_groups
    ]
    subject.run(optimizer, weights, range(3))
    for old, new in zip(before, optimizer.param_groups, strict=True):
        changed = [name for name, value in old.items() if new.get(name) != value]
        require(not changed, f"{changed} changed within 3 steps")
    return "unchanged after 3 steps"


def _bowl(weights: list[Tensor]) -> Tensor:
    return torch.stack([(weight - 3).square().sum() for weight in weights]).sum()


def _descend(optimizer: Optimizer, weights: list[Tensor], steps: int) -> tuple[float, float]:
    first = float(_bowl(weights))
    for number in range(steps):
        optimizer.zero_grad()
        torch.autograd.backward(_bowl(weights))
        step(optimizer, number)
    return first, float(_bowl(weights))


def _pair(subject: Subject) -> tuple[Tensor, Tensor]:
    shapes = (subject.shapes * 2)[:2]
    first, second = subject.weights(shapes)
    return first, second
