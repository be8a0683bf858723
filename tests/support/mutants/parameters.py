"""Mutants of the set of parameters: generators, groups, and parameters without gradients."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from tests.support.mutants.registry import seen_by

Group = dict[str, Any]


class PlainSGD(Optimizer):
    """Gradient descent in the usual two loops, which passes every claim."""

    def __init__(self, params: Any, lr: float = 0.01) -> None:
        if lr < 0:
            raise ValueError(f"Invalid lr: {lr}")
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        self.begin()
        for group in self.groups():
            for param in self.params(group):
                assert param.grad is not None
                param.add_(param.grad, alpha=-self.rate(group))
        return loss

    def begin(self) -> None:
        """Prepare a step."""

    def groups(self) -> Iterator[Group]:
        """Yield the groups to step on."""
        yield from self.param_groups

    def params(self, group: Group) -> Iterator[Tensor]:
        """Yield the parameters of a group to step on."""
        for param in group["params"]:
            if param.grad is not None:
                yield param

    def rate(self, group: Group) -> float:
        """Return the rate of a group."""
        return float(group["lr"])


def norm(tensors: list[Tensor]) -> Tensor:
    """Return the norm of all entries, as training scripts write it; an empty list raises."""
    lengths: list[Tensor] = [tensor.square().sum() for tensor in tensors]
    return torch.stack(lengths).sum().sqrt()


def grads_of(groups: list[Group]) -> list[Tensor]:
    """Return the gradients that there are."""
    params = [param for group in groups for param in group["params"]]
    return [param.grad for param in params if param.grad is not None]


@seen_by("takes_parameters_as_a_generator")
class SGDCountsItsParametersFirst(PlainSGD):
    """The constructor uses up a generator before the base class gets it."""

    def __init__(self, params: Any, lr: float = 0.01) -> None:
        self.count = sum(1 for _ in params)
        super().__init__(params, lr)


@seen_by("takes_parameters_as_a_generator")
class SGDAsksOneParameterForItsDevice(PlainSGD):
    """The constructor takes the first parameter out of a generator, and it is never trained."""

    def __init__(self, params: Any, lr: float = 0.01) -> None:
        first = next(iter(params))
        self.device = first.device if isinstance(first, Tensor) else None
        super().__init__(params, lr)


@seen_by("takes_parameters_as_a_generator")
class SGDCountsTheParametersOfGroups(PlainSGD):
    """The constructor uses up a generator in a group, which is then an empty group."""

    def __init__(self, params: Any, lr: float = 0.01) -> None:
        params = list(params)
        groups = [each for each in params if isinstance(each, dict)]
        self.count = sum(1 for group in groups for _ in group["params"])
        super().__init__(params, lr)


@seen_by("steps_every_group")
class SGDStepsTheFirstGroup(PlainSGD):
    """Only the first group is stepped on (found in a published sharpness-aware minimizer)."""

    def groups(self) -> Iterator[Group]:
        yield self.param_groups[0]


@seen_by("steps_every_group")
class SGDStepsTheLastGroup(PlainSGD):
    """Adding a group replaces the list of the parameters."""

    def add_param_group(self, param_group: Group) -> None:
        super().add_param_group(param_group)
        self.flat = self.param_groups[-1]

    def groups(self) -> Iterator[Group]:
        yield self.flat


@seen_by("steps_every_group")
class SGDHalvesItsRateFromGroupToGroup(PlainSGD):
    """A variable of the loop over groups is never set back."""

    def groups(self) -> Iterator[Group]:
        self.factor = 1.0
        for group in self.param_groups:
            yield group
            self.factor /= 2

    def rate(self, group: Group) -> float:
        return self.factor * float(group["lr"])


@seen_by("takes_an_empty_group")
class SGDAsksEveryGroupForItsDevice(PlainSGD):
    """Every step asks the first parameter of each group for its device."""

    def groups(self) -> Iterator[Group]:
        for group in self.param_groups:
            group["params"][0].device  # noqa: B018 - the access is the defect
            yield group


@seen_by("takes_an_empty_group")
class SGDStopsAtAnEmptyGroup(PlainSGD):
    """A group without parameters ends the step."""

    def groups(self) -> Iterator[Group]:
        for group in self.param_groups:
            if not group["params"]:
                return
            yield group


@seen_by("takes_an_empty_group")
class SGDNormalizesTheWeightsOfAGroup(PlainSGD):
    """The norm of the weights of a group is computed from a list that may be empty."""

    def groups(self) -> Iterator[Group]:
        for group in self.param_groups:
            norm(group["params"])
            yield group


@seen_by("steps_beside_a_frozen_group")
class SGDStopsAtAFrozenGroup(PlainSGD):
    """A group without gradients ends the step."""

    def groups(self) -> Iterator[Group]:
        for group in self.param_groups:
            if not grads_of([group]):
                return
            yield group


@seen_by("steps_beside_a_frozen_group")
class SGDNormalizesTheGradientsOfAGroup(PlainSGD):
    """The norm of the gradients of a group is computed, in a step with any, from a list."""

    def groups(self) -> Iterator[Group]:
        if not grads_of(self.param_groups):
            return
        for group in self.param_groups:
            norm(grads_of([group]))
            yield group


@seen_by("steps_beside_a_frozen_group")
class SGDThawsItsParameters(PlainSGD):
    """The constructor makes every parameter require gradients."""

    def add_param_group(self, param_group: Group) -> None:
        super().add_param_group(param_group)
        for param in param_group["params"]:
            param.requires_grad_()


@seen_by("ignores_a_first_step_without_gradients")
class SGDMeasuresItsFirstGradients(PlainSGD):
    """The norm of the first gradients is computed from a list that may be empty."""

    first: Tensor | None = None

    def begin(self) -> None:
        if self.first is None:
            self.first = norm(grads_of(self.param_groups))


@seen_by("ignores_a_first_step_without_gradients")
class SGDDividesByItsFirstGradients(PlainSGD):
    """The rate is divided by the norm of the first gradients (found in D-Adaptation)."""

    first: float | None = None

    def rate(self, group: Group) -> float:
        assert self.first is not None
        return float(group["lr"]) / self.first

    def begin(self) -> None:
        if self.first is None:
            grads = grads_of(self.param_groups)
            self.first = float(norm(grads)) if grads else 0.0


@seen_by("ignores_a_first_step_without_gradients")
class SGDGivesUpOnIdleGroups(PlainSGD):
    """A group without gradients in the first step is never stepped on."""

    def groups(self) -> Iterator[Group]:
        for group in self.param_groups:
            if group.setdefault("trainable", bool(grads_of([group]))):
                yield group


@seen_by("skips_parameters_without_gradient")
class SGDReturnsAtAMissingGradient(PlainSGD):
    """The first parameter without a gradient ends the step."""

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        for group in self.param_groups:
            for param in group["params"]:
                if param.grad is None:
                    return
                param.add_(param.grad, alpha=-group["lr"])


@seen_by("skips_parameters_without_gradient")
class SGDBreaksAtAMissingGradient(PlainSGD):
    """The first parameter without a gradient ends the work on its group."""

    def params(self, group: Group) -> Iterator[Tensor]:
        for param in group["params"]:
            if param.grad is None:
                break
            yield param


@seen_by("skips_parameters_without_gradient")
class SGDSkipsAGroupWithAMissingGradient(PlainSGD):
    """A group whose first parameter has no gradient is skipped."""

    def groups(self) -> Iterator[Group]:
        for group in self.param_groups:
            if group["params"] and group["params"][0].grad is None:
                continue
            yield group
