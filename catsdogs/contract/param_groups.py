"""Claims about construction: accepted and refused arguments, and parameter groups."""

import warnings
from collections.abc import Callable
from typing import Any

import torch

from catsdogs.contract.claims import (
    NotApplicable,
    claim,
    closeness,
    describe,
    require,
    require_separable,
)
from catsdogs.contract.harness import SHAPES, TOLERANCE, OptimizerHarness, copies, furthest

# Hyperparameters that torch's own optimizers read from the group at every step. Others, such as an
# initial value of the state, may be read once.
READ_EACH_STEP = ("lr", "weight_decay", "momentum", "dampening", "betas", "eps", "alpha", "rho")


@claim("A bare tensor, an empty list, a string and a non-leaf tensor are refused.")
def refuses_what_is_no_parameter_list(harness: OptimizerHarness) -> str:
    weight = harness.weights()[0]
    wrong: dict[str, tuple[Any, type[Exception]]] = {
        "a bare tensor": (weight, TypeError),
        "an empty list": ([], ValueError),
        "a string": (["weight"], TypeError),
        "a non-leaf tensor": ([weight * 2], ValueError),
    }
    for name, (params, expected) in wrong.items():
        _expect(expected, lambda params=params: harness.build(params), name)  # type: ignore[misc]
    return "TypeError, ValueError, TypeError, ValueError"


@claim("A parameter in two groups is refused, and one twice in a group is refused or warned about.")
def refuses_a_parameter_in_two_groups(harness: OptimizerHarness) -> str:
    weights = harness.weights()
    groups = [{"params": weights}, {"params": weights}]
    _expect(ValueError, lambda: harness.build(groups), "the same parameter in two groups")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            harness.build([*weights, *weights])
        except ValueError:
            return "ValueError in two groups, ValueError in one"
    require(len(caught) > 0, "the same parameter twice in one group: no warning")
    return f"ValueError in two groups, {caught[0].category.__name__} in one"


@claim("Named parameters are accepted and step like unnamed ones.")
def takes_named_parameters(harness: OptimizerHarness) -> str:
    plain, _ = harness.trained(3)
    weights = harness.weights()
    named = harness.build([(f"w{index}", weight) for index, weight in enumerate(weights)])
    harness.run(named, weights, range(3))
    names = named.param_groups[0].get("param_names")
    require(names is not None, "the group has no param_names")
    require(furthest(weights, plain) == 0, f"weights differ by {furthest(weights, plain):.1e}")
    return f"param_names {names}, same weights after 3 steps"


@claim("Parameters of every shape are accepted, or refused with a reason at construction.")
def takes_every_shape(harness: OptimizerHarness) -> str:
    for shape in (*SHAPES, (2, 3, 2, 2), (0, 2)):
        weight = torch.zeros(shape, dtype=torch.float64, requires_grad=True)
        try:
            optimizer = harness.build([weight])
        except ValueError:
            continue
        try:
            harness.run(optimizer, [weight], range(3))
        except ArithmeticError as error:
            require(weight.numel() == 0, f"shape {shape}: {describe(error)}")
            return (
                f"0 to 4 dimensions; without elements: {describe(error)}, as in torch's Adafactor"
            )
        require(bool(weight.isfinite().all()), f"shape {shape} became {weight.tolist()}")
    if harness.refused:
        shape, reason = next(iter(harness.refused.items()))
        return f"refuses shape {shape}: {reason}"
    return "0 to 4 dimensions, one element, no elements"


@claim("A negative learning rate is refused with ValueError.")
def refuses_a_negative_learning_rate(harness: OptimizerHarness) -> str:
    if "lr" not in harness.defaults:
        raise NotApplicable("it has no lr")
    _expect(ValueError, lambda: harness.build(harness.weights(), lr=-1.0), "lr=-1")
    try:
        harness.build(harness.weights(), lr=float("nan"))
    except ValueError:
        return "ValueError, also for nan"
    return "ValueError; lr=nan is accepted, as by torch's SGD"


@claim("A weight decay, eps or decay rate out of range is refused with ValueError.")
def refuses_other_bad_hyperparameters(harness: OptimizerHarness) -> str:
    wrong = {"weight_decay": -1.0, "momentum": -1.0, "alpha": -1.0, "rho": 2.0, "eps": -1.0}
    tried = {name: value for name, value in wrong.items() if _is_float(harness.defaults.get(name))}
    if "betas" in harness.defaults:
        tried["betas"] = (1.5, 0.999)  # type: ignore[assignment]
    accepted = []
    for name, value in tried.items():
        try:
            harness.build(harness.weights(), **{name: value})
        except ValueError:
            continue
        accepted.append(name)
    # torch does not check alpha in ASGD, nor momentum and eps in some others.
    require(not {"weight_decay", "betas"} & set(accepted), f"accepts bad {', '.join(accepted)}")
    if not tried:
        raise NotApplicable("it has none of them")
    refused = f"refuses bad {', '.join(sorted(set(tried) - set(accepted))) or 'nothing'}"
    return f"{refused}; accepts bad {', '.join(accepted)}" if accepted else refused


@claim("A list of betas, as in configuration files, steps like a tuple.")
def takes_betas_as_a_list(harness: OptimizerHarness) -> str:
    if "betas" not in harness.defaults:
        raise NotApplicable("it has no betas")
    plain, _ = harness.trained(3)
    listed, _ = harness.trained(3, betas=list(harness.defaults["betas"]))
    require(furthest(listed, plain) == 0, f"weights differ by {furthest(listed, plain):.1e}")
    return "same weights after 3 steps"


