"""Claims about state: saving and loading preserve it, and no two optimizers share it.

Weights are float32 here. `Optimizer.load_state_dict` casts state to the type of its parameter, so
in float64 torch's own NAdam, which keeps a float32 scalar, does not continue with the same bits.
"""

import collections
import copy
import functools
import io
import pickle
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer, lr_scheduler

from catsdogs.contract.claims import (
    ClaimFailed,
    NotApplicable,
    claim,
    describe,
    require,
    require_plain_parameters,
)
from catsdogs.contract.harness import (
    OptimizerHarness,
    copies,
    difference,
    distance,
    furthest,
    widest,
)
from catsdogs.contract.interop import gives_the_same_bits_twice, steps_outside_the_graph
from catsdogs.contract.param_groups import (
    SCHEDULED,
    changed_settings,
    reads_the_group_at_every_step,
    takes_named_parameters,
)
from catsdogs.contract.update import clear, skips_parameters_without_gradient
from catsdogs.optim.state_size import named_tensors

FLAGS = ("foreach", "differentiable", "capturable", "fused")  # added in different torch versions
PLAIN = (Tensor, int, float, complex, str, bytes, type(None), torch.dtype, torch.device, torch.Size)
CONTAINERS = (Mapping, list, tuple, set, frozenset, collections.deque)
TRIES = 3
ROUNDING = 1e-5  # of some steps in float32
StateDict = dict[str, Any]
Weights = Sequence[Tensor]


@claim("A state dict has state and param_groups, which refer to parameters by numbers.", "state")
def saves_state_and_groups(harness: OptimizerHarness) -> str:
    given = harness.trained(2)[1].state_dict()
    missing = [name for name in ("state", "param_groups") if name not in given]
    has = ", ".join(map(str, given)) or "nothing"
    require(not missing, f"it has {has}; tools such as torch.distributed.checkpoint read both")
    numbers = [number for group in given["param_groups"] for number in group["params"]]
    wrong = sorted({type(number).__name__ for number in numbers if not isinstance(number, int)})
    require(not wrong, f"the params of its groups are of type {', '.join(wrong)}, not int")
    keys = sorted({type(key).__name__ for key in given["state"] if isinstance(key, Tensor)})
    require(not keys, f"the keys of its state are of type {', '.join(keys)}, not int")
    return f"numbers {numbers}"


@claim(
    "No tensor of a state dict requires gradients.",
    "state",
    causes=(steps_outside_the_graph, saves_state_and_groups),
)
def saves_no_graph(harness: OptimizerHarness) -> str:
    _, optimizer = harness.trained(2)
    tensors = list(named_tensors(optimizer.state_dict()))
    inside = sorted({name for name, tensor in tensors if tensor.requires_grad})
    require(not inside, f"{', '.join(inside[:3])} require gradients")
    return f"none of {len(tensors)} tensors"


@claim("Every tensor of the state is loaded from a state dict with its dtype and values.", "state")
def loads_state_as_it_was_saved(harness: OptimizerHarness) -> str:
    weights, optimizer = _trained(harness, 5)
    saved = _save(optimizer)
    fresh = harness.build(_again(weights))
    fresh.load_state_dict(copy.deepcopy(saved))
    before, after = (dict(named_tensors(each)) for each in (saved, fresh.state_dict()))
    require(
        before.keys() == after.keys(),
        f"lost or gained {', '.join(sorted(before.keys() ^ after.keys()))}",
    )
    for name, tensor in before.items():
        loaded = after[name]
        require(
            loaded.dtype == tensor.dtype, f"{name} changed from {tensor.dtype} to {loaded.dtype}"
        )
        gap = distance(loaded, tensor)
        require(gap == 0, f"{name} differs by {gap:.1e}: {widest(loaded, tensor)}")
    return f"{len(before)} tensors"


