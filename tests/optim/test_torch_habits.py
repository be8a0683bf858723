"""What other people's suites and training scripts do with an optimizer, done to ours and torch's.

The oracle is torch's class under the same treatment, to the bit, or in float64 where only that can
tell what is right.
"""

import contextlib
import copy
import io
import math
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR
from torch.optim.swa_utils import SWALR, AveragedModel, update_bn

from catsdogs import optim

Factory = Callable[..., Optimizer]


def twins(native: Factory, custom: Factory, **setting: Any) -> tuple[Factory, Factory]:
    return partial(native, foreach=False, **setting), partial(custom, **setting)


TWINS = {
    "sgd": twins(torch.optim.SGD, optim.SGD, lr=0.01),
    "momentum": twins(torch.optim.SGD, optim.SGD, lr=0.01, momentum=0.9, nesterov=True),
    "rmsprop": twins(torch.optim.RMSprop, optim.RMSprop, centered=True, momentum=0.9),
    "adam": twins(torch.optim.Adam, optim.Adam, amsgrad=True),
    "adamw": twins(torch.optim.AdamW, optim.AdamW),
}
each_twin = pytest.mark.parametrize("name", TWINS)


def random(
    shape: tuple[int, ...], seed: int, dtype: torch.dtype = torch.float32, **layout: Any
) -> Tensor:
    """Return normal numbers that are the same, up to rounding, in every type and memory layout."""
    generator = torch.Generator().manual_seed(seed)
    numbers = torch.randn(shape, generator=generator, dtype=torch.float64)
    return numbers.to(dtype).contiguous(**layout)


def assert_twins_agree(name: str, train: Callable[[Factory], list[Tensor]]) -> None:
    """Require the same bits from both twins of a training, which returns tensors."""
    theirs, ours = map(train, TWINS[name])
    for its, mine in zip(theirs, ours, strict=True):
        assert torch.equal(its, mine)


@each_twin
def test_a_tensor_learning_rate_changed_in_place_is_obeyed_and_never_changed_by_a_step(
    name: str,
) -> None:
    def train(factory: Factory) -> list[Tensor]:
        weight, lr = random((3, 4), 0).requires_grad_(), torch.tensor(0.1)
        optimizer = factory([weight], lr=lr)
        scheduler = LambdaLR(optimizer, lambda epoch: 0.5**epoch)
        for epoch in range(4):
            assert optimizer.param_groups[0]["lr"] is lr
            version = lr._version
            for number in range(3):
                weight.grad = random((3, 4), 3 * epoch + number)
                optimizer.step()
            assert lr._version == version
            scheduler.step()
        return [weight, lr]

    assert_twins_agree(name, train)


@each_twin
@pytest.mark.parametrize("tensor", [False, True])
def test_a_warm_up_from_a_learning_rate_of_zero_moves_nothing_first_and_stays_finite(
    name: str, tensor: bool
) -> None:
    def train(factory: Factory) -> list[Tensor]:
        weight = random((3, 4), 0).requires_grad_()
        optimizer = factory([weight], lr=torch.tensor(0.0) if tensor else 0.0)
        for number in range(6):
            if tensor:
                optimizer.param_groups[0]["lr"].fill_(0.01 * number)
            else:
                optimizer.param_groups[0]["lr"] = 0.01 * number
            weight.grad = random((3, 4), 1 + number)
            optimizer.step()
            assert torch.equal(weight, random((3, 4), 0)) == (number == 0)
            assert weight.isfinite().all()
        return [weight]

    assert_twins_agree(name, train)


WRONG: dict[str, tuple[Tensor, str]] = {
    "several elements": (torch.tensor([0.1, 0.2]), "a tensor of 2 elements (must have one)"),
    "no element": (torch.tensor([]), "a tensor of 0 elements (must have one)"),
    "grad": (
        torch.tensor(0.5, requires_grad=True),
        "a tensor that requires grad (an update has no graph; detach it)",
    ),
    "nan": (torch.tensor(math.nan), "nan (must be a finite number, 0 or above)"),
    "infinite": (torch.tensor(math.inf), "inf (must be a finite number, 0 or above)"),
    "negative": (torch.tensor(-0.5), "-0.5 (must be a finite number, 0 or above)"),
    "complex": (torch.tensor(1j), "tensor(0.+1.j) (must be a number)"),
}


@each_twin
@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_tensor_learning_rate_is_refused_in_one_line_with_its_reason(
    name: str, wrong: str
) -> None:
    lr, reason = WRONG[wrong]
    with pytest.raises(ValueError) as refused:
        TWINS[name][1]([torch.ones(2, requires_grad=True)], lr=lr)
    assert str(refused.value) == f"Invalid lr: {reason}"


@each_twin
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_half_precision_counts_beyond_256_steps_and_resumes_under_either_class(
    name: str, dtype: torch.dtype
) -> None:
    def train(weight: Tensor, optimizer: Optimizer, steps: range) -> None:
        for number in steps:
            weight.grad = gradients[number % len(gradients)].clone()
            optimizer.step()

    def resumed(before: Factory, after: Factory) -> tuple[Tensor, dict[str, Any]]:
        weight = random((3, 4), 0, dtype).requires_grad_()
        optimizer = before([weight], lr=0.01)
        train(weight, optimizer, range(280))
        other = weight.detach().clone().requires_grad_()
        optimizer_after = after([other], lr=0.5)
        optimizer_after.load_state_dict(copy.deepcopy(optimizer.state_dict()))
        train(other, optimizer_after, range(280, 300))
        return other, optimizer_after.state[other]

    gradients = [random((3, 4), 1 + number, dtype) for number in range(7)]
    native, custom = TWINS[name]
    due, state = resumed(native, native)
    for before, after in ((custom, custom), (native, custom), (custom, native)):
        weight, ours = resumed(before, after)
        assert torch.equal(weight, due)
        assert float(ours.get("step", 300)) == 300
        for key, value in state.items():
            if key != "step" and value is not None:
                assert torch.equal(ours[key], value)
                assert ours[key].dtype == value.dtype