@claim("A hyperparameter set for one group affects that group alone.")
def honours_the_settings_of_each_group(harness: OptimizerHarness) -> str:
    tried = []
    for name, value in changed_settings(harness):
        plain, _ = harness.trained(4)
        altered, _ = harness.trained(4, **{name: value})
        weights = harness.weights()
        half = len(weights) // 2 or 1
        groups = [{"params": weights[:half]}, {"params": weights[half:] or [], name: value}]
        optimizer = harness.build([group for group in groups if group["params"]])
        harness.run(optimizer, weights, range(4))
        gap = furthest(weights, [*plain[:half], *altered[half:]])
        require(gap <= TOLERANCE, f"a group with {name}={value} differs by {gap:.1e} after 4 steps")
        tried.append(name)
    return f"tried {', '.join(tried)}"


@claim("Hyperparameters are read from the group at every step, so that schedulers take effect.")
def reads_the_group_at_every_step(harness: OptimizerHarness) -> str:
    tried = []
    for name, value in changed_settings(harness):
        altered, _ = harness.trained(4, **{name: value})
        weights = harness.weights()
        optimizer = harness.build(weights)
        for group in optimizer.param_groups:
            group[name] = value
        harness.run(optimizer, weights, range(4))
        gap = furthest(weights, altered)
        require(
            gap <= TOLERANCE,
            f"weights differ by {gap:.1e} with {name} set to {value} before step 1",
        )
        tried.append(name)
    return f"tried {', '.join(tried)}"


@claim("A group added during training starts new and leaves the other groups unchanged.")
def takes_new_groups_during_training(harness: OptimizerHarness) -> str:
    require_separable(harness)
    half = len(harness.shapes) // 2 or 1
    weights = harness.weights()
    optimizer = harness.build(weights[:half])
    harness.run(optimizer, weights[:half], range(3))
    late = weights[half:] or [weights[0].detach().clone().requires_grad_()]
    optimizer.add_param_group({"params": late})
    everything = [*weights[:half], *late]
    fresh = [weight.detach().clone().requires_grad_() for weight in late]
    places = range(half, half + len(late))
    harness.run(optimizer, everything, range(3, 6))
    harness.run(harness.build(fresh), fresh, range(3, 6), places=places)
    alone = harness.weights()[:half]
    harness.run(harness.build(alone), alone, range(6))
    gap = furthest(late, fresh)
    require(gap <= TOLERANCE, f"the new group differs by {gap:.1e} from a run alone")
    gap = furthest(weights[:half], alone)
    require(gap <= TOLERANCE, f"the first group differs by {gap:.1e} from a run alone")
    return "both groups as if alone"


@claim("A tensor as learning rate steps like a float and is left unchanged.")
def takes_a_tensor_as_learning_rate(harness: OptimizerHarness) -> str:
    if "lr" not in harness.defaults:
        raise NotApplicable("it has no lr")
    exact = 2.0**-6  # the same number in every float type
    plain, _ = harness.trained(4, lr=exact)
    lr = torch.tensor(exact)
    try:
        weights, _ = harness.trained(4, lr=lr)
    except (TypeError, ValueError) as error:
        raise NotApplicable(f"refused: {describe(error)}") from None
    require(float(lr) == exact, f"the tensor changed from {exact} to {float(lr)}")
    gap = furthest(weights, plain)
    # A float32 tensor may round the scalars of a step to float32, as in torch.
    require(gap <= 1e-6, f"weights differ by {gap:.1e} after 4 steps")
    return f"weights equal {closeness(gap)}"


@claim("repr shows every group.")
def prints_its_groups(harness: OptimizerHarness) -> str:
    optimizer = harness.build([{"params": [weight]} for weight in harness.weights()])
    text = repr(optimizer)
    missing = [i for i in range(len(harness.shapes)) if f"Parameter Group {i}" not in text]
    require(not missing, f"groups {missing} are missing")
    return f"{len(harness.shapes)} groups"


def changed_settings(harness: OptimizerHarness) -> list[tuple[str, Any]]:
    """Return hyperparameters, each with another value that the optimizer accepts.

    Raises:
        NotApplicable: If there is none.
    """
    found = []
    for name in READ_EACH_STEP:
        value = _another(harness.defaults.get(name))
        try:
            if value is not None:
                harness.build(copies(harness.weights()), **{name: value})
                found.append((name, value))
        except (TypeError, ValueError):
            continue
    if not found:
        raise NotApplicable(f"it has none of {', '.join(READ_EACH_STEP)}")
    return found


def _another(value: Any) -> Any:
    if _is_float(value):
        return value / 2 if value else 0.125
    if isinstance(value, tuple | list) and all(_is_float(item) for item in value):
        return tuple(item / 2 for item in value)
    return None


def _is_float(value: Any) -> bool:
    return isinstance(value, float) or (type(value) is int and value == 0)


def _expect(expected: type[Exception], attempt: Callable[[], Any], what: str) -> None:
    try:
        attempt()
    except expected:
        return
    except Exception as error:  # noqa: BLE001 - the code under test may raise anything
        require(False, f"{what}: {describe(error)} instead of {expected.__name__}")
    require(False, f"{what}: accepted instead of {expected.__name__}")