@claim(
    "Training resumed from a copied state dict gives the same bits as uninterrupted training.",
    "state",
    causes=(gives_the_same_bits_twice, saves_state_and_groups, loads_state_as_it_was_saved),
)
def resumes_from_a_state_dict(harness: OptimizerHarness) -> str:
    saved = _saved(harness, 5)
    return _continues(harness, lambda: _loaded(harness, saved, 5))


@claim(
    "State and groups after resuming equal those of uninterrupted training.",
    "state",
    causes=(resumes_from_a_state_dict, loads_state_as_it_was_saved),
)
def resumes_with_the_same_state(harness: OptimizerHarness) -> str:
    weights, optimizer = _loaded(harness, _saved(harness, 5), 5)
    harness.run(optimizer, weights, range(harness.after(5), harness.after(10)))
    resumed, uninterrupted = optimizer.state_dict(), _trained(harness, 10)[1].state_dict()
    if gaps := list(_differences(resumed, uninterrupted)):
        if chance := list(_differences(_trained(harness, 10)[1].state_dict(), uninterrupted)):
            raise NotApplicable(f"in another run of 10 steps, {chance[0]}")
        raise ClaimFailed(f"after 5 + 5 steps instead of 10, {'; '.join(gaps[:3])}")
    return f"{sum(1 for _ in _entries(uninterrupted))} entries are equal after 5 + 5 steps"


@claim(
    "Training resumed from a file, loaded with weights_only=True, gives the same bits.",
    "state",
    causes=(resumes_from_a_state_dict,),
)
def resumes_from_a_file(harness: OptimizerHarness) -> str:
    given = _trained(harness, 5)[1].state_dict()
    file = io.BytesIO()
    torch.save(given, file)
    file.seek(0)
    if refused := torch.serialization.get_unsafe_globals_in_checkpoint(file):
        held = [name for name, value in _nodes(given) if _qualified(value) in refused]
        where = f", such as {held[0]}" if held else ""
        raise ClaimFailed(f"torch.load with weights_only=True refuses {', '.join(refused)}{where}")
    loaded = through_a_file(given)
    return _continues(harness, lambda: _loaded(harness, loaded, 5))


@claim(
    "Training resumes with the same bits from before the first step, and while a parameter is "
    "frozen.",
    "state",
    causes=(resumes_from_a_state_dict, skips_parameters_without_gradient),
)
def resumes_with_parameters_that_have_no_state(harness: OptimizerHarness) -> str:
    for begin, first in ((0, 0), (harness.after(3), 1)):
        if first and (harness.step_inputs == "samples" or len(harness.shapes) == 1):
            continue  # without a gradient of the first parameter there is nothing to step on
        when = "with the first parameter frozen" if first else "before the first step"
        _require_same_bits(functools.partial(_resumed, harness, begin, first), f"saved {when}")
    return "same bits"


def _resumed(harness: OptimizerHarness, begin: int, first: int) -> tuple[Weights, Weights]:
    """Return the weights after resuming, and without, where the first parameters have no state.

    Args:
        harness: Drives the optimizer.
        begin: Number of steps before saving.
        first: Number of parameters that get no gradient in those.
    """
    weights = _new_weights(harness)
    optimizer = harness.build(weights)
    steps = range(begin, begin + harness.after(3))
    try:
        places = range(first, len(weights))
        harness.run(optimizer, weights[first:], range(begin), places=places)
        saved, again = _save(optimizer), _again(weights)
        harness.run(optimizer, weights, steps)
    except NotApplicable:
        raise
    except Exception as error:  # noqa: BLE001 - the code under test may raise anything
        raise NotApplicable(f"without saving, it raises {describe(error)}") from None
    other = harness.build(again)
    other.load_state_dict(saved)
    harness.run(other, again, steps)
    return again, weights


