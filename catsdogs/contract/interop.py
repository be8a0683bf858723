"""Claims about interoperation with gradients, closures, autograd, dtypes, scalers and hooks."""

import copy
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from catsdogs.contract.claims import (
    ClaimFailed,
    NotApplicable,
    claim,
    describe,
    require,
    require_scalable,
    require_separable,
)
from catsdogs.contract.harness import (
    OptimizerHarness,
    copies,
    distance,
    furthest,
    gradient,
    origin,
)
from catsdogs.contract.probe import deliberate
from catsdogs.contract.update import without_decay


@claim("A step leaves gradients unchanged, also with weight decay and with maximize.", "update")
def leaves_gradients_alone(harness: OptimizerHarness) -> str:
    tried = []
    settings: dict[str, Any] = {"the given settings": None, "weight_decay": 0.125, "maximize": True}
    for name, value in settings.items():
        overrides = {} if value is None else {name: value}
        if not overrides.keys() <= harness.settings.keys():
            continue
        try:
            weights, optimizer = harness.trained(1, **overrides)
        except Exception:
            if value is None:
                raise
            continue  # it excludes another setting, such as a fused step
        for number in range(harness.after(1), harness.after(3)):
            harness.run(optimizer, weights, [number])
            for place, weight in enumerate(weights):
                expected = gradient(weight, number, place)
                if weight.grad is None:
                    raise ClaimFailed(f"the gradient of tensor {place} became None")
                gap = distance(weight.grad, expected)
                with_value = name if value is None else f"{name}={value}"
                require(
                    gap == 0,
                    f"the gradient of tensor {place} changed by {gap:.1e} with {with_value}",
                )
        tried.append(name if value is None else f"{name}={value}")
    return f"tried {', '.join(tried)}"


@claim(
    "State shares no memory with the gradients, which the next backward pass overwrites.", "update"
)
def keeps_no_gradient(harness: OptimizerHarness) -> str:
    weights, overwritten = harness.weights(), harness.weights()
    optimizer, other = harness.build(weights), harness.build(overwritten)
    steps = range(harness.after(6))
    for number in steps:
        harness.run(optimizer, weights, [number % 3])
        harness.run(other, overwritten, [number % 3])
        with torch.no_grad():
            for weight in overwritten:
                if weight.grad is not None:
                    weight.grad.fill_(1e3)
    gap = furthest(overwritten, weights)
    require(gap == 0, f"overwriting the gradients after each step moved weights by {gap:.1e}")
    return f"same weights with gradients overwritten after each of {len(steps)} steps"


@claim("A step runs its closure with gradients enabled, and returns the closure's value.", "use")
def runs_the_closure_once_with_gradients_on(harness: OptimizerHarness) -> str:
    if harness.step_inputs == "samples":
        raise NotApplicable(
            "its step takes the logit gradients of one evaluation, which a closure would repeat"
        )
    if harness.subject.create_graph:
        raise NotApplicable("its gradients must be part of a graph")
    if harness.subject.needs_no_grad:
        raise NotApplicable("its steps need torch.no_grad() around them")
    plain, _ = harness.trained(1)
    weights = harness.weights()
    optimizer = harness.build(weights)
    harness.run(optimizer, weights, range(harness.subject.waiting))
    number, value = harness.subject.waiting, torch.tensor(3.0)
    grad_modes = []

    def closure() -> Tensor:
        grad_modes.append(torch.is_grad_enabled())
        for place, weight in enumerate(weights):
            weight.grad = gradient(weight, number, place)
        return value

    before = copies(weights)
    try:
        returned = harness.take(optimizer, number, closure)
    except Exception as error:
        unmoved = furthest(weights, before) == 0
        if deliberate(error) and unmoved and not harness.subject.closure:
            raise NotApplicable(f"it refuses a closure: {describe(error)}") from None
        raise
    require(len(grad_modes) > 0, "the closure was not called")
    require(all(grad_modes), "the closure was called with gradients disabled by the step")
    if harness.subject.closure:  # such as LBFGS, and steps that look ahead
        return f"called {len(grad_modes)} times, gradients enabled"
    require(len(grad_modes) == 1, f"called {len(grad_modes)} times, although no closure is needed")
    require(returned is value, f"returned {returned!r} instead of the closure's value")
    gap = furthest(weights, plain)
    require(gap == 0, f"the step did not use the closure's gradients: weights differ by {gap:.1e}")
    return "called once, gradients enabled, value returned"