LAYOUTS = [torch.contiguous_format, torch.channels_last]


@each_twin
@pytest.mark.parametrize("gradients", LAYOUTS, ids=str)
@pytest.mark.parametrize(("before", "after"), [LAYOUTS, LAYOUTS[::-1]], ids=str)
def test_a_state_continues_in_a_model_of_another_memory_layout(
    name: str,
    before: torch.memory_format,
    after: torch.memory_format,
    gradients: torch.memory_format,
) -> None:
    def train(weight: Tensor, optimizer: Optimizer, steps: range) -> None:
        for number in steps:
            weight.grad = random(shape, number, torch.float64, memory_format=gradients)
            optimizer.step()

    shape = (3, 4, 2, 5)
    native, custom = TWINS[name]
    due = random(shape, 99, torch.float64).requires_grad_()
    train(due, native([due]), range(8))
    for first, second in ((custom, custom), (native, custom), (custom, native)):
        weight = random(shape, 99, torch.float64, memory_format=before).requires_grad_()
        optimizer = first([weight])
        train(weight, optimizer, range(4))
        moved = weight.detach().clone().contiguous(memory_format=after).requires_grad_()
        other = second([moved], lr=0.5)
        other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
        train(moved, other, range(4, 8))
        torch.testing.assert_close(moved, due, rtol=1e-13, atol=1e-13)


@each_twin
def test_generators_empty_frozen_and_late_parameters_and_new_groups_are_taken_as_by_torch(
    name: str,
) -> None:
    def train(factory: Factory) -> list[Tensor]:
        weights = [random((3,), seed).requires_grad_() for seed in range(4)]
        weights.append(torch.empty(0, 3, requires_grad=True))
        optimizer = factory(weight for weight in (*weights[:3], weights[4]))
        optimizer.step()  # no gradient anywhere
        assert not any(optimizer.state.values())
        optimizer.add_param_group({"params": [weights[3]], "lr": 0.5})
        weights[0].requires_grad_(False)
        for number in range(6):
            for index, weight in enumerate(weights[1:]):
                late = number < 2 * index
                weight.grad = None if late else random(tuple(weight.shape), number)
            optimizer.step()
        assert torch.equal(weights[0], random((3,), 0))
        return weights

    assert_twins_agree(name, train)


@each_twin
@pytest.mark.parametrize("scale", [0.0, 1e-20, 1e12])
def test_tiny_huge_and_zero_gradients_leave_the_weights_finite_and_near_those_of_float64(
    name: str, scale: float
) -> None:
    def train(factory: Factory, dtype: torch.dtype) -> Tensor:
        weight = random((4, 3), 0, dtype).requires_grad_()
        optimizer = factory([weight])
        for number in range(5):
            gradient = random((4, 3), 1 + number) * scale
            gradient[1] = 0
            weight.grad = gradient.to(dtype)
            optimizer.step()
        return weight.detach()

    native, custom = TWINS[name]
    weight = train(custom, torch.float32)
    assert weight.isfinite().all()
    torch.testing.assert_close(weight.double(), train(native, torch.float64), rtol=1e-5, atol=1e-5)
    assert torch.equal(weight, train(native, torch.float32))


@each_twin
def test_a_nan_in_one_parameter_stays_in_that_parameter(name: str) -> None:
    weights = [random((3,), seed).requires_grad_() for seed in range(3)]
    optimizer = TWINS[name][1](weights)
    for number, bad in enumerate((False, True, False)):
        for index, weight in enumerate(weights):
            weight.grad = torch.full((3,), math.nan) if bad and index == 1 else random((3,), number)
        optimizer.step()
    assert [bool(weight.isnan().any()) for weight in weights] == [False, True, False]


@each_twin
def test_the_global_generator_and_the_output_streams_are_left_alone(name: str) -> None:
    said, generator = io.StringIO(), torch.get_rng_state()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        weight = random((3,), 0).requires_grad_()
        optimizer = TWINS[name][1]([weight])
        weight.grad = torch.ones(3)
        optimizer.step()
        optimizer.load_state_dict(copy.deepcopy(optimizer).state_dict())
        repr(optimizer)
    assert torch.equal(torch.get_rng_state(), generator)
    assert not said.getvalue()


@each_twin
def test_stochastic_weight_averaging_gives_the_weights_that_it_gives_with_torch(name: str) -> None:
    def train(factory: Factory) -> list[Tensor]:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))
        optimizer, averaged = factory(model.parameters()), AveragedModel(model)
        scheduler, inputs = SWALR(optimizer, swa_lr=0.05, anneal_epochs=3), random((16, 3), 1)
        for _ in range(8):
            optimizer.zero_grad()
            torch.autograd.backward(model(inputs).square().mean())
            optimizer.step()
            averaged.update_parameters(model)
            scheduler.step()
        update_bn([inputs], averaged)
        return list(averaged.state_dict().values())

    assert_twins_agree(name, train)


@each_twin
def test_groups_defaults_and_copies_have_the_keys_of_torchs(name: str) -> None:
    weight = torch.ones(2, requires_grad=True)
    native, custom = (factory([weight]) for factory in TWINS[name])
    for theirs, ours in ((native, custom), (copy.deepcopy(native), copy.deepcopy(custom))):
        assert ours.defaults.keys() == theirs.defaults.keys()
        assert ours.param_groups[0].keys() == theirs.param_groups[0].keys()
