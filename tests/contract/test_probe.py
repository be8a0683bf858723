"""Trial steps learn what an optimizer needs, from small optimizers with one trait each."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from catsdogs import optim
from catsdogs.contract import CannotBeChecked, check
from catsdogs.contract.probe import learn
from tests.support.descent import Descent, Group


class Trait(Descent):
    """Gradient descent; subclasses change the direction."""

    def __init__(self, params: Any, lr: float = 0.01) -> None:
        super().__init__(params, lr)

    def direction(self, param: Tensor) -> Tensor:
        """Return the direction of a parameter."""
        assert param.grad is not None
        return param.grad

    def move(self, param: Tensor, grad: Tensor, group: Group) -> None:
        super().move(param, self.direction(param), group)


class NeedsAClosure(Trait):
    """A step without a closure raises."""

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        assert closure is not None, "give a closure"
        return super().step(closure)


class NeedsAGraph(Trait):
    """The move is the gradient divided by the Hessian's diagonal."""

    def direction(self, param: Tensor) -> Tensor:
        assert param.grad is not None
        with torch.enable_grad():
            (curvature,) = torch.autograd.grad(param.grad.sum(), param, retain_graph=True)
        direction: Tensor = param.grad.detach() / curvature
        return direction


class WaitsThreeSteps(Trait):
    """The first three gradients are thrown away."""

    def direction(self, param: Tensor) -> Tensor:
        self.state[param]["seen"] = self.state[param].get("seen", 0) + 1
        return super().direction(param) * float(self.state[param]["seen"] > 3)


class AddsNoise(Trait):
    """Every move has some noise."""

    def direction(self, param: Tensor) -> Tensor:
        return super().direction(param) + 0.1 * torch.randn_like(param)


class DividesByTheGlobalNorm(Trait):
    """All gradients are divided by their common norm."""

    def direction(self, param: Tensor) -> Tensor:
        grads = [
            p.grad.norm() for g in self.param_groups for p in g["params"] if p.grad is not None
        ]
        norm: Tensor = torch.stack(grads).norm() + 1e-12
        return super().direction(param) / norm


class ComputesInFloat32(Trait):
    """The move is rounded to float32."""

    def direction(self, param: Tensor) -> Tensor:
        return super().direction(param).float().mul(0.3).to(param.dtype)


class NormalisesRows(Trait):
    """The gradient of a matrix is divided by the norms of its rows."""

    def direction(self, param: Tensor) -> Tensor:
        grad = super().direction(param)
        norms: Tensor = grad.norm(dim=-1, keepdim=True) if grad.dim() > 1 else torch.ones(())
        return grad / norms


class RefusesVectors(Trait):
    """Only matrices are accepted."""

    def direction(self, param: Tensor) -> Tensor:
        if param.dim() != 2:
            raise ValueError(f"matrices only, not {tuple(param.shape)}")
        return super().direction(param)


def test_a_plain_optimizer_needs_nothing_and_steps_on_every_shape_and_type() -> None:
    subject = learn(Trait)
    assert subject.needs == ""
    assert subject.shapes == ((4, 3), (2, 5), (5,), (1,), ())
    assert set(subject.dtypes) == {torch.float64, torch.float32, torch.bfloat16, torch.float16}
    assert (subject.waiting, subject.random, subject.coupled) == (0, False, "")
    assert subject.elementwise
    assert subject.tolerance == 1e-12
    assert subject.settings == {"lr": 0.01}


@pytest.mark.parametrize(
    ("optimizer", "trait", "value"),
    [
        (NeedsAClosure, "closure", True),
        (torch.optim.LBFGS, "closure", True),
        (NeedsAGraph, "create_graph", True),
        (WaitsThreeSteps, "waiting", 3),
        (AddsNoise, "random", True),
        (ComputesInFloat32, "dtype", torch.float32),
        (ComputesInFloat32, "tolerance", 1e-5),
        (NormalisesRows, "elementwise", False),
        (RefusesVectors, "shapes", ((4, 3), (2, 5))),
        (torch.optim.Muon, "shapes", ((4, 3), (2, 5))),
        (partial(optim.SAGA, block_sizes=(8, 8)), "step_inputs", "block"),
    ],
)
def test_a_trait_is_learned(optimizer: Any, trait: str, value: Any) -> None:
    assert getattr(learn(optimizer), trait) == value


def test_parameters_that_feel_each_other_are_coupled() -> None:
    assert learn(DividesByTheGlobalNorm).coupled
    assert not learn(torch.optim.Adam).coupled


@pytest.mark.parametrize(
    "optimizer",
    [NeedsAClosure, NeedsAGraph, WaitsThreeSteps, AddsNoise, DividesByTheGlobalNorm],
)
def test_a_right_optimizer_with_a_trait_has_no_grave_failure(optimizer: Any) -> None:
    failures = [f for f in check(optimizer) if f.verdict == "fail"]
    assert [str(f) for f in failures if f.group in ("update", "state")] == []


def test_what_is_refused_is_kept_with_what_was_said() -> None:
    refusal = learn(RefusesVectors).refused_shapes[(5,)]
    assert refusal.deliberate
    assert refusal.said == "ValueError: matrices only, not (5,)"


def test_a_keyword_of_a_partial_is_the_value_that_it_is_built_with() -> None:
    settings = learn(partial(torch.optim.Adam, lr=0.5, betas=(0.8, 0.9))).settings
    assert (settings["lr"], settings["betas"], settings["eps"]) == (0.5, (0.8, 0.9), 1e-8)


class RenamesEps(torch.optim.Adam):
    """A thin subclass whose argument has another name than the entry of the group."""

    def __init__(self, params: Any, lr: float = 1e-3, epsilon: float = 1e-8) -> None:
        super().__init__(params, lr=lr, eps=epsilon)


def test_hyperparameters_are_those_of_the_constructor_and_not_of_the_groups() -> None:
    assert learn(RenamesEps).settings == {"lr": 1e-3, "epsilon": 1e-8}
    assert [str(f) for f in check(RenamesEps) if f.verdict == "fail"] == []


class NeverMoves(Trait):
    """A step does nothing."""

    def step(self, closure: Any = None) -> Any:
        """Do nothing."""


class RaisesInItsConstructor(Trait):
    """The constructor raises neither ValueError nor TypeError."""

    def __init__(self, params: Any) -> None:
        raise KeyError("total_steps")


@pytest.mark.parametrize(
    ("factory", "said"),
    [
        (NeverMoves, "no weight moved in 24 steps"),
        (RaisesInItsConstructor, "its constructor raised KeyError: 'total_steps'"),
        (torch.nn.Identity, "it is a Identity, not a torch.optim.Optimizer"),
        (torch.optim.SparseAdam, "SparseAdam does not support dense gradients"),
        (partial(torch.optim.SGD, lr=-1), "Invalid learning rate: -1"),
    ],
)
def test_what_cannot_be_driven_is_refused_with_the_reason(factory: Any, said: str) -> None:
    with pytest.raises(CannotBeChecked, match=said):
        learn(factory)
