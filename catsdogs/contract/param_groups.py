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
    learning_rate,
    require,
    require_plain_parameters,
    require_separable,
    require_setting,
)
from catsdogs.contract.harness import OptimizerHarness, copies, furthest
from catsdogs.contract.parameters import steps_every_group
from catsdogs.contract.probe import MORE_SHAPES, SHAPES, deliberate, is_refusal
from catsdogs.contract.update import starts_a_late_parameter_from_its_own_first_step

# Hyperparameters that torch's own optimizers read from the group at every step.
READ_EACH_STEP = ("lr", "weight_decay", "momentum", "dampening", "betas", "eps", "alpha", "rho")
SCHEDULED = ("lr", "weight_decay", "momentum", "betas")  # those that schedulers change


@claim("A bare tensor, an empty list, a string and a non-leaf tensor are refused.", "manners")
def refuses_what_is_no_parameter_list(harness: OptimizerHarness) -> str:
    require_plain_parameters(harness)
    weight = harness.weights()[0]
    wrong: dict[str, Any] = {
        "a bare tensor": weight,
        "an empty list": [],
        "a string": ["weight"],
        "a non-leaf tensor": [weight * 2],
    }
    said = [_refusal(lambda p=params: harness.build(p), name) for name, params in wrong.items()]  # type: ignore[misc]
    return ", ".join(said)


@claim(
    "A parameter in two groups is refused, and one twice in a group is refused or warned about.",
    "manners",
)
def refuses_a_parameter_in_two_groups(harness: OptimizerHarness) -> str:
    require_plain_parameters(harness)
    weights = harness.weights()
    groups = [{"params": weights}, {"params": weights}]
    said = _refusal(lambda: harness.build(groups), "the same parameter in two groups")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            harness.build([*weights, *weights])
        except Exception as error:  # noqa: BLE001 - the code under test may raise anything
            return f"{said} in two groups, {type(error).__name__} in one"
    require(len(caught) > 0, "the same parameter twice in one group: no warning")
    return f"{said} in two groups, {caught[0].category.__name__} in one"


@claim("Named parameters are accepted and step like unnamed ones.", "use")
def takes_named_parameters(harness: OptimizerHarness) -> str:
    require_plain_parameters(harness)
    plain, _ = harness.trained(3)
    weights = harness.weights()
    named = harness.build([(f"w{index}", weight) for index, weight in enumerate(weights)])
    harness.run(named, weights, range(harness.after(3)))
    names = named.param_groups[0].get("param_names")
    require(names is not None, "the group has no param_names")
    require(furthest(weights, plain) == 0, f"weights differ by {furthest(weights, plain):.1e}")
    return f"param_names {names}, same weights after {harness.after(3)} steps"


@claim("Parameters of every shape are stepped on, or refused with a reason.", "use")
def takes_every_shape(harness: OptimizerHarness) -> str:
    if harness.step_inputs == "samples":
        return "it takes the parameters of one linear model"
    refused = harness.subject.refused_shapes
    for shape, refusal in refused.items():
        # As in torch's Adafactor, which divides by the number of elements.
        excused = 0 in shape and "ZeroDivision" in refusal.said
        require(refusal.deliberate or excused, f"shape {shape}: a step raised {refusal.said}")
    if refused:
        return "; ".join(f"refuses {shape}: {refusal.said}" for shape, refusal in refused.items())
    shapes = harness.shapes if harness.shapes != SHAPES else (*SHAPES, *MORE_SHAPES)
    return f"{', '.join(map(str, shapes))}"


@claim("A negative learning rate is refused.", "manners")
def refuses_a_negative_learning_rate(harness: OptimizerHarness) -> str:
    learning_rate(harness)
    said = _refused_value(harness, "lr", -1.0)
    require(said is not None, "lr=-1 is accepted")
    nan = _refused_value(harness, "lr", float("nan"))
    return f"{said}, also for nan" if nan else f"{said}; lr=nan is accepted, as by torch's SGD"