@claim(
    "A state dict loads into an optimizer that has trained on, which continues as from there.",
    "state",
    causes=(resumes_from_a_state_dict,),
)
def rolls_back_to_a_state_dict(harness: OptimizerHarness) -> str:
    def rolled_back() -> tuple[Weights, Optimizer]:
        weights, optimizer = _trained(harness, 3)
        saved, then = _save(optimizer), copies(weights)
        harness.run(optimizer, weights, range(harness.after(3), harness.after(7)))
        with torch.no_grad():
            for weight, old in zip(weights, then, strict=True):
                weight.copy_(old)
        optimizer.load_state_dict(saved)
        return weights, optimizer

    return f"4 steps taken back; {_continues(harness, rolled_back, since=3)}"


@claim(
    "A deep copy of weights and optimizer continues with the same bits.",
    "state",
    causes=(resumes_from_a_state_dict,),
)
def survives_deepcopy(harness: OptimizerHarness) -> str:
    return _copy_continues(harness, copy.deepcopy)


@claim(
    "A pickled copy of weights and optimizer continues with the same bits.",
    "state",
    causes=(survives_deepcopy, resumes_from_a_file),
)
def survives_pickle(harness: OptimizerHarness) -> str:
    try:
        pickle.dumps(type(harness.build(_new_weights(harness))))
    except (pickle.PicklingError, AttributeError) as error:  # such as one defined in a function
        raise NotApplicable(f"the class cannot be pickled: {error}") from None
    return _copy_continues(harness, lambda both: pickle.loads(pickle.dumps(both)))


@claim("A deep copy takes new groups, hooks and schedulers.", "use", causes=(survives_deepcopy,))
def works_on_after_deepcopy(harness: OptimizerHarness) -> str:
    weights, optimizer = _trained(harness, 1)
    _require_no_graph(optimizer.state_dict())
    clear(weights)  # gradients with a graph cannot be copied
    again, copied = copy.deepcopy((weights, optimizer))
    seen = ["hooks"]
    copied.register_step_pre_hook(lambda *_: None)
    copied.register_step_post_hook(lambda *_: None)
    copied.register_state_dict_pre_hook(lambda *_: None)
    copied.register_load_state_dict_post_hook(lambda *_: None)
    if isinstance(copied.param_groups[0].get("lr"), float):
        lr_scheduler.LambdaLR(copied, lambda number: 0.5**number)
        seen.append("schedulers")
    if harness.build_from == "parameters":
        try:
            _step_with_a_new_group(harness, optimizer, weights)
        except Exception:  # noqa: BLE001 - the code under test may raise anything
            return " and ".join(seen)  # it takes no new groups at all
        _step_with_a_new_group(harness, copied, again)
        seen.append("groups")
    return ", ".join(seen)


def _step_with_a_new_group(
    harness: OptimizerHarness, optimizer: Optimizer, weights: Sequence[Tensor]
) -> None:
    late = _again(weights[:1])
    optimizer.add_param_group({"params": late})
    harness.run(optimizer, [*weights, *late], [harness.after(1)])


@claim(
    "Hyperparameters are loaded with the state, and the next step obeys them.",
    "state",
    causes=(resumes_from_a_state_dict, reads_the_group_at_every_step),
)
def loads_hyperparameters_with_the_state(harness: OptimizerHarness) -> str:
    seen = []
    for name, value in changed_settings(harness):
        resumed = functools.partial(_resumed_with, harness, name, value)
        if name in SCHEDULED:
            _require_same_bits(resumed, f"2 steps after {name}={value} was saved and loaded")
        else:
            resumed()  # it may be read at construction, and steps differ then
        seen.append(f"{name}={value}")
    return ", ".join(seen)


def _resumed_with(harness: OptimizerHarness, name: str, value: Any) -> tuple[Weights, Weights]:
    """Return the weights after resuming, and without, where one setting comes from loading."""
    weights, altered = _trained(harness, 2, **{name: value})
    again = _again(weights)
    fresh = harness.build(again)
    fresh.load_state_dict(_save(altered))
    kept, loaded = (each.param_groups[0].get(name) for each in (altered, fresh))
    require(_same(loaded, kept), f"{name}={kept} was saved, {name}={loaded} was loaded")
    later = range(harness.after(2), harness.after(4))
    harness.run(altered, weights, later)
    harness.run(fresh, again, later)
    return again, weights