@claim("A step without a closure returns None.", "manners")
def returns_none_without_a_closure(harness: OptimizerHarness) -> str:
    if harness.subject.closure:
        raise NotApplicable("its steps need a closure")
    weights, optimizer = harness.trained(1)
    number = harness.after(1)
    grads = [gradient(weight, number, place) for place, weight in enumerate(weights)]
    returned = harness.step(optimizer, number, weights, grads)
    require(returned is None, f"returned {returned!r}")
    return "None"


@claim("A step records nothing for autograd: weights stay leaves and state has no graph.", "update")
def steps_outside_the_graph(harness: OptimizerHarness) -> str:
    weights, optimizer = harness.trained(2)
    for weight in weights:
        require(
            weight.is_leaf and weight.requires_grad,
            "a weight is not a trainable leaf tensor any more",
        )
    for state in optimizer.state.values():
        for name, value in state.items() if isinstance(state, dict) else ():
            in_graph = isinstance(value, Tensor) and value.requires_grad
            require(not in_graph, f"state {name} requires gradients: every step extends its graph")
    return "weights are leaf tensors, no state in a graph"


@claim("Weights are updated in place, so that views of them follow.", "use")
def moves_weights_in_place(harness: OptimizerHarness) -> str:
    weights = harness.weights()
    views = [weight.detach().view(-1) for weight in weights]
    optimizer = harness.build(weights)
    harness.run(optimizer, weights, range(harness.after(3)))
    gap = furthest([view.view(w.shape) for view, w in zip(views, weights, strict=True)], weights)
    require(gap == 0, f"a view of the weights differs by {gap:.1e}")
    return "views follow"


@claim("Autograd notices the update and refuses backward through a graph from before it.", "use")
def shows_its_move_to_autograd(harness: OptimizerHarness) -> str:
    weights = harness.weights()
    versions = [weight._version for weight in weights]
    harness.run(harness.build(weights), weights, range(harness.after(1)))
    silent = [i for i, (v, w) in enumerate(zip(versions, weights, strict=True)) if w._version == v]
    require(not silent, f"tensors {silent} changed without a new version, as through .data")
    return "every version counter increased"


@claim("Sparse gradients step like dense ones or are refused before any weight moves.", "update")
def steps_or_refuses_sparse_gradients(harness: OptimizerHarness) -> str:
    require_separable(harness)
    if (4, 3) not in harness.shapes:
        raise NotApplicable("it accepts no matrices")
    overrides = without_decay(harness)
    weight, dense = (harness.weights([(4, 3)])[0] for _ in range(2))
    before = weight.detach().clone()
    rows = torch.zeros_like(before)
    rows[1] = 1.0
    optimizer = harness.build([dense], **overrides)
    for number in range(harness.after(1)):
        harness.step(optimizer, number, [dense], [rows])
    optimizer = harness.build([weight], **overrides)
    try:
        for number in range(harness.after(1)):
            harness.step(optimizer, number, [weight], [rows.to_sparse()])
    except Exception as error:  # noqa: BLE001 - the code under test may raise anything
        require(distance(weight, before) == 0, f"weights moved, then refused: {describe(error)}")
        return f"refused: {describe(error)}"
    gap = distance(weight, dense)
    require(gap <= harness.tolerance, f"weights differ by {gap:.1e} from the dense step")
    return "same weights as with a dense gradient"


@claim("Complex parameters step like their real and imaginary parts or are refused.", "use")
def steps_or_refuses_complex_parameters(harness: OptimizerHarness) -> str:
    require_separable(harness)
    if harness.subject.create_graph:
        raise NotApplicable("its gradients must be part of a graph")
    real = harness.weights([(4, 3, 2)] if (5,) in harness.shapes else [(4, 6)])[0]
    weight = torch.view_as_complex(real.detach().clone().view(4, 3, 2)).requires_grad_()
    before = weight.detach().clone()
    try:
        optimizer, parts = harness.build([weight]), harness.build([real])
        for number in range(harness.after(3)):
            grad = gradient(real, number, 0)
            harness.step(parts, number, [real], [grad])
            whole = torch.view_as_complex(grad.clone().view(4, 3, 2))
            harness.step(optimizer, number, [weight], [whole])
    except Exception as error:  # noqa: BLE001 - the code under test may raise anything
        require(torch.equal(weight, before), f"weights moved, then refused: {describe(error)}")
        return f"refused: {describe(error)}"
    parts_of_weight = torch.view_as_real(weight.detach()).view(real.shape)
    if not harness.subject.elementwise:
        require(bool(parts_of_weight.isfinite().all()), "weights are not finite after 3 steps")
        return "finite after 3 steps; its entries are not moved one by one"
    gap = distance(parts_of_weight, real)
    require(
        gap <= harness.tolerance,
        f"weights differ by {gap:.1e} from a run on real and imaginary parts",
    )
    return "same weights as for the real and imaginary parts"