@claim("A weight decay or a decay rate out of range is refused.", "manners")
def refuses_other_bad_hyperparameters(harness: OptimizerHarness) -> str:
    wrong = {"weight_decay": -1.0, "momentum": -1.0, "alpha": -1.0, "rho": 2.0, "eps": -1.0}
    tried = {name: value for name, value in wrong.items() if _is_float(harness.settings.get(name))}
    betas = harness.settings.get("betas")
    if isinstance(betas, tuple | list) and all(_is_float(beta) for beta in betas):
        tried["betas"] = (1.5, *betas[1:])  # type: ignore[assignment]
    if not tried:
        raise NotApplicable(f"its constructor takes none of {', '.join([*wrong, 'betas'])}")
    accepted = [
        name for name, value in tried.items() if _refused_value(harness, name, value) is None
    ]
    # torch does not check alpha in ASGD, nor momentum and eps in some others.
    graver = [f"{name}={tried[name]}" for name in accepted if name in ("weight_decay", "betas")]
    require(not graver, f"accepts {', '.join(graver)}")
    refused = ", ".join(f"{name}={tried[name]}" for name in tried if name not in accepted)
    also = ", ".join(f"{name}={tried[name]}" for name in accepted)
    return "; ".join(
        part for part in (refused and f"refuses {refused}", also and f"accepts {also}") if part
    )


@claim("A list of betas, as in configuration files, steps like a tuple.", "use")
def takes_betas_as_a_list(harness: OptimizerHarness) -> str:
    require_setting(harness, "betas")
    betas = harness.settings["betas"]
    if not isinstance(betas, tuple | list):
        raise NotApplicable(f"its betas are {betas!r}")
    plain, _ = harness.trained(3)
    listed, _ = harness.trained(3, betas=list(betas))
    require(furthest(listed, plain) == 0, f"weights differ by {furthest(listed, plain):.1e}")
    return f"same weights after {harness.after(3)} steps"


@claim(
    "A hyperparameter set for one group affects that group alone.",
    "update",
    causes=(steps_every_group,),
)
def honours_the_settings_of_each_group(harness: OptimizerHarness) -> str:
    require_separable(harness)
    require_plain_parameters(harness)
    tried = []
    for name, value in changed_settings(harness):
        plain, _ = harness.trained(4)
        altered, _ = harness.trained(4, **{name: value})
        weights = harness.weights()
        half = len(weights) // 2 or 1
        groups = [{"params": weights[:half]}, {"params": weights[half:] or [], name: value}]
        try:
            optimizer = harness.build([group for group in groups if group["params"]])
            harness.run(optimizer, weights, range(harness.after(4)))
        except Exception as error:
            if not deliberate(error):
                raise
            raise NotApplicable(f"a group with {name}={value}: {describe(error)}") from None
        gap = furthest(weights, [*plain[:half], *altered[half:]])
        require(gap <= harness.tolerance, f"a group with {name}={value} differs by {gap:.1e}")
        tried.append(f"{name}={value}")
    return f"tried {', '.join(tried)}"


@claim("What schedulers change is read from the group at every step.", "update")
def reads_the_group_at_every_step(harness: OptimizerHarness) -> str:
    tried, ignored = [], []
    for name, value in changed_settings(harness):
        altered, _ = harness.trained(4, **{name: value})
        weights = harness.weights()
        optimizer = harness.build(weights)
        for group in optimizer.param_groups:
            group[name] = value
        harness.run(optimizer, weights, range(harness.after(4)))
        gap = furthest(weights, altered)
        if gap > harness.tolerance:
            seen = f"{name}={value} set in the group before step 1: weights differ by {gap:.1e}"
            require(name not in SCHEDULED, seen)
            ignored.append(f"{name} is read at construction")
        tried.append(f"{name}={value}")
    return "; ".join([f"tried {', '.join(tried)}", *ignored])


@claim(
    "A group added during training starts new and leaves the other groups unchanged.",
    "use",
    causes=(steps_every_group, starts_a_late_parameter_from_its_own_first_step),
)
def takes_new_groups_during_training(harness: OptimizerHarness) -> str:
    require_separable(harness)
    half = len(harness.shapes) // 2 or 1
    weights = harness.weights()
    optimizer = harness.build(weights[:half])
    begin, end = harness.after(3), 2 * harness.after(3)
    harness.run(optimizer, weights[:half], range(begin))
    late = weights[half:] or [weights[0].detach().clone().requires_grad_()]
    optimizer.add_param_group({"params": late})
    everything = [*weights[:half], *late]
    fresh = [weight.detach().clone().requires_grad_() for weight in late]
    places = range(half, half + len(late))
    harness.run(optimizer, everything, range(begin, end))
    harness.run(harness.build(fresh), fresh, range(begin, end), places=places)
    alone = harness.weights()[:half]
    harness.run(harness.build(alone), alone, range(end))
    gap = furthest(late, fresh)
    require(gap <= harness.tolerance, f"the new group differs by {gap:.1e} from a run alone")
    gap = furthest(weights[:half], alone)
    require(gap <= harness.tolerance, f"the first group differs by {gap:.1e} from a run alone")
    return "both groups as if alone"


