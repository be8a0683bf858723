"""Mutants of saving and loading."""

import collections
import copy
import enum
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from tests.support.mutants.registry import seen_by

Group = dict[str, Any]
StateDict = dict[str, Any]


class PlainMomentum(Optimizer):
    """Momentum with a warm-up by its step count, in the usual two loops, which passes every claim.

    The step count is a float32 tensor, as in torch.
    """

    def __init__(self, params: Any, lr: float = 0.01, momentum: float = 0.9) -> None:
        if lr < 0 or momentum < 0:
            raise ValueError(f"Invalid lr or momentum: {lr}, {momentum}")
        super().__init__(params, {"lr": lr, "momentum": momentum})

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        for each in self.state.values():
            if isinstance(each.get("step"), int | float):
                each["step"] = self.as_tensor(each["step"])

    def as_tensor(self, step: float) -> Tensor:
        """Return a step count that was saved as a plain number."""
        return torch.tensor(float(step))

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            self.begin(group)
            for param in group["params"]:
                if param.grad is not None:
                    self.move(param, group)
        return loss

    def begin(self, group: Group) -> None:
        """Prepare the step of a group."""

    def move(self, param: Tensor, group: Group) -> None:
        """Step on one parameter."""
        assert param.grad is not None
        state = self.state[param]
        if not state:
            state["step"] = torch.tensor(0.0)
            state["buffer"] = torch.zeros_like(param)
        state["step"] += 1
        buffer = self.buffer(param, group)
        count = float(state["step"])
        param.add_(buffer, alpha=-self.rate(group) * count / (count + 1))

    def buffer(self, param: Tensor, group: Group) -> Tensor:
        """Return the momentum buffer after the step."""
        buffer: Tensor = self.state[param]["buffer"]
        assert param.grad is not None
        return buffer.mul_(group["momentum"]).add_(param.grad)

    def rate(self, group: Group) -> float:
        """Return the rate of a group."""
        return float(group["lr"])

    def params(self) -> Iterator[Tensor]:
        """Yield all parameters."""
        for group in self.param_groups:
            yield from group["params"]


# A graph.


@seen_by("saves_no_graph")
class MomentumKeepsAGraphInItsGroups(PlainMomentum):
    """The norm of the weights, as a number in a graph, is kept in the group."""

    def begin(self, group: Group) -> None:
        with torch.enable_grad():
            group["norm"] = sum(param.square().sum() for param in group["params"])


@seen_by("saves_no_graph")
class MomentumKeepsTrainableAnchors(PlainMomentum):
    """Copies of the weights that require gradients are kept in a list of the state."""

    def move(self, param: Tensor, group: Group) -> None:
        super().move(param, group)
        self.state[param]["anchors"] = [param.detach().clone().requires_grad_()]


# The format.


@seen_by("saves_state_and_groups")
class MomentumNestsItsStateDict(PlainMomentum):
    """The state dict is one level deeper (found in a published wrapper)."""

    def state_dict(self) -> StateDict:
        return {"base": super().state_dict(), "version": 1}

    def load_state_dict(self, state_dict: StateDict) -> None:
        super().load_state_dict(state_dict["base"])


@seen_by("saves_state_and_groups")
class MomentumSavesItsParameters(PlainMomentum):
    """The groups of the state dict hold the parameters, and the state is keyed by them."""

    def state_dict(self) -> StateDict:
        return {"state": dict(self.state), "param_groups": list(self.param_groups)}


# The state after resuming.


@seen_by("resumes_with_the_same_state")
class MomentumReportsCallsOfTheObject(PlainMomentum):
    """The state holds a count that begins anew with every object."""

    calls = 0

    def begin(self, group: Group) -> None:
        self.calls += 1

    def move(self, param: Tensor, group: Group) -> None:
        super().move(param, group)
        self.state[param]["calls"] = self.calls


