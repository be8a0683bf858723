"""Custom optimizers against their `torch.optim` twins: to the bit in float32, 1e-12 in float64.

Both twins start from the same weights and get clones of the same random gradients, so a difference
can only come from the update rule.
"""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.optim import Optimizer

from catsdogs import optim

HEAD_SHAPES = [(256, 512, 4, 4), (256,), (1, 256, 5, 5), (1,), (1, 1, 1, 1), (1,)]
SMALL_SHAPES = [(3, 4), (5,), (1,), ()]
PAIRS: dict[str, tuple[Callable[..., Optimizer], Callable[..., Optimizer], dict[str, Any]]] = {
    "sgd": (torch.optim.SGD, optim.SGD, {"lr": 1e-3}),
    "adam": (torch.optim.Adam, optim.Adam, {"lr": 1e-3, "betas": (0.9, 0.999), "eps": 1e-8}),
}
VARIATIONS: list[dict[str, Any]] = [
    {},
    {"lr": 0.1},
    {"weight_decay": 0.01},
    {"maximize": True},
    {"weight_decay": 0.1, "maximize": True},
]


class Twins:
    """A native and a custom optimizer over equal weights, stepped with equal gradients."""

    def __init__(
        self, name: str, shapes: list[tuple[int, ...]], dtype: torch.dtype, **variation: Any
    ) -> None:
        native, custom, kwargs = PAIRS[name]
        kwargs = kwargs | variation
        self.generator = torch.Generator().manual_seed(0)
        start = [torch.randn(s, generator=self.generator, dtype=dtype) for s in shapes]
        self.ours = [weight.clone().requires_grad_() for weight in start]
        self.theirs = [weight.clone().requires_grad_() for weight in start]
        self.custom = custom(self.ours, **kwargs)
        self.native = native(self.theirs, **kwargs, foreach=False)

    def step(self) -> None:
        for mine, its in zip(self.ours, self.theirs, strict=True):
            mine.grad = torch.randn(mine.shape, generator=self.generator, dtype=mine.dtype)
            its.grad = mine.grad.clone()
        self.custom.step()
        self.native.step()

    def differences(self) -> list[Tensor]:
        pairs = zip(self.ours, self.theirs, strict=True)
        return [(mine - its).abs().max().detach() for mine, its in pairs]


@pytest.mark.parametrize("name", PAIRS)
def test_float32_weights_and_state_equal_the_native_ones_bit_for_bit_over_200_steps(
    name: str,
) -> None:
    twins = Twins(name, HEAD_SHAPES, torch.float32)
    for _ in range(200):
        twins.step()
        assert all(torch.equal(a, b) for a, b in zip(twins.ours, twins.theirs, strict=True))
    for mine, its in zip(twins.ours, twins.theirs, strict=True):
        for key, value in twins.native.state[its].items():
            if value is not None:  # native SGD keeps an empty momentum buffer
                ours = torch.as_tensor(twins.custom.state[mine][key], dtype=value.dtype)
                assert torch.equal(ours, value), key


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("variation", VARIATIONS, ids=str)
def test_float64_weights_stay_within_1e_12_of_the_native_ones(
    name: str, variation: dict[str, Any]
) -> None:
    twins = Twins(name, SMALL_SHAPES, torch.float64, **variation)
    for _ in range(200):
        twins.step()
        assert max(twins.differences()) <= 1e-12


@pytest.mark.parametrize("name", PAIRS)
def test_a_native_state_dict_continues_under_the_custom_twin(name: str) -> None:
    twins = Twins(name, SMALL_SHAPES, torch.float32)
    for _ in range(5):
        twins.step()
    # A state dict aliases the live tensors, so a hand-over in memory needs a copy.
    twins.custom.load_state_dict(copy.deepcopy(twins.native.state_dict()))
    for _ in range(5):
        twins.step()
        assert max(twins.differences()) == 0