@claim(
    "GradScaler unscales gradients before a step and skips a step whose gradients overflowed.",
    "use",
)
def works_under_a_gradient_scaler(harness: OptimizerHarness) -> str:
    require_scalable(harness)
    plain, _ = harness.trained(2, dtype=torch.float32)
    weights = harness.weights(dtype=torch.float32)
    optimizer = harness.build(weights)
    device = harness.subject.device.type
    scaler = torch.amp.GradScaler(device, init_scale=1024.0, growth_interval=1000)
    scaler.scale(torch.zeros((), device=device))  # the scaler creates its scale at its first use
    steps = harness.after(2)
    for number in range(steps):
        for place, weight in enumerate(weights):
            weight.grad = gradient(weight, number, place)
        inputs = origin(optimizer, number)
        for weight in weights:
            weight.grad = None if weight.grad is None else weight.grad * 1024.0
        if harness.subject.random:
            torch.manual_seed(number)
        scaler.step(optimizer, **inputs)
        scaler.update()
    gap = furthest(weights, plain)
    require(gap < 1e-6, f"weights differ by {gap:.1e} from steps without a scaler")
    before = copies(weights)
    for weight in weights:
        weight.grad = torch.full_like(weight, torch.inf)
    scaler.step(optimizer, **origin(optimizer, steps))
    require(furthest(weights, before) == 0, "it stepped on an infinite gradient")
    return f"{steps} steps scaled by 1024, 1 step skipped"


@claim("Hooks before and after a step run once each and receive the optimizer.", "use")
def runs_step_hooks(harness: OptimizerHarness) -> str:
    weights, optimizer = harness.trained(1)
    seen: list[tuple[str, Optimizer]] = []
    optimizer.register_step_pre_hook(lambda o, *_: seen.append(("before", o)))
    optimizer.register_step_post_hook(lambda o, *_: seen.append(("after", o)))
    harness.run(optimizer, weights, [harness.after(1)])
    require(seen == [("before", optimizer), ("after", optimizer)], f"ran {[s[0] for s in seen]}")
    return "before, after"


@claim(
    "zero_grad sets gradients to None or to zero, as requested, and changes nothing else.", "use"
)
def clears_gradients(harness: OptimizerHarness) -> str:
    plain, _ = harness.trained(3)
    weights, optimizer = harness.trained(2)
    optimizer.zero_grad(set_to_none=False)
    zero = all(w.grad is not None and not bool(w.grad.any()) for w in weights)
    require(zero, "set_to_none=False left a gradient that is not zero")
    optimizer.zero_grad()
    require(all(weight.grad is None for weight in weights), "a gradient is not None")
    harness.run(optimizer, weights, [harness.after(2)])
    gap = furthest(weights, plain)
    require(gap == 0, f"the next step differs by {gap:.1e}")
    return "zero, None"


@claim("Two equal runs give the same bits, whatever uninitialised memory contains.", "update")
def gives_the_same_bits_twice(harness: OptimizerHarness) -> str:
    first, _ = harness.trained(4)
    was = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    # In this mode torch.empty fills its tensor with nan.
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        second, _ = harness.trained(4)
    finally:
        torch.use_deterministic_algorithms(was, warn_only=warn_only)
    gap = furthest(second, first)
    require(gap == 0, f"the second run differs by {gap:.1e}")
    return "same bits with uninitialised memory filled with nan"


@claim("A step leaves the hyperparameters of the groups unchanged.", "use")
def leaves_hyperparameters_alone(harness: OptimizerHarness) -> str:
    weights = harness.weights()
    optimizer = harness.build(weights)
    counts = harness.subject.group_counts
    before = [
        {k: copy.copy(v) for k, v in g.items() if k in harness.settings and k not in counts}
        for g in optimizer.param_groups
    ]
    steps = range(harness.after(3))
    harness.run(optimizer, weights, steps)
    for old, new in zip(before, optimizer.param_groups, strict=True):
        changed = [
            f"{name} from {value} to {new.get(name)}"
            for name, value in old.items()
            if value is not None and new.get(name) != value  # None: it finds its own
        ]
        require(not changed, f"{', '.join(changed)} within {len(steps)} steps")
    return f"unchanged after {len(steps)} steps"