@seen_by("resumes_with_the_same_state")
class MomentumAveragesWeightsByCallsOfTheObject(PlainMomentum):
    """The weights of a running average follow from a count that begins anew with every object."""

    calls = 0

    def begin(self, group: Group) -> None:
        self.calls += 1

    def move(self, param: Tensor, group: Group) -> None:
        super().move(param, group)
        average = self.state[param].setdefault("average", param.detach().clone())
        average.lerp_(param, 1 / self.calls)


@seen_by("resumes_with_the_same_state")
class MomentumForgetsItsLengthOfWay(PlainMomentum):
    """The sum of the learning rates so far, in the group, comes from an attribute."""

    way = 0.0

    def begin(self, group: Group) -> None:
        self.way += float(group["lr"])
        group["way"] = self.way


# A file.


@seen_by("resumes_from_a_file")
class MomentumKeepsADeque(PlainMomentum):
    """The state holds a deque, which a weights-only load refuses (found in a published one)."""

    def move(self, param: Tensor, group: Group) -> None:
        super().move(param, group)
        self.state[param].setdefault("counts", collections.deque([0.0] * 3, maxlen=3))


class Mode(enum.Enum):
    """How a step is taken."""

    USUAL = "usual"


@seen_by("resumes_from_a_file")
class MomentumKeepsAnEnum(PlainMomentum):
    """The groups hold an enum, which a weights-only load refuses (found in a published one)."""

    def __init__(self, params: Any, lr: float = 0.01, momentum: float = 0.9) -> None:
        super().__init__(params, lr, momentum)
        for group in self.param_groups:
            group["mode"] = Mode.USUAL


# Parameters without state.


@seen_by("resumes_with_parameters_that_have_no_state")
class MomentumExpectsStateOfEveryParameter(PlainMomentum):
    """Loading looks up the state of every parameter."""

    def load_state_dict(self, state_dict: StateDict) -> None:
        super().load_state_dict(state_dict)
        for index, param in enumerate(self.params()):
            self.state[param]["step"] = copy.copy(state_dict["state"][index]["step"])


@seen_by("resumes_with_parameters_that_have_no_state")
class MomentumGivesMissingStateTheCountOfOthers(PlainMomentum):
    """Loading gives a parameter without state a buffer of zeros and the count of another."""

    def load_state_dict(self, state_dict: StateDict) -> None:
        super().load_state_dict(state_dict)
        count = max((state["step"] for state in self.state.values()), default=torch.tensor(0.0))
        for param in self.params():
            if param not in self.state:
                self.state[param] = {"step": count.clone(), "buffer": torch.zeros_like(param)}


@seen_by("resumes_with_parameters_that_have_no_state")
class MomentumRefusesAnEmptyState(PlainMomentum):
    """Loading asks the first state for its count, and there is none before the first step."""

    def load_state_dict(self, state_dict: StateDict) -> None:
        float(next(iter(state_dict["state"].values()))["step"])
        super().load_state_dict(state_dict)


# Rolling back.


@seen_by("rolls_back_to_a_state_dict")
class MomentumLoadsMissingStateOnly(PlainMomentum):
    """Loading keeps the state that there is."""

    def load_state_dict(self, state_dict: StateDict) -> None:
        old = dict(self.state)
        super().load_state_dict(state_dict)
        self.state.update(old)


@seen_by("rolls_back_to_a_state_dict")
class MomentumHoldsOnToItsBuffers(PlainMomentum):
    """The buffers are kept beside the state too, and loading does not replace those."""

    def buffer(self, param: Tensor, group: Group) -> Tensor:
        held: dict[Tensor, Tensor] = self.__dict__.setdefault("held", {})
        self.state[param]["buffer"] = held.setdefault(param, self.state[param]["buffer"])
        return super().buffer(param, group)


@seen_by("rolls_back_to_a_state_dict")
class MomentumCountsUpwardsOnly(PlainMomentum):
    """Loading never lowers a step count."""

    def load_state_dict(self, state_dict: StateDict) -> None:
        old = {param: copy.copy(state) for param, state in self.state.items()}
        super().load_state_dict(state_dict)
        for param, state in old.items():
            if param in self.state and state:
                self.state[param]["step"] = torch.maximum(self.state[param]["step"], state["step"])


