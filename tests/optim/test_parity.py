"""Custom optimizers against their `torch.optim` twins: to the bit in float32, 1e-12 in float64.

Both twins start from the same weights and get clones of the same random gradients, so a difference
can only come from the update rule.
"""

import copy
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.optim import Optimizer

from catsdogs import optim

HEAD_SHAPES = [(256, 512, 4, 4), (256,), (1, 256, 5, 5), (1,), (1, 1, 1, 1), (1,)]
SMALL_SHAPES = [(3, 4), (5,), (1,), (), (0, 2)]
# Native class, custom class and, for each hyperparameter, the values whose product is tried.
PAIRS: dict[str, tuple[Callable[..., Optimizer], Callable[..., Optimizer], dict[str, Any]]] = {
    "sgd": (
        torch.optim.SGD,
        optim.SGD,
        {"lr": (1e-3, 0.1), "weight_decay": (0, 0.1), "maximize": (False, True)},
    ),
    "momentum": (
        torch.optim.SGD,
        optim.Momentum,
        {
            "lr": (1e-3, 0.1),
            "momentum": (0.9, 0.0),
            "dampening": (0.0, 0.3),
            "weight_decay": (0, 0.1),
            "nesterov": (False, True),
            "maximize": (False, True),
        },
    ),
    "rmsprop": (
        torch.optim.RMSprop,
        optim.RMSprop,
        {
            "lr": (1e-3, 0.1),
            "alpha": (0.99, 0.5),
            "eps": (1e-8, 0.1),
            "weight_decay": (0, 0.1),
            "momentum": (0.0, 0.9),
            "centered": (False, True),
            "maximize": (False, True),
        },
    ),
    "adam": (
        torch.optim.Adam,
        optim.Adam,
        {
            "lr": (1e-3, 0.1),
            "betas": ((0.9, 0.999), (0.0, 0.5)),
            "eps": (1e-8, 0.1),
            "weight_decay": (0, 0.1),
            "maximize": (False, True),
        },
    ),
}


def every_setting(name: str) -> Iterator[dict[str, Any]]:
    """Yield the product of the hyperparameters' values, without what torch refuses."""
    values = PAIRS[name][2]
    for chosen in itertools.product(*values.values()):
        setting = dict(zip(values, chosen, strict=True))
        if not setting.get("nesterov") or (setting["momentum"] and not setting["dampening"]):
            yield setting


class Twins:
    """A native and a custom optimizer over equal weights, stepped with equal gradients."""

    def __init__(
        self, name: str, shapes: list[tuple[int, ...]], dtype: torch.dtype, setting: dict[str, Any]
    ) -> None:
        native, custom, _ = PAIRS[name]
        self.generator = torch.Generator().manual_seed(0)
        start = [torch.randn(s, generator=self.generator, dtype=dtype) for s in shapes]
        self.ours = [weight.clone().requires_grad_() for weight in start]
        self.theirs = [weight.clone().requires_grad_() for weight in start]
        self.custom = custom(self.ours, **setting)
        self.native = native(self.theirs, **setting, foreach=False)
        # Seven gradients in turn: drawing new ones takes longer than the steps.
        self.gradients = itertools.cycle(
            [
                [torch.randn(s, generator=self.generator, dtype=dtype) for s in shapes]
                for _ in range(7)
            ]
        )

    def step(self, steps: int = 1) -> None:
        for gradients in itertools.islice(self.gradients, steps):
            for mine, its, gradient in zip(self.ours, self.theirs, gradients, strict=True):
                mine.grad, its.grad = gradient.clone(), gradient.clone()
            self.custom.step()
            self.native.step()

    def pairs(self) -> Iterator[tuple[str, Tensor, Tensor]]:
        """Yield (name, ours, native) for every weight and every tensor of the native state."""
        for index, (mine, its) in enumerate(zip(self.ours, self.theirs, strict=True)):
            yield f"weight {index}", mine.detach(), its.detach()
            for key, value in self.native.state[its].items():
                if value is not None:  # native SGD keeps an empty momentum buffer
                    ours = torch.as_tensor(self.custom.state[mine][key], dtype=value.dtype)
                    yield f"{key} {index}", ours, value

    def assert_equal(self) -> None:
        for name, ours, native in self.pairs():
            assert torch.equal(ours, native), name