@claim(
    "After loading, a step obeys the learning rate that a scheduler or a script sets.",
    "state",
    causes=(loads_hyperparameters_with_the_state, resumes_from_a_state_dict),
)
def obeys_the_learning_rate_after_loading(harness: OptimizerHarness) -> str:
    lr = harness.build(_new_weights(harness)).param_groups[0].get("lr")
    if not isinstance(lr, int | float):
        raise NotApplicable("its groups have no lr" if lr is None else f"its lr is {lr!r}")
    for way in ("a scheduler built before loading", "the groups after loading"):
        by_scheduler = way.startswith("a scheduler")
        _require_same_bits(
            functools.partial(_resumed_with_another_lr, harness, by_scheduler),
            f"3 steps after {way} set lr={lr / 4:g}",
        )
    return f"lr={lr / 4:g}, set by a scheduler built before loading and in the groups, is obeyed"


def _resumed_with_another_lr(
    harness: OptimizerHarness, by_scheduler: bool
) -> tuple[Weights, Weights]:
    """Return the weights after resuming, and without, where lr changes after loading."""
    weights = _new_weights(harness)
    optimizer = harness.build(weights)
    scheduler = _quartering(optimizer)
    harness.run(optimizer, weights, range(harness.after(2)))
    saved, again = _save(optimizer), _again(weights)
    scheduler.step()
    other = harness.build(again)
    scheduler = _quartering(other)
    other.load_state_dict(saved)
    if by_scheduler:
        scheduler.step()
    else:
        for group in other.param_groups:
            group["lr"] = optimizer.param_groups[0]["lr"]
    later = range(harness.after(2), harness.after(5))
    harness.run(optimizer, weights, later)
    harness.run(other, again, later)
    return again, weights


def _quartering(optimizer: Optimizer) -> lr_scheduler.LambdaLR:
    """Return a scheduler that divides the learning rate by 4 at every step."""
    return lr_scheduler.LambdaLR(optimizer, lambda number: 0.25**number)


@claim(
    "State dicts of named and of unnamed parameters load into each other.",
    "use",
    causes=(resumes_from_a_state_dict, takes_named_parameters),
)
def loads_between_named_and_unnamed_parameters(harness: OptimizerHarness) -> str:
    require_plain_parameters(harness)
    for named in (False, True):
        _continues(harness, functools.partial(_loaded_with_names, harness, named), since=3)
    return "same bits in both directions"


def _loaded_with_names(harness: OptimizerHarness, named: bool) -> tuple[Weights, Optimizer]:
    """Load into named parameters what unnamed ones saved, or the other way around."""
    weights = _new_weights(harness)
    optimizer = harness.build(weights if named else _with_names(weights))
    harness.run(optimizer, weights, range(harness.after(3)))
    again = _again(weights)
    other = harness.build(_with_names(again) if named else again)
    before = other.param_groups[0].get("param_names")
    other.load_state_dict(_save(optimizer))
    now = other.param_groups[0].get("param_names")
    require(not named or now == before, f"param_names {before} became {now} after loading")
    return again, other


def _with_names(weights: Sequence[Tensor]) -> list[tuple[str, Tensor]]:
    return [(f"w{index}", weight) for index, weight in enumerate(weights)]