# Copies.


@seen_by("works_on_after_deepcopy")
class MomentumCopiesWithoutDefaults(PlainMomentum):
    """A copy has no defaults, so that a new group has no learning rate."""

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if "defaults" in state:
            self.defaults = {}


@seen_by("works_on_after_deepcopy")
class MomentumCopiesWithoutHooks(PlainMomentum):
    """A copy can save and step, and registers no hook around saving."""

    def __deepcopy__(self, memo: Any) -> Optimizer:
        cls = type(self)
        other = cls.__new__(cls)
        memo[id(self)] = other
        other.__dict__.update(copy.deepcopy(self.__dict__, memo))
        del other._optimizer_load_state_dict_post_hooks
        return other


# Hyperparameters.


class Wrapper(Optimizer):
    """A wrapper that shares its groups with an inner optimizer, and has to load for both."""

    def __init__(self, params: Any, lr: float = 0.01, momentum: float = 0.9) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum})
        self.inner = PlainMomentum(self.param_groups, lr, momentum)
        self.param_groups = self.inner.param_groups
        self.state = self.inner.state

    def step(self, closure: Any = None) -> Any:
        return self.inner.step(closure)


@seen_by("loads_hyperparameters_with_the_state")
class WrapperLoadsItsOwnGroups(Wrapper):
    """Loading replaces the groups of the wrapper, and the inner optimizer keeps the old ones."""

    def load_state_dict(self, state_dict: StateDict) -> None:
        super().load_state_dict(state_dict)
        self.inner.state = self.state


@seen_by("loads_hyperparameters_with_the_state")
class WrapperLoadsTheInnerGroups(Wrapper):
    """Loading replaces the groups of the inner optimizer, and the wrapper keeps the old ones."""

    def load_state_dict(self, state_dict: StateDict) -> None:
        self.inner.load_state_dict(state_dict)
        self.state = self.inner.state


@seen_by("obeys_the_learning_rate_after_loading")
class WrapperLoadsTwice(Wrapper):
    """Loading gives the wrapper and the inner optimizer groups of their own."""

    def load_state_dict(self, state_dict: StateDict) -> None:
        super().load_state_dict(state_dict)
        self.inner.load_state_dict(state_dict)


@seen_by("obeys_the_learning_rate_after_loading")
class MomentumRestoresItsRateLate(PlainMomentum):
    """The first step after loading sets the rate of the checkpoint again."""

    def load_state_dict(self, state_dict: StateDict) -> None:
        super().load_state_dict(state_dict)
        for group in self.param_groups:
            group["loaded"] = group["lr"]

    def begin(self, group: Group) -> None:
        group["lr"] = group.pop("loaded", group["lr"])


# Names.


@seen_by("loads_between_named_and_unnamed_parameters")
class MomentumExpectsNames(PlainMomentum):
    """Loading into named parameters looks for their names in the checkpoint."""

    def load_state_dict(self, state_dict: StateDict) -> None:
        for ours, saved in zip(self.param_groups, state_dict["param_groups"], strict=True):
            if "param_names" in ours and ours["param_names"] != saved["param_names"]:
                raise ValueError("other names")
        super().load_state_dict(state_dict)


@seen_by("loads_between_named_and_unnamed_parameters")
class MomentumLoadsByName(PlainMomentum):
    """Saved names select the state to load, and parameters without a name get none."""

    def load_state_dict(self, state_dict: StateDict) -> None:
        super().load_state_dict(state_dict)
        saved = [name for g in state_dict["param_groups"] for name in g.get("param_names", ())]
        for group, given in zip(self.param_groups, state_dict["param_groups"], strict=True):
            names = group.get("param_names", [None] * len(group["params"]))
            if saved and names == given.get("param_names") and "named" not in group:
                for param in group["params"]:
                    self.state.pop(param, None)

    def add_param_group(self, param_group: Group) -> None:
        super().add_param_group(param_group)
        if "param_names" in self.param_groups[-1]:
            self.param_groups[-1]["named"] = True

    def state_dict(self) -> StateDict:
        given = super().state_dict()
        for group in given["param_groups"]:
            group.pop("named", None)
        return given


