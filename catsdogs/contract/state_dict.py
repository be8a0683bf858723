"""Claims about state: saving and loading preserve it, and no two optimizers share it.

Weights are float32 here. `Optimizer.load_state_dict` casts state to the type of its parameter, so
in float64 torch's own NAdam, which keeps a float32 scalar, does not continue with the same bits.
"""

import copy
import io
import pickle
from collections.abc import Callable, Sequence
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
from catsdogs.contract.harness import OptimizerHarness, copies, distance, furthest
from catsdogs.contract.param_groups import changed_settings
from catsdogs.optim.state_size import named_tensors

FLAGS = ("foreach", "differentiable", "capturable", "fused")  # added in different torch versions
StateDict = dict[str, Any]


@claim(
    "Training resumed from a copied state dict gives the same bits as uninterrupted training.",
    "state",
)
def resumes_from_a_state_dict(harness: OptimizerHarness) -> str:
    return _resumes(harness, copy.deepcopy)


@claim("Training resumed from a file, loaded with weights_only=True, gives the same bits.", "state")
def resumes_from_a_file(harness: OptimizerHarness) -> str:
    return _resumes(harness, through_a_file)


@claim("A deep copy of weights and optimizer continues with the same bits.", "state")
def survives_deepcopy(harness: OptimizerHarness) -> str:
    weights, optimizer = _trained(harness, 5)
    return _continues(harness, *copy.deepcopy((weights, optimizer)))


@claim("A pickled copy of weights and optimizer continues with the same bits.", "state")
def survives_pickle(harness: OptimizerHarness) -> str:
    weights, optimizer = _trained(harness, 5)
    try:
        text = pickle.dumps((weights, optimizer))
    except (pickle.PicklingError, AttributeError) as error:
        # Python cannot pickle a class defined inside a function.
        if "local object" in str(error) or "not found as" in str(error):
            raise NotApplicable(f"the class cannot be pickled: {error}") from None
        raise
    return _continues(harness, *pickle.loads(text))


@claim("Every tensor of the state is loaded from a state dict with its dtype and values.", "state")
def loads_state_as_it_was_saved(harness: OptimizerHarness) -> str:
    weights, optimizer = _trained(harness, 5)
    saved = through_a_file(optimizer.state_dict())
    fresh = harness.build([weight.detach().clone().requires_grad_() for weight in weights])
    fresh.load_state_dict(copy.deepcopy(saved))
    before, after = (dict(named_tensors(d["state"])) for d in (saved, fresh.state_dict()))
    require(
        before.keys() == after.keys(),
        f"lost or gained {', '.join(sorted(before.keys() ^ after.keys()))}",
    )
    for name, tensor in before.items():
        loaded = after[name]
        require(
            loaded.dtype == tensor.dtype, f"{name} changed from {tensor.dtype} to {loaded.dtype}"
        )
        require(distance(loaded, tensor) == 0, f"{name} has other values")
    return f"{len(before)} tensors"


@claim("Hyperparameters are loaded with the state.", "state")
def loads_hyperparameters_with_the_state(harness: OptimizerHarness) -> str:
    settings = changed_settings(harness)
    altered = harness.build(harness.weights(dtype=torch.float32), **dict(settings[:1]))
    fresh = harness.build(harness.weights(dtype=torch.float32))
    fresh.load_state_dict(copy.deepcopy(altered.state_dict()))
    name, value = settings[0]
    loaded = fresh.param_groups[0].get(name)
    require(loaded == value, f"{name}={value} was saved, {name}={loaded} was loaded")
    return f"{name}={value}"


