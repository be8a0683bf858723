"""Memory of an optimizer's state, measured without allocating it.

The state of an optimizer is found by letting it take one step on fake tensors, which have a shape,
a type and a device but no memory. That works for any optimizer class and is exact to the byte for
what its tensors hold. Not counted: temporaries of a step (up to three times the largest parameter
in eager mode), activations, and what the allocator keeps in reserve.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.optim import Optimizer
from torch.utils._python_dispatch import TorchDispatchMode

from catsdogs.optim.step_inputs import declared_step_inputs


def held_tensors(optimizer: Optimizer) -> list[tuple[str, Tensor]]:
    """Return every tensor that an optimizer keeps besides parameters and gradients, with its name.

    Also what hangs on the object instead of in its state, as in the monograph's Adam.
    """
    params = [param for group in optimizer.param_groups for param in group["params"]]
    gradients = [param.grad for param in params if param.grad is not None]
    known = {_storage(tensor) for tensor in (*params, *gradients)}
    named = named_tensors(vars(optimizer))
    return [(name, tensor) for name, tensor in distinct(named) if _storage(tensor) not in known]


def distinct(tensors: Iterable[Any]) -> list[tuple[str, Tensor]]:
    """Return (name, tensor) pairs, or tensors as such pairs, without those sharing a storage."""
    found: dict[int, tuple[str, Tensor]] = {}
    for item in tensors:
        name, tensor = item if isinstance(item, tuple) else ("", item)
        found.setdefault(_storage(tensor), (name, tensor))
    return list(found.values())


class _Answers(TorchDispatchMode):
    """Answers for fake tensors whose value an optimizer asks for; no size depends on the answer."""

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        if func is torch.ops.aten._local_scalar_dense.default:
            # Not 0 or 1, which some formulas divide by or take from 1; and no check is triggered.
            return 0.5 if args[0].is_floating_point() else int(args[0].dtype != torch.bool)
        return func(*args, **(kwargs or {}))


def plain_step(optimizer: Optimizer, params: list[Tensor]) -> None:
    """Give the parameters gradients and take a step."""
    for param in params:
        param.grad = torch.empty_like(param)
    told: Callable[..., Any] = optimizer.step
    told(**({"block": 0} if declared_step_inputs(optimizer) == "block" else {}))


def after_one_step(
    factory: Callable[[list[Tensor]], Optimizer],
    params: list[Tensor],
    take_step: Callable[[Optimizer, list[Tensor]], None] = plain_step,
) -> tuple[list[tuple[str, Tensor]], list[tuple[str, Tensor]]]:
    """Return what the optimizer then holds, and what of it goes into its state dict.

    Args:
        factory: Builds the optimizer.
        params: Its parameters. Only their shapes, types and devices matter.
        take_step: Takes a step of an optimizer on given parameters.
    """
    try:
        with FakeTensorMode(allow_non_fake_inputs=True), _Answers():  # type: ignore[no-untyped-call]
            fakes = [torch.empty_like(param).requires_grad_() for param in params]
            optimizer = factory(fakes)
            if declared_step_inputs(optimizer) != "samples":
                take_step(optimizer, fakes)
                return held_tensors(optimizer), distinct(named_tensors(optimizer.state_dict()))
    except Exception:  # noqa: BLE001 - fake tensors cannot do everything, such as become NumPy's
        reals = [torch.zeros_like(param, requires_grad=True) for param in params]
        optimizer = factory(reals)
        take_step(optimizer, reals)
        return held_tensors(optimizer), distinct(named_tensors(optimizer.state_dict()))
    return _linear_after_one_step(factory, params)


def _linear_after_one_step(
    factory: Callable[[list[Tensor]], Optimizer], params: list[Tensor]
) -> tuple[list[tuple[str, Tensor]], list[tuple[str, Tensor]]]:
    """Take a real step: a linear model is small, and the numbers of its samples must be real."""
    reals = [torch.zeros_like(param, requires_grad=True) for param in params]
    for real in reals:
        real.grad = torch.zeros_like(real)
    optimizer = factory(reals)
    width = max(real.numel() for real in reals)
    told: Callable[..., Any] = optimizer.step
    told(samples=torch.tensor([0]), features=torch.zeros(1, width), logit_grad=torch.zeros(1))
    return held_tensors(optimizer), distinct(named_tensors(optimizer.state_dict()))


def named_tensors(value: Any, name: str = "") -> Iterator[tuple[str, Tensor]]:
    """Yield every tensor in nested mappings, lists and tuples, with a name such as `state[0].sum`.

    A key that is a tensor, as in an optimizer's state, is not part of the name.
    """
    if isinstance(value, Tensor):
        yield name, value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            parts = (name, "" if isinstance(key, Tensor) else str(key))
            yield from named_tensors(item, ".".join(filter(None, parts)))
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from named_tensors(item, f"{name}[{index}]")


def _storage(tensor: Tensor) -> int:
    # Fake storages have no address, and an empty one has the address 0.
    return int(tensor.untyped_storage()._cdata)