@claim(
    "State loaded into a model of another dtype takes the dtype of its weights, and steps.",
    "state",
    causes=(saves_state_and_groups,),
)
def loads_state_into_another_type(harness: OptimizerHarness) -> str:
    wide = torch.float64
    if {wide, torch.float32} - set(harness.subject.dtypes):
        raise NotApplicable("it does not step on both float64 and float32")
    saved = _saved(harness, 3, wide)
    for name, value in _nodes(saved.get("state")):
        if not isinstance(value, (*PLAIN, *CONTAINERS)):
            raise NotApplicable(f"torch cannot cast a {_qualified(value)}, {name} of the state")
    weights = _new_weights(harness)
    optimizer = harness.build(weights)
    optimizer.load_state_dict(saved)
    harness.run(optimizer, weights, range(harness.after(3), harness.after(6)))
    finite = all(bool(weight.isfinite().all()) for weight in weights)
    require(finite, "weights are not finite after 3 steps")
    shapes = {weight.shape for weight in weights if weight.numel() > 1}
    wrong = {
        name
        for name, tensor in named_tensors(optimizer.state_dict())
        if tensor.shape in shapes and tensor.dtype == wide
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
    _require_no_graph(given)
    before = _without_tensors(given)
    others = [weight.detach().clone().requires_grad_() for weight in weights]
    other = harness.build(others)
    other.load_state_dict(given)
    _require_unchanged(given, before, "load_state_dict changed the dict it was given")
    harness.run(other, others, range(harness.after(3), harness.after(5)))
    for group in other.param_groups:
        group.update(dict.fromkeys(set(group) - {"params"}, "changed"))
    _require_unchanged(given, before, "stepping the loaded optimizer changed the dict")
    now = optimizer.state_dict()
    _require_unchanged(now, before, "stepping the loaded optimizer changed the saved one")
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
    causes=(resumes_from_a_state_dict,),
)
def loads_a_checkpoint_without_flags(harness: OptimizerHarness) -> str:
    given = _saved(harness, 3)
    # A later option is off in older checkpoints, so only those that are off here are left out.
    optional = [
        name
        for name, value in harness.settings.items()
        if not value and _restored(harness, name, FLAGS)
    ]
    if not optional:
        raise NotApplicable("its __setstate__ gives no hyperparameter a default")
    for group in given["param_groups"]:
        for name in optional:
            group.pop(name, None)
    seen = _continues(harness, lambda: _loaded(harness, given, 3), since=3)
    return f"{seen} without {', '.join(optional)}"


@claim(
    "A checkpoint with plain numbers loads, as older versions saved them, where __setstate__ "
    "converts them.",
    "state",
    causes=(resumes_from_a_state_dict,),
)
def loads_a_checkpoint_with_plain_numbers(harness: OptimizerHarness) -> str:
    given = _saved(harness, 3)
    states = [state for state in given.get("state", {}).values() if isinstance(state, dict)]
    held = [(name, value) for state in states for name, value in state.items()]
    # The state of a parameter without dimensions has none either.
    larger = {name for name, value in held if not _is_scalar(value)}
    names = {name for name, _ in held if name not in larger and _restored(harness, name)}
    for state in states:
        for name in names & state.keys():
            number = state[name].item()
            state[name] = int(number) if number == int(number) else number
    if not names:
        raise NotApplicable("its __setstate__ converts no number of its state to a tensor")
    seen = _continues(harness, lambda: _loaded(harness, given, 3), since=3)
    return f"{seen} with {', '.join(sorted(names))} saved as plain numbers"


def _is_scalar(value: Any) -> bool:
    return isinstance(value, Tensor) and value.dim() == 0


def _restored(harness: OptimizerHarness, name: str, flags: Sequence[str] = ()) -> bool:
    """Return whether `__setstate__` mentions a name, as torch's do for what came later.

    It need not mention one of the flags if it reads the defaults.
    """
    for each in type(harness.build(_new_weights(harness))).__mro__:
        if each is Optimizer or "__setstate__" not in vars(each):
            continue
        code = vars(each)["__setstate__"].__code__
        if name in code.co_consts or ("defaults" in code.co_names and name in flags):
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
    optimizer.load_state_dict(_save(optimizer))
    expected = ["before saving", "after saving", "before loading", "after loading"]
    require(ran == expected, f"ran {', '.join(ran) or 'none'}")
    return ", ".join(expected)


