"""Claims about a step's conduct towards gradients, closures, autograd, types, scalers and hooks."""

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
    require_separable,
)
from catsdogs.contract.harness import (
    TOLERANCE,
    OptimizerHarness,
    copies,
    distance,
    furthest,
    gradient,
    origin,
    step,
)


@claim("The gradients are left as they are, with weight decay and maximize as well.")
def leaves_gradients_alone(harness: OptimizerHarness) -> str:
    tried = []
    settings: dict[str, Any] = {"defaults": None, "weight_decay": 0.125, "maximize": True}
    for name, value in settings.items():
        overrides = {} if value is None else {name: value}
        if not overrides.keys() <= harness.defaults.keys():
            continue
        weights, optimizer = harness.trained(1, **overrides)
        for number in (1, 2):
            harness.run(optimizer, weights, [number])
            for place, weight in enumerate(weights):
                due = gradient(weight, number, place)
                if weight.grad is None:
                    raise ClaimFailed(f"the gradient of tensor {place} is gone")
                gap = distance(weight.grad, due)
                require(gap == 0, f"tensor {place} off by {gap:.1e} with {name}")
        tried.append(name)
    return f"with {', '.join(tried)}"


@claim("State does not share memory with the gradients, which the next backward overwrites.")
def keeps_no_gradient(harness: OptimizerHarness) -> str:
    weights, overwritten = harness.weights(), harness.weights()
    optimizer, other = harness.build(weights), harness.build(overwritten)
    for number in range(6):
        harness.run(optimizer, weights, [number % 3])
        harness.run(other, overwritten, [number % 3])
        for weight in overwritten:
            if weight.grad is not None:
                weight.grad.fill_(1e3)
    gap = furthest(overwritten, weights)
    require(gap == 0, f"overwriting the gradients after each step moved weights by {gap:.1e}")
    return "gradients overwritten after each of 6 steps, same weights"


@claim("The closure runs once, with gradients on, before they are read; its value comes back.")
def runs_the_closure_once_with_gradients_on(harness: OptimizerHarness) -> str:
    if harness.step_inputs == "samples":
        raise NotApplicable("it is told slopes of one evaluation, which a closure would repeat")
    plain, _ = harness.trained(1)
    weights = harness.weights()
    optimizer = harness.build(weights)
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
def returns_none_without_a_closure(harness: OptimizerHarness) -> str:
    weights, optimizer = harness.trained(1)
    for place, weight in enumerate(weights):
        weight.grad = gradient(weight, 1, place)
    returned = step(optimizer, 1)
    require(returned is None, f"returned {returned!r}")
    return "None"


@claim("Weights stay leaves without a graph, whether the caller has gradients on or off.")
def steps_outside_the_graph(harness: OptimizerHarness) -> str:
    weights, optimizer = harness.trained(2)
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
def moves_weights_in_place(harness: OptimizerHarness) -> str:
    weights = harness.weights()
    views = [weight.detach().view(-1) for weight in weights]
    optimizer = harness.build(weights)
    harness.run(optimizer, weights, range(3))
    gap = furthest([view.view(w.shape) for view, w in zip(views, weights, strict=True)], weights)
    require(gap == 0, f"a view taken before is {gap:.1e} behind")
    return "views taken before follow"


@claim("Autograd sees the move: backward through a graph built before it is refused.")
def shows_its_move_to_autograd(harness: OptimizerHarness) -> str:
    weights = harness.weights()
    versions = [weight._version for weight in weights]
    harness.run(harness.build(weights), weights, [0])
    silent = [i for i, (v, w) in enumerate(zip(versions, weights, strict=True)) if w._version == v]
    require(not silent, f"tensors {silent} moved without a new version, as .data does")
    return "every version counter grew"


@claim("A strided, expanded or transposed parameter or gradient steps like a contiguous one.")
def takes_any_memory_layout(harness: OptimizerHarness) -> str:
    for place, plain in enumerate(harness.trained(3)[0]):
        if plain.dim() != 2:
            continue
        start = harness.weights()[place].detach()
        weight = start.t().contiguous().t().requires_grad_()
        strides = weight.stride()
        optimizer = harness.build([weight])
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
def keeps_the_type_of_weights(harness: OptimizerHarness) -> str:
    types = (torch.float64, torch.float32, torch.bfloat16)
    models = [harness.weights(dtype=dtype) for dtype in types]
    if harness.step_inputs == "samples":
        for model in models:
            harness.run(harness.build(model), model, range(3))
    else:
        weights = [model[0] for model in models]
        harness.run(harness.build(weights), weights, range(3), places=[0, 0, 0])
    for (weight, *_), dtype in zip(models, types, strict=True):
        require(weight.dtype == dtype, f"{dtype} became {weight.dtype}")
        # bfloat16 has 8 bits of precision and its steps may round to nothing.
        gap = distance(weight, models[0][0])
        require(gap < 0.1, f"{dtype} is {gap:.1e} from float64 after 3 steps")
    return "one optimizer each" if harness.step_inputs == "samples" else "mixed in one optimizer"


