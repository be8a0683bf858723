"""What a run will take, told before it starts, and refused with a way out if it does not fit."""

import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from catsdogs.errors import UserError
from catsdogs.features.epoch_features import EpochFeatures
from catsdogs.features.feature_store import FEATURES_PER_IMAGE
from catsdogs.features.shard_cache import PIXELS_PER_IMAGE
from catsdogs.io.files import cache_directory
from catsdogs.io.formatting import size
from catsdogs.io.torch_file import FILE_BYTES_ONCE, FILE_BYTES_PER_TENSOR
from catsdogs.optim.state_size import after_one_step, distinct
from catsdogs.settings import Settings

DISK = "disk"


@dataclass(frozen=True)
class MemoryItem:
    """Bytes of one kind, and where they lie: a device type such as "cpu" or "cuda", or "disk"."""

    name: str
    place: str
    nbytes: int


@dataclass(frozen=True)
class MemoryEstimate:
    """The memory that a run will take. Printed, it is a table."""

    parts: tuple[MemoryItem, ...]

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
        rows = [
            *self.parts,
            *(MemoryItem("total", place, self.total(place)) for place in self.places()),
        ]
        return "\n".join(f"{row.name:<14}{row.place:<6}{size(row.nbytes):>10}" for row in rows)


class DoesNotFit(Exception):
    """A plan needs more than there is; the message has the table and what would fit."""


def estimate_memory(
    factory: Callable[[list[Tensor]], Optimizer],
    params: Iterable[Tensor],
    *,
    frozen_bytes: int = 0,
    images: int = 0,
    decoded: int = 0,
    feature_dtype: torch.dtype = torch.float32,
    checkpoints: int = 2,
) -> MemoryEstimate:
    """Return the memory plan of training these parameters with this optimizer.

    Args:
        factory: Builds the optimizer, as `functools.partial(Adam, lr=1e-3)` does.
        params: What is trained. Only shapes, types and devices are looked at.
        frozen_bytes: What a checkpoint holds besides the trained parameters and their state.
        images: Images in the feature store.
        decoded: Pictures in the store of decoded ones.
        feature_dtype: Type of the features in the store.
        checkpoints: Checkpoint files that are kept at the same time, beside one file of the
            parameters alone. Both parts are upper bounds, at most 1 % and 32 KB above a file for
            the head; all other parts are exact.
    """
    given = list(params)
    device = given[0].device.type
    held, saved = after_one_step(factory, given)
    weights = sum(tensor.nbytes for _, tensor in distinct(given))
    parts = [MemoryItem("parameters", device, weights), MemoryItem("gradients", device, weights)]
    for name in ("state", "table"):
        places: dict[str, int] = {}
        for label, tensor in held:
            if label.endswith(".table") == (name == "table"):
                places[tensor.device.type] = places.get(tensor.device.type, 0) + tensor.nbytes
        parts += [MemoryItem(name, place, nbytes) for place, nbytes in places.items()]
    if checkpoints:
        tensors = weights + frozen_bytes + sum(tensor.nbytes for _, tensor in saved)
        overhead = FILE_BYTES_ONCE + FILE_BYTES_PER_TENSOR * (len(given) + len(saved))
        parts.append(MemoryItem("checkpoints", DISK, checkpoints * (tensors + overhead)))
        parts.append(MemoryItem("weights", DISK, weights + FILE_BYTES_ONCE))
    if images:
        features = images * FEATURES_PER_IMAGE * feature_dtype.itemsize
        parts.append(MemoryItem("feature store", DISK, features))
    if decoded:
        parts.append(MemoryItem("pixel store", DISK, decoded * PIXELS_PER_IMAGE))
    return MemoryEstimate(tuple(parts))


def require_fit(
    plan: MemoryEstimate,
    free: Mapping[str, int],
    alternatives: Mapping[str, MemoryEstimate] | None = None,
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
        f"{size(nbytes)} more on {place} ({size(free[place])} free)"
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


def plan_memory(
    make_optimizer: Callable[..., Optimizer],
    optimizer_settings: dict[str, Any],
    settings: Settings,
    head: nn.Module,
    features: EpochFeatures,
    device: torch.device,
) -> MemoryEstimate:
    """Predict and print what the run will take, and refuse one that does not fit.

    Features of all epochs that do not fit on the disk become a stream of one epoch at a time.

    Args:
        make_optimizer: Builds the optimizer for parameters, a number of training pictures and a
            batch size; keywords replace its settings.
        optimizer_settings: The settings that it has, by name.
        settings: Of the run.
        head: What is trained.
        features: Of every epoch, none of them computed yet.
        device: Where the run computes.

    Raises:
        UserError: With the table, what is missing, and the settings that would fit.
    """
    data, batch_size = settings.data, settings.batch_size

    def predicted(
        batch_size: int = batch_size, store_dtype: str = data.store_dtype, **replaced: str
    ) -> MemoryEstimate:
        return estimate_memory(
            lambda params: make_optimizer(params, data.train_images, batch_size, **replaced),
            head.parameters(),
            frozen_bytes=features.statistics_bytes,
            images=features.images_to_store,
            decoded=features.pixels_to_store,
            feature_dtype=getattr(torch, store_dtype),
        )

    memory = predicted()
    free = free_memory(device, cache_directory())
    if DISK in memory.shortage(free) and features.stream():
        memory = predicted()
    if memory.shortage(free):
        alternatives = {"data.store_dtype=float16": predicted(store_dtype="float16")}
        if "table_dtype" in optimizer_settings:
            alternatives["optimizer.table_dtype=float16"] = predicted(table_dtype="float16")
        # Fewer, larger batches have fewer rows in a table of one gradient for each.
        for larger in (2 * batch_size, 4 * batch_size, 16 * batch_size):
            alternatives[f"batch_size={larger}"] = predicted(batch_size=larger)
        try:
            require_fit(memory, free, alternatives)
        except DoesNotFit as error:
            raise UserError(str(error)) from error
    print(f"memory and disk:\n{memory}")
    print(f"passes of the backbone: {features.forecast}")
    return memory