@claim("A tensor as learning rate steps like a float and is left unchanged.", "use")
def takes_a_tensor_as_learning_rate(harness: OptimizerHarness) -> str:
    learning_rate(harness)
    exact = 2.0**-6  # the same number in every float type
    plain, _ = harness.trained(4, lr=exact)
    lr = torch.tensor(exact, device=harness.subject.device)
    try:
        weights, _ = harness.trained(4, lr=lr)
    except Exception as error:
        if not is_refusal(error):
            raise
        raise NotApplicable(f"refused: {describe(error)}") from None
    require(float(lr) == exact, f"the tensor changed from {exact} to {float(lr)}")
    gap = furthest(weights, plain)
    # A float32 tensor may round the scalars of a step to float32, as in torch.
    require(gap <= max(1e-6, harness.tolerance), f"weights differ by {gap:.1e} after 4 steps")
    return f"weights equal {closeness(gap)}"


@claim("repr shows every group.", "manners")
def prints_its_groups(harness: OptimizerHarness) -> str:
    require_plain_parameters(harness)
    if harness.step_inputs == "samples":
        optimizer = harness.build(harness.weights())
    else:
        optimizer = harness.build([{"params": [weight]} for weight in harness.weights()])
    text, count = repr(optimizer), len(optimizer.param_groups)
    missing = [i for i in range(count) if f"Parameter Group {i}" not in text]
    require(not missing, f"groups {missing} are missing")
    return f"{count} groups"


def changed_settings(harness: OptimizerHarness) -> list[tuple[str, Any]]:
    """Return hyperparameters of the groups, each with another value that the optimizer accepts.

    Raises:
        NotApplicable: If there is none.
    """
    plain = harness.build(harness.weights()).param_groups[0]
    found = []
    for name in READ_EACH_STEP:
        value = _another(harness.settings.get(name))
        if value is None or name not in plain:
            continue
        try:
            _, optimizer = harness.trained(0, **{name: value})
            group = optimizer.param_groups[0]
            # Left out if the constructor computes other entries of the group from it.
            others = plain.keys() - {name, "params", *harness.subject.group_counts}
            if group[name] == value and all(group[other] == plain[other] for other in others):
                found.append((name, value))
        except Exception:  # noqa: BLE001 - the code under test may raise anything
            continue
    if not found:
        raise NotApplicable(
            f"its constructor takes none of {', '.join(READ_EACH_STEP)} as entries of the groups"
        )
    return found


def _another(value: Any) -> Any:
    if _is_float(value):
        return value / 2 if value else 0.125
    if isinstance(value, tuple | list) and value and all(_is_float(item) for item in value):
        return tuple(item / 2 for item in value)
    return None


def _is_float(value: Any) -> bool:
    return isinstance(value, float) or (type(value) is int and value == 0)


def _refused_value(harness: OptimizerHarness, name: str, value: Any) -> str | None:
    """Return how a value is refused, at construction or by a first step that moves nothing.

    None if it is accepted.
    """
    weights = harness.weights()
    before = copies(weights)
    try:
        optimizer = harness.build(weights, **{name: value})
        harness.run(optimizer, weights, [0])
    except Exception as error:  # noqa: BLE001 - the code under test may raise anything
        moved = furthest(weights, before)
        require(moved == 0, f"{name}={value}: weights moved, then {describe(error)}")
        return type(error).__name__
    return None


def _refusal(attempt: Callable[[], Any], what: str) -> str:
    """Return the name of the exception that an attempt raises."""
    try:
        attempt()
    except Exception as error:  # noqa: BLE001 - the code under test may raise anything
        return type(error).__name__
    require(False, f"{what} is accepted")
    return ""