@claim(
    "What a hook returns is what is saved, and what is loaded.",
    "use",
    causes=(
        saves_state_and_groups,
        runs_state_dict_hooks,
        resumes_from_a_state_dict,
        loads_hyperparameters_with_the_state,
    ),
)
def obeys_state_dict_hooks(harness: OptimizerHarness) -> str:
    weights, optimizer = _trained(harness, 1)
    optimizer.register_state_dict_post_hook(lambda _, given: {**given, "note": 1})
    optimizer.register_state_dict_post_hook(lambda _, given: given.update(later=2))
    saved = _save(optimizer)
    require(saved.get("note") == 1, "an entry of the dict that a post hook returned is missing")
    require(saved.get("later") == 2, "an entry that a second post hook added is missing")
    if "param_groups" not in saved:
        raise NotApplicable("its state dict has no param_groups")
    name, value = changed_settings(harness)[0]
    other = harness.build(_again(weights))
    groups = [{**group, name: value} for group in copy.deepcopy(saved["param_groups"])]
    other.register_load_state_dict_pre_hook(lambda _, given: {**given, "param_groups": groups})
    other.load_state_dict(copy.deepcopy(saved))
    loaded = other.param_groups[0].get(name)
    require(
        _same(loaded, value), f"a pre hook returned {name}={value}, and {name}={loaded} was loaded"
    )
    return f"entries added after saving, {name}={value} before loading"


def through_a_file(state_dict: StateDict) -> StateDict:
    """Return a state dict after `torch.save` and a weights-only `torch.load`."""
    file = io.BytesIO()
    torch.save(state_dict, file)
    file.seek(0)
    loaded: StateDict = torch.load(file, weights_only=True)
    return loaded


def _new_weights(harness: OptimizerHarness, dtype: torch.dtype = torch.float32) -> list[Tensor]:
    if dtype not in harness.subject.dtypes:
        raise NotApplicable(f"it does not step on {dtype}")
    return harness.weights(dtype=dtype)


def _again(weights: Sequence[Tensor]) -> list[Tensor]:
    """Return trainable copies."""
    return [weight.detach().clone().requires_grad_() for weight in weights]


def _trained(
    harness: OptimizerHarness, steps: int, dtype: torch.dtype = torch.float32, **overrides: Any
) -> tuple[list[Tensor], Optimizer]:
    """Return weights and an optimizer after some steps."""
    weights = _new_weights(harness, dtype)
    optimizer = harness.build(weights, **overrides)
    harness.run(optimizer, weights, range(harness.after(steps)))
    return weights, optimizer


def _save(optimizer: Optimizer) -> StateDict:
    """Return a copy of the state dict.

    Raises:
        NotApplicable: If its state is part of a graph, so that it cannot be copied.
    """
    given = optimizer.state_dict()
    _require_no_graph(given)
    return copy.deepcopy(given)


def _require_no_graph(given: StateDict) -> None:
    for name, tensor in named_tensors(given):
        if tensor.grad_fn is not None:
            raise NotApplicable(f"{name} is part of a graph, see saves_no_graph")


def _saved(harness: OptimizerHarness, steps: int, dtype: torch.dtype = torch.float32) -> StateDict:
    return _save(_trained(harness, steps, dtype)[1])


def _loaded(
    harness: OptimizerHarness, given: StateDict, steps: int
) -> tuple[list[Tensor], Optimizer]:
    """Return the weights after some steps and a new optimizer that loaded the state dict."""
    weights = _again(_trained(harness, steps)[0])
    optimizer = harness.build(weights)
    optimizer.load_state_dict(copy.deepcopy(given))
    return weights, optimizer


def _require_same_bits(runs: Callable[[], tuple[Weights, Weights]], when: str) -> None:
    """Compare the weights of two runs bit for bit.

    Some kernels round in another way where a tensor lies elsewhere in memory, so runs that differ
    by rounding are repeated: a mistake makes them differ every time.
    """
    for _ in range(TRIES):
        ours, others = runs()
        gap = furthest(ours, others)
        if gap == 0:
            return
        if gap > ROUNDING:
            break
    raise ClaimFailed(f"{when}, weights differ {difference(ours, others)}")


