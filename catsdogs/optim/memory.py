"""How many bytes a run will take, known before anything is allocated.

The state of an optimizer is found by letting it take one step on fake tensors, which have a shape,
a type and a device but no memory. That works for any optimizer class and is exact to the byte for
what its tensors hold. Not counted: temporaries of a step (up to three times the largest parameter
in eager mode), activations, and what the allocator keeps in reserve.
"""

import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.optim import Optimizer
from torch.utils._python_dispatch import TorchDispatchMode

from catsdogs.optim.step_inputs import declared_step_inputs

DISK = "disk"
FEATURES_PER_PICTURE = 512 * 8 * 8
PIXELS_PER_PICTURE = 3 * 256 * 256  # a byte each
# The archive that torch.save writes has a header and padding for each tensor, and an index.
FILE_BYTES_PER_TENSOR, FILE_BYTES_ONCE = 512, 8192


@dataclass(frozen=True)
class Part:
    """Bytes of one kind, and where they lie: a device type such as "cpu" or "cuda", or "disk"."""

    name: str
    place: str
    nbytes: int


@dataclass(frozen=True)
class Plan:
    """The memory that a run will take. Printed, it is a table."""

    parts: tuple[Part, ...]

    def total(self, place: str) -> int:
        """Return the bytes that lie in one place."""
        return sum(part.nbytes for part in self.parts if part.place == place)

    def places(self) -> list[str]:
        """Return every place in which something lies."""
        return list(dict.fromkeys(part.place for part in self.parts))

    def shortage(self, free: Mapping[str, int]) -> dict[str, int]:
        """Return the bytes that are missing in each place; one that `free` does not name is free.

        The parameters count as already there: a plan is made after the model.
        """
        there = {part.place: part.nbytes for part in self.parts if part.name == "parameters"}
        missing = {
            place: self.total(place) - there.get(place, 0) - free[place]
            for place in self.places()
            if place in free
        }
        return {place: nbytes for place, nbytes in missing.items() if nbytes > 0}

    def __str__(self) -> str:
        rows = [*self.parts, *(Part("total", place, self.total(place)) for place in self.places())]
        return "\n".join(f"{row.name:<14}{row.place:<6}{readable(row.nbytes):>10}" for row in rows)


class DoesNotFit(Exception):
    """A plan needs more than there is; the message has the table and what would fit."""


def predict(
    factory: Callable[[list[Tensor]], Optimizer],
    params: Iterable[Tensor],
    *,
    frozen_bytes: int = 0,
    pictures: int = 0,
    decoded: int = 0,
    feature_dtype: torch.dtype = torch.float32,
    checkpoints: int = 2,
) -> Plan:
    """Return the memory plan of training these parameters with this optimizer.

    Args:
        factory: Builds the optimizer, as `functools.partial(Adam, lr=1e-3)` does.
        params: What is trained. Only shapes, types and devices are looked at.
        frozen_bytes: What a checkpoint holds besides the trained parameters and their state.
        pictures: Pictures in the feature store.
        decoded: Pictures in the store of decoded ones.
        feature_dtype: Type of the features in the store.
        checkpoints: Checkpoint files that are kept at the same time, beside one file of the
            parameters alone. Both parts are upper bounds, at most 1 % and 32 KB above a file for
            the head; all other parts are exact.
    """
    given = list(params)
    device = given[0].device.type
    held, saved = _after_one_step(factory, given)
    weights = sum(tensor.nbytes for _, tensor in distinct(given))
    parts = [Part("parameters", device, weights), Part("gradients", device, weights)]
    for name in ("state", "table"):
        places: dict[str, int] = {}
        for label, tensor in held:
            if label.endswith(".table") == (name == "table"):
                places[tensor.device.type] = places.get(tensor.device.type, 0) + tensor.nbytes
        parts += [Part(name, place, nbytes) for place, nbytes in places.items()]
    if checkpoints:
        tensors = weights + frozen_bytes + sum(tensor.nbytes for _, tensor in saved)
        overhead = FILE_BYTES_ONCE + FILE_BYTES_PER_TENSOR * (len(given) + len(saved))
        parts.append(Part("checkpoints", DISK, checkpoints * (tensors + overhead)))
        parts.append(Part("weights", DISK, weights + FILE_BYTES_ONCE))
    if pictures:
        features = pictures * FEATURES_PER_PICTURE * feature_dtype.itemsize
        parts.append(Part("feature store", DISK, features))
    if decoded:
        parts.append(Part("pixel store", DISK, decoded * PIXELS_PER_PICTURE))
    return Plan(tuple(parts))


