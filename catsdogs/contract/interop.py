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


@claim("A step leaves gradients unchanged, also with weight decay and with maximize.")
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
                expected = gradient(weight, number, place)
                if weight.grad is None:
                    raise ClaimFailed(f"the gradient of tensor {place} became None")
                gap = distance(weight.grad, expected)
                require(
                    gap == 0, f"the gradient of tensor {place} changed by {gap:.1e} with {name}"
                )
        tried.append(name)
    return f"tried with {', '.join(tried)}"


@claim("State shares no memory with the gradients, which the next backward pass overwrites.")
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
    return "same weights with gradients overwritten after each of 6 steps"


@claim("A step runs its closure once, with gradients enabled, and returns the closure's value.")
def runs_the_closure_once_with_gradients_on(harness: OptimizerHarness) -> str:
    if harness.step_inputs == "samples":
        raise NotApplicable(
            "its step takes the logit gradients of one evaluation, which a closure would repeat"
        )
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

    with torch.no_grad():  # a caller may disable them
        returned = step(optimizer, 0, closure)
    require(len(grad_modes) == 1, f"called {len(grad_modes)} times")
    require(grad_modes[0], "called with gradients disabled")
    require(returned is value, f"returned {returned!r} instead of the closure's value")
    gap = furthest(weights, plain)
    require(gap == 0, f"the step did not use the closure's gradients: weights differ by {gap:.1e}")
    return "called once, gradients enabled, value returned"


@claim("A step without a closure returns None.")
def returns_none_without_a_closure(harness: OptimizerHarness) -> str:
    weights, optimizer = harness.trained(1)
    for place, weight in enumerate(weights):
        weight.grad = gradient(weight, 1, place)
    returned = step(optimizer, 1)
    require(returned is None, f"returned {returned!r}")
    return "None"


@claim("With gradients enabled, weights stay leaf tensors and state stays outside any graph.")
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


@claim("Weights are updated in place, so that views of them follow.")
def moves_weights_in_place(harness: OptimizerHarness) -> str:
    weights = harness.weights()
    views = [weight.detach().view(-1) for weight in weights]
    optimizer = harness.build(weights)
    harness.run(optimizer, weights, range(3))
    gap = furthest([view.view(w.shape) for view, w in zip(views, weights, strict=True)], weights)
    require(gap == 0, f"a view of the weights differs by {gap:.1e}")
    return "views follow"


@claim("Autograd notices the update and refuses backward through a graph from before it.")
def shows_its_move_to_autograd(harness: OptimizerHarness) -> str:
    weights = harness.weights()
    versions = [weight._version for weight in weights]
    harness.run(harness.build(weights), weights, [0])
    silent = [i for i, (v, w) in enumerate(zip(versions, weights, strict=True)) if w._version == v]
    require(not silent, f"tensors {silent} changed without a new version, as through .data")
    return "every version counter increased"


@claim("Transposed parameters and gradients step like contiguous ones and keep their strides.")
def takes_any_memory_layout(harness: OptimizerHarness) -> str:
    for place, plain in enumerate(harness.trained(3)[0]):
        if plain.dim() != 2:
            continue
        start = harness.weights()[place].detach()
        weight = start.t().contiguous().t().requires_grad_()
        strides = weight.stride()
        optimizer = harness.build([weight])
        for number in range(3):
            grad = gradient(weight, number, place)
            weight.grad = grad if number % 2 else grad.t().contiguous().t()
            step(optimizer, number)
        gap = distance(weight, plain)
        require(gap <= TOLERANCE, f"a transposed weight differs by {gap:.1e}")
        require(weight.stride() == strides, f"strides went from {strides} to {weight.stride()}")
        return "transposed weight, gradients of both layouts"
    raise NotApplicable("it accepts no matrices")


@claim("Weights of float64, float32 and bfloat16 keep their dtype, if possible in one optimizer.")
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
        # bfloat16 has 8 bits of precision, so a step may round to 0.
        gap = distance(weight, models[0][0])
        require(gap < 0.1, f"{dtype} differs by {gap:.1e} from float64 after 3 steps")
    return "one optimizer each" if harness.step_inputs == "samples" else "mixed in one optimizer"


@claim("Sparse gradients step like dense ones or are refused before any weight moves.")
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
        require(distance(weight, before) == 0, f"weights moved, then refused: {describe(error)}")
        return f"refused: {describe(error)}"
    gap = distance(weight, dense)
    require(gap <= TOLERANCE, f"weights differ by {gap:.1e} from the dense step")
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
        require(torch.equal(weight, before), f"weights moved, then refused: {describe(error)}")
        return f"refused: {describe(error)}"
    gap = distance(torch.view_as_real(weight.detach()).view(real.shape), real)
    require(gap <= TOLERANCE, f"weights differ by {gap:.1e} from a run on real and imaginary parts")
    return "same weights as for the real and imaginary parts"


@claim("GradScaler unscales gradients before a step and skips a step whose gradients overflowed.")
def works_under_a_gradient_scaler(harness: OptimizerHarness) -> str:
    plain, _ = harness.trained(2, dtype=torch.float32)
    weights = harness.weights(dtype=torch.float32)
    optimizer = harness.build(weights)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0, growth_interval=1000)
    scaler.scale(torch.zeros(()))  # the scaler creates its scale at its first use
    for number in range(2):
        for place, weight in enumerate(weights):
            weight.grad = gradient(weight, number, place)
        inputs = origin(optimizer, number)
        for weight in weights:
            weight.grad = None if weight.grad is None else weight.grad * 1024.0
        scaler.step(optimizer, **inputs)
        scaler.update()
    gap = furthest(weights, plain)
    require(gap < 1e-6, f"weights differ by {gap:.1e} from steps without a scaler")
    before = copies(weights)
    for weight in weights:
        weight.grad = torch.full_like(weight, torch.inf)
    scaler.step(optimizer, **origin(optimizer, 2))
    require(furthest(weights, before) == 0, "it stepped on an infinite gradient")
    return "2 steps scaled by 1024, 1 step skipped"


@claim("Hooks before and after a step run once each and receive the optimizer.")
def runs_step_hooks(harness: OptimizerHarness) -> str:
    weights, optimizer = harness.trained(1)
    seen: list[tuple[str, Optimizer]] = []
    optimizer.register_step_pre_hook(lambda o, *_: seen.append(("before", o)))
    optimizer.register_step_post_hook(lambda o, *_: seen.append(("after", o)))
    harness.run(optimizer, weights, [1])
    require(seen == [("before", optimizer), ("after", optimizer)], f"ran {[s[0] for s in seen]}")
    return "before, after"


@claim("zero_grad sets gradients to None or to zero, as requested, and changes nothing else.")
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
    require(gap == 0, f"the next step differs by {gap:.1e}")
    return "zero, None"


@claim("Two equal runs give the same bits, whatever uninitialised memory contains.")
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


@claim("A step leaves the hyperparameters of the groups unchanged.")
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
        require(not changed, f"{', '.join(changed)} changed within 3 steps")
    return "unchanged after 3 steps"
