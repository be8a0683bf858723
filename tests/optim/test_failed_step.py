"""A step that fails leaves weights and state as they were, eager and compiled."""

import copy
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from catsdogs import optim
from catsdogs.optim.base import RuleOptimizer
from catsdogs.optim.compiled import Graphs
from catsdogs.optim.step_inputs import step_inputs

Factory = Callable[..., RuleOptimizer]
OPTIMIZERS: dict[str, Factory] = {
    "sgd": optim.SGD,
    "sgd_momentum": partial(optim.SGD, momentum=0.9),
    "rmsprop": partial(optim.RMSprop, centered=True, momentum=0.9),
    "adam": optim.Adam,
    "adam_amsgrad": partial(optim.Adam, amsgrad=True),
    "adamw": optim.AdamW,
    "saga": partial(optim.SAGA, block_sizes=(8, 8, 3)),
    "linear_saga": partial(optim.LinearSAGA, num_samples=6),
}
COMPILED = [name for name in OPTIMIZERS if name != "linear_saga"]  # it refuses to compile


def model() -> list[Tensor]:
    """Return weight and bias of a linear model with one logit, which every optimizer takes."""
    return [torch.ones(1, 3, requires_grad=True), torch.ones(1, requires_grad=True)]


def build(name: str, params: list[Tensor]) -> RuleOptimizer:
    return OPTIMIZERS[name](params, lr=0.1, weight_decay=0.1)


def step(optimizer: RuleOptimizer, params: list[Tensor], number: int) -> None:
    """Take a numbered step on two of six samples, whose gradients only the number decides."""
    generator = torch.Generator().manual_seed(number)
    features, slopes = torch.randn(2, 3, generator=generator), torch.randn(2, generator=generator)
    params[0].grad, params[1].grad = (slopes @ features).view(1, 3), slopes.sum().view(1)
    first = number % 3
    samples = torch.tensor([first, first + 3])
    told = step_inputs(
        optimizer, block=first, samples=samples, features=features, logit_grad=slopes
    )
    optimizer.step(**told)


def snapshot(optimizer: RuleOptimizer, params: list[Tensor]) -> Any:
    return copy.deepcopy(([param.detach() for param in params], optimizer.state_dict()))