def require_fit(
    plan: Plan, free: Mapping[str, int], alternatives: Mapping[str, Plan] | None = None
) -> None:
    """Stop a run that would not fit.

    Args:
        plan: What the run will take.
        free: Free bytes by place, as `free_memory` returns them.
        alternatives: Plans of other settings, by what a user would type to get them.

    Raises:
        DoesNotFit: With the table, what is missing, and the settings that would fit.
    """
    missing = plan.shortage(free)
    if not missing:
        return
    fitting = [name for name, other in (alternatives or {}).items() if not other.shortage(free)]
    lacks = ", ".join(
        f"{readable(nbytes)} more on {place} ({readable(free[place])} free)"
        for place, nbytes in missing.items()
    )
    advice = f"It would fit with {' or '.join(fitting)}." if fitting else "No setting tried fits."
    raise DoesNotFit(f"This run does not fit: it needs {lacks}.\n{plan}\n{advice}")


def free_memory(device: torch.device | str, folder: Path) -> dict[str, int]:
    """Return the free bytes of host, device and the disk of a folder; unknown ones are left out."""
    device = torch.device(device)
    free = {DISK: shutil.disk_usage(folder).free}
    host = _free_host_memory()
    if host is not None:
        free["cpu"] = host
    if device.type == "cuda":
        free["cuda"] = torch.cuda.mem_get_info(device)[0]
    return free


def held_tensors(optimizer: Optimizer) -> list[tuple[str, Tensor]]:
    """Return every tensor that an optimizer keeps besides parameters and gradients, with its name.

    Also what hangs on the object instead of in its state, as in the monograph's Adam.
    """
    params = [param for group in optimizer.param_groups for param in group["params"]]
    gradients = [param.grad for param in params if param.grad is not None]
    known = {_storage(tensor) for tensor in (*params, *gradients)}
    named = _tensors(vars(optimizer))
    return [(name, tensor) for name, tensor in distinct(named) if _storage(tensor) not in known]


def distinct(tensors: Iterable[Any]) -> list[tuple[str, Tensor]]:
    """Return (name, tensor) pairs, or tensors as such pairs, without those sharing a storage."""
    found: dict[int, tuple[str, Tensor]] = {}
    for item in tensors:
        name, tensor = item if isinstance(item, tuple) else ("", item)
        found.setdefault(_storage(tensor), (name, tensor))
    return list(found.values())


def readable(nbytes: int) -> str:
    """Return a number of bytes with a decimal unit, such as 16.8 MB."""
    number = float(nbytes)
    for unit in ("B", "KB", "MB", "GB"):
        if number < 1000:
            return f"{nbytes} B" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1000
    return f"{number:.1f} TB"


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


def _after_one_step(
    factory: Callable[[list[Tensor]], Optimizer], params: list[Tensor]
) -> tuple[list[tuple[str, Tensor]], list[tuple[str, Tensor]]]:
    """Return what the optimizer then holds, and what of it goes into its state dict."""
    with FakeTensorMode(allow_non_fake_inputs=True), _Answers():  # type: ignore[no-untyped-call]
        fakes = [torch.empty_like(param).requires_grad_() for param in params]
        optimizer = factory(fakes)
        wants = declared_step_inputs(optimizer)
        if wants != "samples":
            for fake in fakes:
                fake.grad = torch.empty_like(fake)
            told: Callable[..., Any] = optimizer.step
            told(**({"block": 0} if wants == "block" else {}))
            return held_tensors(optimizer), distinct(_tensors(optimizer.state_dict()))
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
    return held_tensors(optimizer), distinct(_tensors(optimizer.state_dict()))


def _tensors(value: Any, name: str = "") -> Iterator[tuple[str, Tensor]]:
    if isinstance(value, Tensor):
        yield name, value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _tensors(item, f"{name}.{key}" if isinstance(key, str) else name)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _tensors(item, name)


def _storage(tensor: Tensor) -> int:
    # Fake storages have no address, and an empty one has the address 0.
    return int(tensor.untyped_storage()._cdata)


def _free_host_memory() -> int | None:
    """Return what the system and the container can still give, where Linux tells it."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    kilobytes = {name: int(rest.split()[0]) for name, _, rest in (x.partition(":") for x in lines)}
    free = kilobytes["MemAvailable"] * 1024
    group = Path("/sys/fs/cgroup")
    try:
        limit = (group / "memory.max").read_text().strip()
        used = int((group / "memory.current").read_text())
    except OSError:
        return free
    return free if limit == "max" else min(free, max(0, int(limit) - used))