@seen_by("loads_between_named_and_unnamed_parameters")
class MomentumLosesItsNames(PlainMomentum):
    """Loading a checkpoint without names takes the names away."""

    def load_state_dict(self, state_dict: StateDict) -> None:
        super().load_state_dict(state_dict)
        for group, saved in zip(self.param_groups, state_dict["param_groups"], strict=True):
            if "param_names" not in saved:
                group.pop("param_names", None)


# Older checkpoints.


@seen_by("loads_a_checkpoint_with_plain_numbers")
class MomentumCountsOldCheckpointsFromZero(PlainMomentum):
    """A step count that is a plain number is replaced by 0."""

    def as_tensor(self, step: float) -> Tensor:
        return torch.tensor(0.0)


@seen_by("loads_a_checkpoint_with_plain_numbers")
class MomentumConvertsTheFirstCount(PlainMomentum):
    """Only the first parameter's count becomes a tensor, and a step expects one."""

    def __setstate__(self, state: dict[str, Any]) -> None:
        Optimizer.__setstate__(self, state)
        for each in list(self.state.values())[:1]:
            if not isinstance(each["step"], Tensor):
                each["step"] = self.as_tensor(each["step"])

    def move(self, param: Tensor, group: Group) -> None:
        if self.state[param]:
            self.state[param]["step"].detach_()
        super().move(param, group)


# Hooks.


@seen_by("obeys_state_dict_hooks")
class MomentumIgnoresWhatSavingHooksReturn(PlainMomentum):
    """Hooks after saving run on a dict that is not the one returned."""

    def state_dict(self) -> StateDict:
        super().state_dict()
        hooks = self._optimizer_state_dict_post_hooks
        self._optimizer_state_dict_post_hooks = collections.OrderedDict()
        before = self._optimizer_state_dict_pre_hooks
        self._optimizer_state_dict_pre_hooks = collections.OrderedDict()
        try:
            return super().state_dict()
        finally:
            self._optimizer_state_dict_post_hooks = hooks
            self._optimizer_state_dict_pre_hooks = before


@seen_by("obeys_state_dict_hooks")
class MomentumIgnoresWhatLoadingHooksReturn(PlainMomentum):
    """The groups are loaded from the dict that was given, not from the one a hook returned."""

    def load_state_dict(self, state_dict: StateDict) -> None:
        super().load_state_dict(state_dict)
        for group, saved in zip(self.param_groups, state_dict["param_groups"], strict=True):
            group.update({name: value for name, value in saved.items() if name != "params"})


# Types and sizes.


@seen_by("loads_state_into_another_type")
class MomentumKeyedByPosition(PlainMomentum):
    """State is keyed by the position of a parameter, and loading does not cast it."""

    def move(self, param: Tensor, group: Group) -> None:
        place = next(at for at, each in enumerate(self.params()) if each is param)
        state: Any = self.state
        if f"{place}" in state:
            self.state[param] = state[f"{place}"]
        super().move(param, group)
        state[f"{place}"] = self.state.pop(param)


@seen_by("keeps_state_of_constant_size")
class MomentumRecordsItsRates(PlainMomentum):
    """A list in the group grows by one number in every step."""

    def begin(self, group: Group) -> None:
        group.setdefault("rates", []).append(float(group["lr"]))


@seen_by("keeps_state_of_constant_size")
class MomentumKeepsOldBuffers(PlainMomentum):
    """Every eighth step keeps a copy of the buffer under a new name."""

    def move(self, param: Tensor, group: Group) -> None:
        super().move(param, group)
        state = self.state[param]
        if int(state["step"]) % 8 == 0:
            state[f"buffer{int(state['step'])}"] = state["buffer"].clone()