DEFAULTS = {name: next(every_setting(name)) for name in PAIRS}
EVERY = [(name, setting) for name in PAIRS for setting in every_setting(name)]


@pytest.mark.parametrize("name", PAIRS)
def test_float32_weights_and_state_of_the_head_equal_the_native_ones_bit_for_bit_over_200_steps(
    name: str,
) -> None:
    twins = Twins(name, HEAD_SHAPES, torch.float32, DEFAULTS[name])
    for _ in range(4):
        twins.step(50)
        twins.assert_equal()


@pytest.mark.parametrize(("name", "setting"), EVERY, ids=str)
def test_float32_equals_the_native_twin_bit_for_bit_in_every_setting(
    name: str, setting: dict[str, Any]
) -> None:
    twins = Twins(name, SMALL_SHAPES, torch.float32, setting)
    for _ in range(20):
        twins.step()
        twins.assert_equal()


@pytest.mark.parametrize(("name", "setting"), EVERY, ids=str)
def test_float64_stays_within_1e_12_of_the_native_twin_in_every_setting(
    name: str, setting: dict[str, Any]
) -> None:
    twins = Twins(name, SMALL_SHAPES, torch.float64, setting)
    for _ in range(20):
        twins.step()
        for key, ours, native in twins.pairs():
            torch.testing.assert_close(ours, native, rtol=1e-12, atol=1e-12, msg=key)


@pytest.mark.parametrize(("name", "setting"), EVERY, ids=str)
def test_a_native_state_dict_continues_bit_for_bit_under_the_custom_twin(
    name: str, setting: dict[str, Any]
) -> None:
    twins = Twins(name, SMALL_SHAPES, torch.float32, setting)
    twins.step(5)
    twins.custom = PAIRS[name][1](twins.ours, lr=0.5)  # everything comes from the checkpoint
    # A state dict aliases the live tensors, so a hand-over in memory needs a copy.
    twins.custom.load_state_dict(copy.deepcopy(twins.native.state_dict()))
    twins.step(5)
    twins.assert_equal()


@pytest.mark.parametrize(("name", "setting"), EVERY, ids=str)
def test_a_custom_state_dict_continues_bit_for_bit_under_the_native_twin(
    name: str, setting: dict[str, Any]
) -> None:
    twins = Twins(name, SMALL_SHAPES, torch.float32, setting)
    twins.step(5)
    twins.native = PAIRS[name][0](twins.theirs, lr=0.5, foreach=False)
    twins.native.load_state_dict(copy.deepcopy(twins.custom.state_dict()))
    twins.step(5)
    twins.assert_equal()


@pytest.mark.parametrize(
    ("custom", "native", "setting", "word"),
    [
        (optim.SGD, torch.optim.SGD, {"momentum": 0.9}, "momentum"),
        (optim.Adam, torch.optim.Adam, {"amsgrad": True}, "amsgrad"),
        (optim.Adam, torch.optim.AdamW, {}, "decoupled_weight_decay"),
    ],
)
def test_a_checkpoint_that_asks_for_what_the_custom_twin_lacks_stops_its_next_step(
    custom: Callable[..., Optimizer],
    native: Callable[..., Optimizer],
    setting: dict[str, Any],
    word: str,
) -> None:
    weight = torch.ones(3, requires_grad=True)
    weight.grad = torch.ones(3)
    optimizer = custom([weight])
    optimizer.load_state_dict(native([weight], **setting).state_dict())
    with pytest.raises(ValueError, match=word):
        optimizer.step()
    assert torch.equal(weight, torch.ones(3))
