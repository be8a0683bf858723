"""Time and memory of a step: on the shapes that an optimizer takes, and what cannot be measured."""

import dataclasses
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch

from catsdogs.contract.suite import known_subject
from catsdogs.training import step_cost
from catsdogs.training.step_cost import StepCost, measure_step


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(step_cost, "SECONDS", 0.01)


def measured(factory: Callable[..., torch.optim.Optimizer], **others: Any) -> StepCost:
    return measure_step(known_subject(factory), "own", others)


def state_bytes(cost: StepCost) -> int:
    assert cost.memory is not None
    return sum(part.nbytes for part in cost.memory.parts if part.name == "state")


class Matrices(torch.optim.Adam):
    """Takes 2-d parameters alone."""

    def step(self, closure: Any = None) -> Any:
        if any(param.dim() != 2 for group in self.param_groups for param in group["params"]):
            raise ValueError("matrices only")
        return super().step(closure)


class Small(torch.optim.SGD):
    """Takes no more than 100 numbers."""

    def step(self, closure: Any = None) -> Any:
        if any(param.numel() > 100 for group in self.param_groups for param in group["params"]):
            raise ValueError("too large")
        return super().step(closure)


class Tiny(Small):
    """Takes few numbers and no vector of one."""

    def step(self, closure: Any = None) -> Any:
        if any(param.numel() == 1 for group in self.param_groups for param in group["params"]):
            raise ValueError("too small")
        return super().step(closure)


class Curved(torch.optim.SGD):
    """Differentiates the gradient once more and keeps the result, as Hessian methods do."""

    def step(self, closure: Any = None) -> Any:
        for group in self.param_groups:
            for param in group["params"]:
                if param.grad is not None:
                    (slope,) = torch.autograd.grad(param.grad.sum(), param, retain_graph=True)
                    self.state[param]["slope"] = slope.detach()
        warnings.warn("as torch warns of graphs", stacklevel=1)
        return super().step(closure)


def test_an_optimizer_of_matrices_is_measured_on_those_of_the_linear_head() -> None:
    cost = measured(Matrices)
    assert cost.parameters == "the 32,768 parameters of model.head=linear, 1 of 2 tensors"
    assert cost.timings["own"].median() > 0
    assert state_bytes(cost) == 2 * 32_768 * 4 + 4  # averages and the step count
    assert cost.notes == (
        "Tensors that it does not step on are left out: ValueError: matrices only",
    )


def test_tensors_that_are_refused_are_left_out_of_the_head() -> None:
    cost = measured(Small)
    assert cost.parameters == "the 3 parameters of model.head=conv, 3 of 6 tensors"
    assert cost.notes[0].endswith("ValueError: too large")


def test_an_optimizer_that_takes_no_tensor_of_a_head_is_said_to_be_neither_timed_nor_measured() -> (
    None
):
    assert measured(Tiny) == StepCost(notes=("Neither timed nor measured: ValueError: too large",))


def test_a_step_that_needs_a_graph_is_timed_and_measured_without_warnings() -> None:
    cost = measured(Curved)
    assert cost.notes == ()
    assert cost.timings["own"].median() > 0
    assert state_bytes(cost) == 2_103_811 * 4
    titles = list(cost.tables())
    assert titles[0] == "Time of a step, one thread: the 2,103,811 parameters of model.head=conv"
    assert titles[1].startswith("Memory and disk of training them on 2,000 of 2,400 images")


def test_a_reference_that_cannot_be_timed_does_not_keep_the_optimizer_from_it() -> None:
    def reference(params: Any) -> torch.optim.Optimizer:
        raise RuntimeError("not here")

    cost = measured(torch.optim.Adam, reference=reference)
    assert list(cost.timings) == ["own"]
    assert cost.notes == ("Not timed: own, reference: RuntimeError: not here",)
    assert state_bytes(cost) > 2 * 2_103_811 * 4


def test_what_cannot_be_measured_is_a_note_beside_what_can(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fails(*_: Any, **__: Any) -> None:
        raise MemoryError("none left")

    monkeypatch.setattr(step_cost, "estimate_memory", fails)
    cost = measured(torch.optim.SGD)
    assert list(cost.timings) == ["own"]
    assert cost.memory is None
    assert cost.notes == ("Memory not measured: MemoryError: none left",)
    monkeypatch.setattr(step_cost, "time_steps", fails)
    cost = measured(torch.optim.SGD)
    assert cost.tables() == {}
    assert len(cost.notes) == 2


def test_without_times_the_table_of_memory_names_the_parameters() -> None:
    cost = dataclasses.replace(measured(torch.optim.SGD), timings={})
    (title,) = cost.tables()
    assert title.startswith("Memory and disk of training the 2,103,811 parameters of model.head=")