@claim(
    "State loaded into a model of another dtype takes the dtype of its weights, and steps.", "state"
)
def loads_state_into_another_type(harness: OptimizerHarness) -> str:
    wide = torch.float64
    if {wide, torch.float32} - set(harness.subject.dtypes):
        raise NotApplicable("it does not step on both float64 and float32")
    saved = harness.trained(3, dtype=wide)[1].state_dict()
    weights = harness.weights(dtype=torch.float32)
    optimizer = harness.build(weights)
    optimizer.load_state_dict(copy.deepcopy(saved))
    harness.run(optimizer, weights, range(harness.after(3), harness.after(6)))
    finite = all(bool(weight.isfinite().all()) for weight in weights)
    require(finite, "weights are not finite after 3 steps")
    wrong = {
        name: tensor.dtype
        for weight in weights
        for name, tensor in named_tensors(optimizer.state.get(weight, {}))
        if tensor.shape == weight.shape and tensor.dtype == torch.float64
    }
    require(not wrong, f"float32 weights have float64 state: {', '.join(sorted(wrong))}")
    return "float64 to float32, 3 steps"


@claim(
    "Loading leaves the given dict unchanged and shares no hyperparameter or count with it.",
    "state",
)
def loads_without_tying_to_the_source(harness: OptimizerHarness) -> str:
    weights, optimizer = _trained(harness, 3)
    given = optimizer.state_dict()
    before = _without_tensors(given)
    others = [weight.detach().clone().requires_grad_() for weight in weights]
    other = harness.build(others)
    other.load_state_dict(given)
    require(_without_tensors(given) == before, "load_state_dict changed the dict it was given")
    harness.run(other, others, range(harness.after(3), harness.after(5)))
    for group in other.param_groups:
        group.update(dict.fromkeys(set(group) - {"params"}, "changed"))
    require(_without_tensors(given) == before, "stepping the loaded optimizer changed the dict")
    now = _without_tensors(optimizer.state_dict())
    require(now == before, "stepping the loaded optimizer changed the saved one")
    dicts = given, other.state_dict()
    ours, theirs = ({id(tensor) for _, tensor in named_tensors(each)} for each in dicts)
    # torch itself shares tensors of the same type and device with the given dict.
    return f"separate; {len(ours & theirs) or 'no'} tensors shared with the dict"


@claim("A state dict with another number of groups or parameters is refused.", "manners")
def refuses_a_state_dict_of_another_shape(harness: OptimizerHarness) -> str:
    weights = harness.weights(dtype=torch.float32)
    given = _trained(harness, 1)[1].state_dict()
    require_plain_parameters(harness)
    said: list[str] = []
    groups = [{"params": [weight]} for weight in weights] + [
        {"params": harness.weights(dtype=torch.float32)}
    ]
    for params, what in (
        (groups, "groups"),
        ([*weights, *harness.weights(dtype=torch.float32)], "parameters"),
    ):
        try:
            other = harness.build(params)
        except Exception as error:  # noqa: BLE001 - the code under test may raise anything
            raise NotApplicable(f"it takes no further {what}: {describe(error)}") from None
        try:
            other.load_state_dict(copy.deepcopy(given))
        except Exception as error:  # noqa: BLE001 - the code under test may raise anything
            said.append(type(error).__name__)
            continue
        require(False, f"a state dict with another number of {what} was loaded")
    return f"{said[0]} for groups, {said[1]} for parameters"


@claim(
    "A checkpoint without the options that __setstate__ restores loads, with their defaults.",
    "state",
)
def loads_a_checkpoint_without_flags(harness: OptimizerHarness) -> str:
    _, optimizer = _trained(harness, 3)
    given = copy.deepcopy(optimizer.state_dict())
    # A later option is off in older checkpoints, so only those that are off here are left out.
    optional = [
        name
        for name, value in harness.settings.items()
        if not value and _restored(type(optimizer), name)
    ]
    if not optional:
        raise NotApplicable("its __setstate__ gives no hyperparameter a default")
    for group in given["param_groups"]:
        for name in optional:
            group.pop(name, None)
    seen = _continues(harness, *_loaded(harness, given, 3), since=3)
    return f"{seen} without {', '.join(optional)}"


