"""Facts about the optimizer under test, learned before it is judged."""

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch.optim import Optimizer

Factory = Callable[..., Optimizer]
"""`factory(params, **overrides)`, such as `functools.partial(torch.optim.Adam, lr=1e-3)`."""
Shape = tuple[int, ...]
CPU = torch.device("cpu")
BuildFrom = Literal["parameters", "named", "model"]


class CannotBeChecked(ValueError):
    """The contract cannot drive what the factory builds; the message is the reason."""


@dataclass(frozen=True)
class Refusal:
    """A step or a constructor that raised.

    Attributes:
        deliberate: Whether the optimizer itself raised, before any weight moved.
        said: Type and first line of the exception.
    """

    deliberate: bool
    said: str


@dataclass(frozen=True)
class Subject:
    """An optimizer, as far as it is known.

    Attributes:
        factory: Builds the optimizer, `factory(params, **overrides)`.
        settings: Hyperparameters that its constructor takes, with the values that it is built with.
        defaults: `optimizer.defaults`.
        device: Of all tensors.
        build_from: What the factory takes: parameters, pairs of name and parameter, or a module.
        prepare: Called with every optimizer that is built; None for nothing.
        shapes: Of the parameters that it steps on.
        refused_shapes: The others that were tried, with what was said.
        dtype: In which claims compare weights: float64, or float32 if it computes in float32.
        dtypes: In which it steps.
        refused_dtypes: The others that were tried, with what was said.
        closure: Whether a step needs a closure.
        create_graph: Whether gradients must be part of a graph.
        train_mode: Whether `optimizer.train()` is called before the first step.
        needs_no_grad: What its step raises unless gradients are disabled around it; empty if
            nothing.
        waiting: Number of first steps that move no weight.
        random: Whether its steps draw random numbers from torch's generator.
        coupled: How the parameters depend on one another; empty if they do not.
        elementwise: Whether the gradient of an entry moves no other entry of its tensor.
        group_counts: Names of the numbers in its groups that change from step to step.
        tolerance: Largest difference between equal runs, relative where a weight exceeds 1.
        step_inputs: The extra inputs that its step declares, see `catsdogs.optim.step_inputs`.
    """

    factory: Factory
    settings: Mapping[str, Any] = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=dict)
    device: torch.device = CPU
    build_from: BuildFrom = "parameters"
    prepare: Callable[[Optimizer], Any] | None = None
    shapes: tuple[Shape, ...] = ()
    refused_shapes: Mapping[Shape, Refusal] = field(default_factory=dict)
    dtype: torch.dtype = torch.float64
    dtypes: tuple[torch.dtype, ...] = (torch.float64,)
    refused_dtypes: Mapping[torch.dtype, Refusal] = field(default_factory=dict)
    closure: bool = False
    create_graph: bool = False
    train_mode: bool = False
    needs_no_grad: str = ""
    waiting: int = 0
    random: bool = False
    coupled: str = ""
    elementwise: bool = True
    group_counts: tuple[str, ...] = ()
    tolerance: float = 1e-12
    step_inputs: Literal["block", "samples"] | None = None

    @property
    def needs(self) -> str:
        """What its steps need beyond gradients, in words; empty for nothing."""
        needs = {
            "a closure": self.closure,
            "gradients with a graph": self.create_graph,
            "train()": self.train_mode,
            "torch.no_grad() around them": bool(self.needs_no_grad),
        }
        return ", ".join(name for name, needed in needs.items() if needed)


def constructor_settings(factory: Factory) -> dict[str, Any]:
    """Return the hyperparameters that a factory takes by name, with their values.

    Those are the keywords of its signature, after the parameters, with their defaults or with the
    values of a `functools.partial`. A hyperparameter without a value is left out.
    """
    given: dict[str, Any] = {}
    while isinstance(factory, functools.partial):
        given = factory.keywords | given
        factory = factory.func
    try:
        parameters = list(inspect.signature(factory).parameters.values())
    except (TypeError, ValueError):
        return given
    named = {
        parameter.name: given.get(parameter.name, parameter.default)
        for parameter in parameters[1:]
        if parameter.kind in (parameter.KEYWORD_ONLY, parameter.POSITIONAL_OR_KEYWORD)
    }
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        named = given | named
    return {name: value for name, value in named.items() if value is not inspect.Parameter.empty}


def class_of(factory: Callable[..., Any]) -> Any:
    """Return what a `functools.partial`, or a chain of them, calls in the end."""
    return class_of(factory.func) if isinstance(factory, functools.partial) else factory


def name_of(factory: Callable[..., Any]) -> str:
    """Return the name of the class that a factory builds, as far as it is known."""
    return str(getattr(class_of(factory), "__name__", type(factory).__name__))


def takes_any_keyword(factory: Factory) -> bool:
    """Return whether the signature of a factory ends in `**kwargs`."""
    try:
        parameters = inspect.signature(class_of(factory)).parameters.values()
    except (TypeError, ValueError):
        return False
    return any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters)