def equal(one: Any, other: Any) -> bool:
    """Compare nested containers; tensors by their bits, with nan equal to nan."""
    if isinstance(one, Tensor):
        return type(other) is Tensor and torch.equal(one.nan_to_num(9e9), other.nan_to_num(9e9))
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(equal(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(equal, one, other))
    return type(one) is type(other) and bool(one == other)


def fail(*_: Any, **__: Any) -> Any:
    raise ArithmeticError("the update failed")


class FailsAt:
    """An update rule that works until the given call, counted from 1."""

    def __init__(self, rule: Callable[..., None], call: int) -> None:
        self.rule, self.left = rule, call

    def __call__(self, *tensors: Tensor, **arguments: Any) -> None:
        self.left -= 1
        if self.left == 0:
            fail()
        self.rule(*tensors, **arguments)


@pytest.mark.parametrize("done", [0, 2])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_eager_update_that_raises_changes_nothing_and_the_step_can_be_taken_again(
    name: str, done: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    params, others = model(), model()
    optimizer, other = build(name, params), build(name, others)
    for number in range(done):
        step(optimizer, params, number)
        step(other, others, number)
    before = snapshot(optimizer, params)
    with monkeypatch.context() as patch:
        patch.setattr(type(optimizer), "update_rule", staticmethod(fail))
        with pytest.raises(ArithmeticError):
            step(optimizer, params, done)
    assert equal(snapshot(optimizer, params), before)
    step(optimizer, params, done)
    step(other, others, done)
    assert equal(snapshot(optimizer, params), snapshot(other, others))


@pytest.mark.parametrize("done", [0, 2])
@pytest.mark.parametrize("name", COMPILED)
def test_a_compiled_step_that_raises_changes_nothing_and_can_be_taken_again_without_compiling(
    name: str, done: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    params, others = model(), model()
    optimizer, other = build(name, params), build(name, others)
    for number in range(done):
        step(optimizer, params, number)
        step(other, others, number)
    before = snapshot(optimizer, params)
    monkeypatch.setattr("catsdogs.optim.compiled.compile_rule", lambda *_: fail)
    monkeypatch.setattr("catsdogs.optim.base.require_compiler", lambda: None)
    optimizer.compile()
    with pytest.raises(ArithmeticError):
        step(optimizer, params, done)
    assert equal(snapshot(optimizer, params), before)
    monkeypatch.setattr(optimizer, "_graphs", None)
    step(optimizer, params, done)
    step(other, others, done)
    assert equal(snapshot(optimizer, params), snapshot(other, others))


@pytest.mark.parametrize("done", [0, 2])
@pytest.mark.parametrize("name", COMPILED)
def test_an_update_that_raises_at_the_second_parameter_leaves_state_with_the_weights(
    name: str, done: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    params, others = model(), model()
    optimizer, other = build(name, params), build(name, others)
    for number in range(done + 1):
        step(other, others, number)
        if number < done:
            step(optimizer, params, number)
    before, due = snapshot(optimizer, params), snapshot(other, others)
    rule = FailsAt(type(optimizer).update_rule, call=2)
    with monkeypatch.context() as patch:
        patch.setattr(type(optimizer), "update_rule", staticmethod(rule))
        with pytest.raises(ArithmeticError):
            step(optimizer, params, done)
    weights, state = snapshot(optimizer, params)
    assert equal(weights, [due[0][0], before[0][1]])
    assert equal(state["state"].get(0), due[1]["state"].get(0))
    assert equal(state["state"].get(1), before[1]["state"].get(1))


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("done", [0, 2])
@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("kind", ["sparse", "complex"])
def test_a_parameter_that_is_not_supported_is_refused_before_the_one_ahead_of_it_is_touched(
    name: str, done: int, compiled: bool, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    params = model()
    optimizer = build(name, params)
    for number in range(done):
        step(optimizer, params, number)
    late = torch.ones(2, dtype=torch.complex64 if kind == "complex" else None, requires_grad=True)
    late.grad = torch.ones_like(late).to_sparse() if kind == "sparse" else torch.ones_like(late)
    optimizer.add_param_group({"params": [late]})
    if compiled:
        monkeypatch.setattr(optimizer, "_graphs", Graphs(name))
    before = snapshot(optimizer, params)
    with pytest.raises(RuntimeError, match=f"does not support {kind}"):
        step(optimizer, params, done)
    assert equal(snapshot(optimizer, params), before)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_preparing_an_update_changes_nothing(name: str) -> None:
    params = model()
    optimizer = build(name, params)
    for number in range(3):
        before = snapshot(optimizer, params)
        inputs: dict[str, Any] = {"block": 0} if name == "saga" else {}
        if name == "linear_saga":
            inputs = {"features": torch.ones(2, 3), "change": torch.ones(2)}
            inputs |= {"num_unseen": 1, "num_seen": 2}
        for param in params:
            optimizer.prepare_update(param, optimizer.param_groups[0], **inputs)
        assert equal(snapshot(optimizer, params), before)
        step(optimizer, params, number)


def test_an_input_that_an_optimizer_does_not_take_is_refused_and_nothing_has_changed() -> None:
    params = model()
    optimizer = build("adam", params)
    params[0].grad = torch.ones(1, 3)
    before = snapshot(optimizer, params)
    with pytest.raises(TypeError, match="block"):
        optimizer.step(block=0)
    assert equal(snapshot(optimizer, params), before)


def test_linear_saga_refuses_a_group_that_maximizes() -> None:
    params = model()
    with pytest.raises(ValueError, match=r"^maximize=True: LinearSAGA rebuilds .* negate the cost"):
        optim.LinearSAGA([{"params": params, "maximize": True}], num_samples=6)