def _restored(cls: type[Optimizer], name: str) -> bool:
    """Return whether `__setstate__` mentions a hyperparameter, as torch's do for later options."""
    for each in cls.__mro__:
        if each is Optimizer or "__setstate__" not in vars(each):
            continue
        code = vars(each)["__setstate__"].__code__
        if name in code.co_consts or ("defaults" in code.co_names and name in FLAGS):
            return True
    return False


@claim("Hooks around state_dict and load_state_dict run once each.", "use")
def runs_state_dict_hooks(harness: OptimizerHarness) -> str:
    _, optimizer = _trained(harness, 1)
    ran: list[str] = []
    optimizer.register_state_dict_pre_hook(lambda *_: ran.append("before saving"))
    optimizer.register_state_dict_post_hook(lambda *_: ran.append("after saving"))
    optimizer.register_load_state_dict_pre_hook(lambda *_: ran.append("before loading"))
    optimizer.register_load_state_dict_post_hook(lambda *_: ran.append("after loading"))
    optimizer.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    expected = ["before saving", "after saving", "before loading", "after loading"]
    require(ran == expected, f"ran {', '.join(ran) or 'none'}")
    return ", ".join(expected)


@claim("State is as large after 24 steps as after 8 steps.", "state")
def keeps_state_of_constant_size(harness: OptimizerHarness) -> str:
    weights, optimizer = _trained(harness, 8)
    early = _size(optimizer.state_dict()["state"])
    harness.run(optimizer, weights, range(harness.after(8), harness.after(24)))
    late = _size(optimizer.state_dict()["state"])
    require(late == early, f"{early} numbers after 8 steps, {late} after 24")
    return f"{early} numbers"


def through_a_file(state_dict: StateDict) -> StateDict:
    """Return a state dict after `torch.save` and a weights-only `torch.load`."""
    file = io.BytesIO()
    torch.save(state_dict, file)
    file.seek(0)
    loaded: StateDict = torch.load(file, weights_only=True)
    return loaded


def _trained(harness: OptimizerHarness, steps: int) -> tuple[list[Tensor], Optimizer]:
    if torch.float32 not in harness.subject.dtypes:
        raise NotApplicable("it does not step on float32")
    return harness.trained(steps, dtype=torch.float32)


def _resumes(harness: OptimizerHarness, keep: Callable[[StateDict], StateDict]) -> str:
    kept = keep(_trained(harness, 5)[1].state_dict())
    return _continues(harness, *_loaded(harness, kept, 5))


def _loaded(
    harness: OptimizerHarness, given: StateDict, steps: int
) -> tuple[list[Tensor], Optimizer]:
    """Return the weights after some steps and a new optimizer that loaded the state dict."""
    weights = [weight.requires_grad_() for weight in copies(_trained(harness, steps)[0])]
    optimizer = harness.build(weights)
    optimizer.load_state_dict(given)
    return weights, optimizer


def _continues(
    harness: OptimizerHarness, weights: Sequence[Tensor], optimizer: Optimizer, since: int = 5
) -> str:
    harness.run(optimizer, weights, range(harness.after(since), harness.after(since + 5)))
    uninterrupted, _ = _trained(harness, since + 5)
    gap = furthest(weights, uninterrupted)
    require(gap == 0, f"weights differ by {gap:.1e} after {since} + 5 steps")
    return f"{since} + 5 steps equal {since + 5} steps"


def _without_tensors(value: Any) -> Any:
    if isinstance(value, Tensor):
        return "tensor"
    if isinstance(value, dict):
        return {key: _without_tensors(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_tensors(item) for item in value]
    return value


def _size(value: Any) -> int:
    if isinstance(value, Tensor):
        return value.numel()
    if isinstance(value, dict):
        return sum(_size(item) for item in value.values())
    if isinstance(value, list | tuple):
        return sum(_size(item) for item in value)
    return 1
