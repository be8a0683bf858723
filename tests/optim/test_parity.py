"""Custom optimizers against their `torch.optim` twins, to the bit, over the product of options.

Both twins start from the same weights and get clones of the same random gradients, so a difference
can only come from the update rule.
"""

import copy
import inspect
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.optim import Optimizer

from catsdogs import optim

HEAD_SHAPES = [(256, 512, 4, 4), (256,), (1, 256, 5, 5), (1,), (1, 1, 1, 1), (1,)]
SMALL_SHAPES = [(3, 4), (5,), (1,), (), (0, 2), (2, 3, 2), (2, 1, 3, 2)]
LEARNING_RATES = (
    1e-3,
    torch.tensor(0.01),
    torch.tensor(0.01, dtype=torch.float64),
    torch.tensor([0.3]),
)
ADAM: dict[str, Any] = {
    "lr": LEARNING_RATES,
    "betas": ((0.9, 0.999), (0.0, 0.5)),
    "eps": (1e-8, 0.1),
    "weight_decay": (0, 0.1),
    "amsgrad": (False, True),
    "maximize": (False, True),
}
# Native class, custom class and, for each hyperparameter, the values whose product is tried.
PAIRS: dict[str, tuple[Callable[..., Optimizer], Callable[..., Optimizer], dict[str, Any]]] = {
    "sgd": (
        torch.optim.SGD,
        optim.SGD,
        {
            "lr": LEARNING_RATES,
            "momentum": (0, 0.9),
            "dampening": (0, 0.3),
            "weight_decay": (0, 0.1),
            "nesterov": (False, True),
            "maximize": (False, True),
        },
    ),
    "rmsprop": (
        torch.optim.RMSprop,
        optim.RMSprop,
        {
            "lr": LEARNING_RATES,
            "alpha": (0.99, 0.5),
            "eps": (1e-8, 0.1),
            "weight_decay": (0, 0.1),
            "momentum": (0, 0.9),
            "centered": (False, True),
            "maximize": (False, True),
        },
    ),
    "adam": (torch.optim.Adam, optim.Adam, ADAM),
    "adamw": (torch.optim.AdamW, optim.AdamW, ADAM),
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
        self.setting = setting
        self.generator = torch.Generator().manual_seed(0)
        start = [torch.randn(s, generator=self.generator, dtype=dtype) for s in shapes]
        self.ours = [weight.clone().requires_grad_() for weight in start]
        self.theirs = [weight.clone().requires_grad_() for weight in start]
        self.custom = custom(self.ours, **setting)
        self.native = native(self.theirs, **{**setting, "foreach": False})
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
            assert torch.equal(ours, native), f"{name}, {self.setting}"


@pytest.mark.slow
@pytest.mark.parametrize("name", PAIRS)
def test_float32_weights_and_state_of_the_head_equal_the_native_ones_bit_for_bit_over_200_steps(
    name: str,
) -> None:
    twins = Twins(name, HEAD_SHAPES, torch.float32, next(every_setting(name)))
    for _ in range(4):
        twins.step(50)
        twins.assert_equal()


@pytest.mark.parametrize("name", PAIRS)
def test_the_signature_is_the_native_one_with_the_same_order_and_defaults(name: str) -> None:
    native, custom, _ = PAIRS[name]
    theirs, ours = (inspect.signature(cls).parameters for cls in (native, custom))
    assert [(one.name, one.kind, one.default) for one in ours.values()] == [
        (one.name, one.kind, one.default) for one in theirs.values()
    ]


# One test for all settings of a class: the product has some 400 of a few milliseconds each.
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("name", PAIRS)
def test_weights_and_state_equal_the_native_ones_bit_for_bit_in_every_setting(
    name: str, dtype: torch.dtype
) -> None:
    for setting in every_setting(name):
        twins = Twins(name, SMALL_SHAPES, dtype, setting)
        for _ in range(12):
            twins.step()
            twins.assert_equal()


@pytest.mark.parametrize("name", PAIRS)
def test_a_zero_keeps_its_sign_as_under_the_native_twin(name: str) -> None:
    momentum = {"momentum": 0.9} if name in ("sgd", "rmsprop") else {}
    twins = Twins(name, [(2, 3)], torch.float32, {"lr": 0.1, **momentum})
    signed = torch.tensor([[0.0, -0.0, 0.0], [-0.0, 1.0, -1.0]])
    for weight in (*twins.ours, *twins.theirs):
        weight.data.copy_(signed)
    twins.gradients = itertools.cycle([[-signed]])
    for _ in range(3):
        twins.step()
        twins.assert_equal()
        for key, ours, native in twins.pairs():
            assert torch.equal(ours.signbit(), native.signbit()), key


@pytest.mark.parametrize("name", PAIRS)
def test_a_native_state_dict_continues_bit_for_bit_under_the_custom_twin(name: str) -> None:
    for setting in every_setting(name):
        twins = Twins(name, SMALL_SHAPES, torch.float32, setting)
        twins.step(5)
        twins.custom = PAIRS[name][1](twins.ours, lr=0.5)  # everything comes from the checkpoint
        # A state dict aliases the live tensors, so a hand-over in memory needs a copy.
        twins.custom.load_state_dict(copy.deepcopy(twins.native.state_dict()))
        twins.step(5)
        twins.assert_equal()


@pytest.mark.parametrize("name", PAIRS)
def test_a_custom_state_dict_continues_bit_for_bit_under_the_native_twin(name: str) -> None:
    for setting in every_setting(name):
        twins = Twins(name, SMALL_SHAPES, torch.float32, setting)
        twins.step(5)
        twins.native = PAIRS[name][0](twins.theirs, lr=0.5, foreach=False)
        twins.native.load_state_dict(copy.deepcopy(twins.custom.state_dict()))
        twins.step(5)
        twins.assert_equal()


@pytest.mark.parametrize("name", PAIRS)
def test_the_groups_of_a_state_dict_have_the_names_and_values_of_the_native_ones(name: str) -> None:
    twins = Twins(name, SMALL_SHAPES, torch.float32, {"lr": 0.1, "foreach": False})
    (ours,), (theirs,) = (
        optimizer.state_dict()["param_groups"] for optimizer in (twins.custom, twins.native)
    )
    assert ours == theirs


def test_a_native_adamw_checkpoint_continues_bit_for_bit_under_the_custom_adam() -> None:
    twins = Twins("adamw", SMALL_SHAPES, torch.float32, {"weight_decay": 0.1})
    twins.step(5)
    twins.custom = optim.Adam(twins.ours)
    twins.custom.load_state_dict(copy.deepcopy(twins.native.state_dict()))
    twins.step(5)
    twins.assert_equal()


def test_weight_decay_is_decoupled_once_adamw_has_loaded_an_adam_checkpoint() -> None:
    twins = Twins("adam", SMALL_SHAPES, torch.float32, {"weight_decay": 0.1})
    twins.step(5)
    given = copy.deepcopy(twins.native.state_dict())
    twins.custom, twins.native = optim.AdamW(twins.ours), torch.optim.AdamW(twins.theirs)
    twins.custom.load_state_dict(given)
    twins.native.load_state_dict(copy.deepcopy(given))
    twins.native.param_groups[0]["foreach"] = False
    twins.step(5)
    twins.assert_equal()


@pytest.mark.parametrize("name", PAIRS)
def test_a_checkpoint_from_before_the_options_existed_continues_bit_for_bit(name: str) -> None:
    setting = {"momentum": 0.9} if name == "sgd" else {}
    twins = Twins(name, SMALL_SHAPES, torch.float32, setting)
    twins.step(5)
    given = copy.deepcopy(twins.custom.state_dict())
    for group in given["param_groups"]:
        for option in ("foreach", "fused", "capturable", "differentiable", "amsgrad"):
            group.pop(option, None)
    assert all(type(state.get("step", 0)) is int for state in given["state"].values())
    twins.custom = PAIRS[name][1](twins.ours, lr=0.5)
    twins.custom.load_state_dict(given)
    twins.step(5)
    twins.assert_equal()
    assert twins.custom.param_groups[0]["foreach"] is None


UNSUPPORTED = [
    (name, option)
    for name, (_, custom, _) in PAIRS.items()
    for option in ("foreach", "fused", "capturable", "differentiable")
    if option in inspect.signature(custom).parameters
]


@pytest.mark.parametrize(("name", "option"), UNSUPPORTED)
def test_an_option_that_is_not_supported_is_refused_as_true_in_one_line_with_a_reason(
    name: str, option: str
) -> None:
    custom, weight = PAIRS[name][1], torch.ones(3, requires_grad=True)
    weight.grad = torch.ones(3)
    optimizer, late = custom([weight]), torch.ones(3, requires_grad=True)

    def set_later() -> None:
        optimizer.param_groups[0][option] = True
        optimizer.step()

    attempts: list[Callable[[], Any]] = [
        lambda: custom([weight], **{option: True}),
        lambda: custom([{"params": [weight], option: True}]),
        lambda: optimizer.add_param_group({"params": [late], option: True}),
        set_later,
    ]
    for attempt in attempts:
        with pytest.raises(ValueError) as refused:
            attempt()
        said = str(refused.value)
        assert said.startswith(f"{option}=True: {type(optimizer).__name__} "), said
        assert said.endswith("use torch.optim")
        assert "\n" not in said
    assert len(optimizer.param_groups) == 1
    assert torch.equal(weight, torch.ones(3))
    assert not optimizer.state


@pytest.mark.parametrize(("name", "option"), UNSUPPORTED)
def test_an_option_that_is_not_supported_is_accepted_as_false_and_as_nothing(
    name: str, option: str
) -> None:
    default = inspect.signature(PAIRS[name][1]).parameters[option].default
    assert default in (None, False)
    for value in {False, default}:
        twins = Twins(name, SMALL_SHAPES, torch.float32, {"lr": 0.1, option: value})
        twins.step(3)
        twins.assert_equal()
        assert twins.custom.param_groups[0][option] is value


@pytest.mark.parametrize(("name", "option"), UNSUPPORTED)
def test_a_native_checkpoint_that_was_computed_in_another_way_loads_and_steps(
    name: str, option: str
) -> None:
    twins = Twins(name, SMALL_SHAPES, torch.float32, {"lr": 0.1})
    twins.step(5)
    given = copy.deepcopy(twins.native.state_dict())
    given["param_groups"][0][option] = True
    twins.custom = PAIRS[name][1](twins.ours)
    twins.custom.load_state_dict(given)
    twins.step(5)
    twins.assert_equal()
    assert not twins.custom.param_groups[0][option]