@claim("Sparse gradients step like dense ones or are refused before anything moves.")
def steps_or_refuses_sparse_gradients(harness: OptimizerHarness) -> str:
    require_separable(harness)
    overrides = {"weight_decay": 0.0} if "weight_decay" in harness.defaults else {}
    weight, dense = (harness.weights([(4, 3)])[0] for _ in range(2))
    before = weight.detach().clone()
    rows = torch.zeros(4, 3, dtype=torch.float64)
    rows[1] = 1.0
    dense.grad, weight.grad = rows, rows.to_sparse()
    step(harness.build([dense], **overrides), 0)
    try:
        step(harness.build([weight], **overrides), 0)
    except (RuntimeError, NotImplementedError, ValueError, TypeError) as error:
        require(distance(weight, before) == 0, f"moved, then refused: {describe(error)}")
        return f"refused: {describe(error)}"
    gap = distance(weight, dense)
    require(gap <= TOLERANCE, f"off by {gap:.1e} from the dense step")
    return "same weights as with a dense gradient"


@claim("Complex parameters step like their real and imaginary parts or are refused.")
def steps_or_refuses_complex_parameters(harness: OptimizerHarness) -> str:
    require_separable(harness)
    real = harness.weights([(4, 3, 2)] if (5,) in harness.shapes else [(4, 6)])[0]
    weight = torch.view_as_complex(real.detach().clone().view(4, 3, 2)).requires_grad_()
    before = weight.detach().clone()
    try:
        optimizer, parts = harness.build([weight]), harness.build([real])
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
def works_under_a_gradient_scaler(harness: OptimizerHarness) -> str:
    plain, _ = harness.trained(2, dtype=torch.float32)
    weights = harness.weights(dtype=torch.float32)
    optimizer = harness.build(weights)
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
def runs_step_hooks(harness: OptimizerHarness) -> str:
    weights, optimizer = harness.trained(1)
    seen: list[tuple[str, Optimizer]] = []
    optimizer.register_step_pre_hook(lambda o, *_: seen.append(("before", o)))
    optimizer.register_step_post_hook(lambda o, *_: seen.append(("after", o)))
    harness.run(optimizer, weights, [1])
    require(seen == [("before", optimizer), ("after", optimizer)], f"ran {[s[0] for s in seen]}")
    return "before, after"


@claim("zero_grad clears gradients, to None or to zero as asked, and nothing else.")
def clears_gradients(harness: OptimizerHarness) -> str:
    plain, _ = harness.trained(3)
    weights, optimizer = harness.trained(2)
    optimizer.zero_grad(set_to_none=False)
    zero = all(w.grad is not None and not bool(w.grad.any()) for w in weights)
    require(zero, "set_to_none=False left a gradient that is not zero")
    optimizer.zero_grad()
    require(all(weight.grad is None for weight in weights), "a gradient is not None")
    harness.run(optimizer, weights, [2])
    gap = furthest(weights, plain)
    require(gap == 0, f"the step after it is off by {gap:.1e}")
    return "zero, None"


@claim("Two equal runs give the same bits, whatever uninitialised memory holds.")
def gives_the_same_bits_twice(harness: OptimizerHarness) -> str:
    first, _ = harness.trained(4)
    was = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    # In this mode torch.empty is filled with nan.
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        second, _ = harness.trained(4)
    finally:
        torch.use_deterministic_algorithms(was, warn_only=warn_only)
    gap = furthest(second, first)
    require(gap == 0, f"the second run is off by {gap:.1e}")
    return "same bits, empty memory filled with nan"


@claim("A step leaves the hyperparameters in the groups as they are.")
def leaves_hyperparameters_alone(harness: OptimizerHarness) -> str:
    weights = harness.weights()
    optimizer = harness.build(weights)
    before = [
        {k: copy.copy(v) for k, v in g.items() if k in harness.defaults}
        for g in optimizer.param_groups
    ]
    harness.run(optimizer, weights, range(3))
    for old, new in zip(before, optimizer.param_groups, strict=True):
        changed = [name for name, value in old.items() if new.get(name) != value]
        require(not changed, f"{changed} changed within 3 steps")
    return "unchanged after 3 steps"