def _continues(
    harness: OptimizerHarness, resume: Callable[[], tuple[Weights, Optimizer]], since: int = 5
) -> str:
    def runs() -> tuple[Weights, Weights]:
        weights, optimizer = resume()
        harness.run(optimizer, weights, range(harness.after(since), harness.after(since + 5)))
        return weights, _trained(harness, since + 5)[0]

    _require_same_bits(runs, f"after {since} + 5 steps")
    return f"{since} + 5 steps equal {since + 5} steps"


def _copy_continues(harness: OptimizerHarness, copied: Callable[[Any], Any]) -> str:
    def resume() -> tuple[Weights, Optimizer]:
        weights, optimizer = _trained(harness, 5)
        _require_no_graph(optimizer.state_dict())
        clear(weights)  # gradients with a graph cannot be copied
        again, other = copied((weights, optimizer))
        lost.update(vars(optimizer).keys() - vars(other).keys())
        return again, other

    lost: set[str] = set()
    try:
        return _continues(harness, resume)
    except AttributeError as error:
        if error.name not in lost:
            raise
        raise ClaimFailed(
            f"raised {describe(error)}: torch's Optimizer.__getstate__ copies defaults, state and "
            "param_groups alone"
        ) from None


def _nodes(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Yield a value and all that it holds, each with a name such as `state.0.sum`."""
    yield name, value
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _nodes(item, f"{name}.{key}" if name else str(key))
    elif isinstance(value, CONTAINERS) and not isinstance(value, torch.Size):
        for index, item in enumerate(value):
            yield from _nodes(item, f"{name}[{index}]")


def _entries(value: Any) -> Iterator[tuple[str, Any]]:
    """Yield what is held that holds nothing itself."""
    for name, node in _nodes(value):
        if not isinstance(node, CONTAINERS) or isinstance(node, torch.Size):
            yield name, node


def _qualified(value: Any) -> str:
    """Return the name of the type of a value, with its module, as a pickle has it."""
    return f"{type(value).__module__}.{type(value).__qualname__}"


def _differences(ours: StateDict, others: StateDict) -> Iterator[str]:
    """Yield every entry in which two state dicts differ, in words."""
    mine, theirs = dict(_entries(ours)), dict(_entries(others))
    for name in [*mine, *(name for name in theirs if name not in mine)]:
        if name not in theirs or name not in mine:
            yield f"{name} is {'new' if name in mine else 'missing'}"
        elif not _same(mine[name], theirs[name]):
            yield f"{name} is {_in_words(mine[name], theirs[name])}"


def _same(one: Any, other: Any) -> bool:
    """Return whether two entries are equal; objects of one type are taken to be."""
    if isinstance(one, Tensor) or isinstance(other, Tensor):
        numbers = all(isinstance(each, Tensor | int | float) for each in (one, other))
        return numbers and distance(torch.as_tensor(one), torch.as_tensor(other)) == 0
    if isinstance(one, PLAIN) or isinstance(other, PLAIN):
        return bool(one == other) or (one != one and other != other)
    return type(one) is type(other)


def _in_words(one: Any, other: Any) -> str:
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        return widest(one, other)
    return f"{one} instead of {other}"


def _require_unchanged(given: StateDict, before: StateDict, otherwise: str) -> None:
    """Compare a state dict with what `_without_tensors` returned before."""
    gaps = list(_differences(_without_tensors(given), before))
    require(not gaps, f"{otherwise}: {'; '.join(gaps[:3])}")


def _without_tensors(value: Any) -> Any:
    if isinstance(value, Tensor):
        return "tensor"
    if isinstance(value, dict):
        return {key: _without_tensors(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_tensors(item) for item in value]
    return value
