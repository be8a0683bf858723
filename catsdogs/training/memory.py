"""Estimate of a run's memory and disk space, checked before the run starts."""

import logging
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
from catsdogs.optim.state_size import after_one_step, distinct, plain_step
from catsdogs.settings import Settings
from catsdogs.training.blame import blaming

log = logging.getLogger(__name__)

DISK = "disk"
OUTPUT_DISK = "output disk"  # of the run directory, where that is not the disk of the cache
# Upper bounds of a row in steps.csv or epochs.csv, and of its events for TensorBoard.
BYTES_PER_STEP, BYTES_PER_EPOCH = 96, 384
STEPS_PER_DAY = 1000 * 24 * 60 * 60  # on a fast machine


@dataclass(frozen=True)
class MemoryItem:
    """Bytes of one kind.

    Attributes:
        name: The kind, such as "gradients".
        place: A device type such as "cpu" or "cuda", "disk", or "output disk".
        nbytes: Number of bytes.
    """

    name: str
    place: str
    nbytes: int


@dataclass(frozen=True)
class MemoryEstimate:
    """Memory and disk space that a run needs; `str` returns it as a table."""

    parts: tuple[MemoryItem, ...]

    def total(self, place: str) -> int:
        """Return the bytes needed in one place."""
        return sum(item.nbytes for item in self.parts if item.place == place)

    def places(self) -> list[str]:
        """Return every place that is used."""
        return list(dict.fromkeys(item.place for item in self.parts))

    def shortage(self, free: Mapping[str, int]) -> dict[str, int]:
        """Return the bytes that each place lacks.

        The parameters count as allocated, since the model exists when the estimate is made.

        Args:
            free: Free bytes by place; a place that it leaves out is not checked.
        """
        allocated = {item.place: item.nbytes for item in self.parts if item.name == "parameters"}
        missing = {
            place: self.total(place) - allocated.get(place, 0) - free[place]
            for place in self.places()
            if place in free
        }
        return {place: nbytes for place, nbytes in missing.items() if nbytes > 0}

    def __str__(self) -> str:
        rows = [
            *self.parts,
            *(MemoryItem("total", place, self.total(place)) for place in self.places()),
        ]
        width = max(6, *(len(row.place) + 2 for row in rows))
        return "\n".join(
            f"{row.name:<14}{row.place:<{width}}{size(row.nbytes):>10}" for row in rows
        )


class DoesNotFit(Exception):
    """A run needs more than is free; the message has the table and the settings that would fit."""


def plan_memory(
    make_optimizer: Callable[..., Optimizer],
    optimizer_settings: dict[str, Any],
    settings: Settings,
    head: nn.Module,
    features: EpochFeatures,
    device: torch.device,
) -> MemoryEstimate:
    """Estimate and print the memory and disk space of a run, and refuse one that does not fit.

    If the features of all epochs do not fit on the disk, they are streamed one epoch at a time.

    Args:
        make_optimizer: Builds the optimizer for parameters, a number of training images and a batch
            size; keyword arguments replace its settings.
        optimizer_settings: The optimizer's settings by name.
        settings: The run's settings.
        head: The head to train.
        features: The features of every epoch, none of them computed yet.
        device: The device of the run.

    Returns:
        The estimate.

    Raises:
        UserError: If the run does not fit; with the table and the settings that would fit.
    """
    data, batch_size = settings.data, settings.batch_size
    cache, output = _nearest(cache_directory()), _nearest(settings.output_dir)
    output_disk = DISK if output.stat().st_dev == cache.stat().st_dev else OUTPUT_DISK

    def estimated(
        batch_size: int = batch_size,
        store_dtype: str = data.store_dtype,
        epochs: int = settings.epochs,
        **replaced: str,
    ) -> MemoryEstimate:
        return estimate_memory(
            lambda params: make_optimizer(params, data.train_images, batch_size, **replaced),
            head.parameters(),
            frozen_bytes=features.statistics_bytes,
            images=features.images_to_store,
            decoded=features.pixels_to_store,
            feature_dtype=getattr(torch, store_dtype),
            steps=epochs * -(-data.train_images // batch_size),
            epochs=epochs,
            take_step=_blamed_step,
            output_disk=output_disk,
        )

    estimate = estimated()
    free = free_memory(device, cache)
    if output_disk != DISK:
        free[output_disk] = shutil.disk_usage(output).free
    folders = {DISK: cache_directory(), output_disk: settings.output_dir}
    if DISK in estimate.shortage(free) and features.stream():
        estimate = estimated()
    if estimate.shortage(free):
        alternatives = {"data.store_dtype=float16": estimated(store_dtype="float16")}
        if "table_dtype" in optimizer_settings:
            alternatives["optimizer.table_dtype=float16"] = estimated(table_dtype="float16")
        # A table with one gradient per batch has fewer rows for larger batches.
        for larger in (2 * batch_size, 4 * batch_size, 16 * batch_size):
            alternatives[f"batch_size={larger}"] = estimated(batch_size=larger)
        lacking = estimate.shortage(free).get(output_disk, 0)
        series = sum(item.nbytes for item in estimate.parts if item.name == "series")
        if lacking < series:
            fewer = settings.epochs * (series - lacking) // series
            alternatives[f"epochs={fewer}"] = estimated(epochs=fewer)
        try:
            require_fit(estimate, free, alternatives, folders)
        except DoesNotFit as error:
            raise UserError(str(error)) from error
    steps = settings.epochs * -(-data.train_images // batch_size)
    if steps > STEPS_PER_DAY:
        log.warning(
            "epochs=%d: %s steps, which take %s days at a thousand a second",
            settings.epochs,
            f"{steps:,}",
            f"{steps / STEPS_PER_DAY:,.0f}",
        )
    print(f"memory and disk:\n{estimate}")
    print(f"passes of the backbone: {features.forecast}")
    return estimate


def _blamed_step(optimizer: Optimizer, params: list[Tensor]) -> None:
    with blaming("optimizer", optimizer, "step"):
        plain_step(optimizer, params)


def estimate_memory(
    factory: Callable[[list[Tensor]], Optimizer],
    params: Iterable[Tensor],
    *,
    frozen_bytes: int = 0,
    images: int = 0,
    decoded: int = 0,
    feature_dtype: torch.dtype = torch.float32,
    checkpoints: int = 2,
    steps: int = 0,
    epochs: int = 0,
    output_disk: str = DISK,
    take_step: Callable[[Optimizer, list[Tensor]], None] = plain_step,
) -> MemoryEstimate:
    """Estimate the memory and disk space of training parameters with an optimizer.

    Args:
        factory: Builds the optimizer, as `functools.partial(Adam, lr=1e-3)` does.
        params: The trained parameters. Only their shapes, types and devices matter.
        frozen_bytes: Bytes of a checkpoint besides the trained parameters and their state.
        images: Number of images in the feature store.
        decoded: Number of images in the store of decoded images.
        feature_dtype: Type of the features in the store.
        checkpoints: Number of checkpoints that exist at the same time, beside one file with the
            parameters alone. Both items are upper bounds, for the head at most 1 % and 32 KB above
            the size of a file; all other items are exact.
        steps: Number of steps that the series and TensorBoard's events record; an upper bound, too.
        epochs: Number of epochs that they record.
        output_disk: Place of everything but the stores.
        take_step: Takes a step of the optimizer on given parameters.
    """
    given = list(params)
    device = given[0].device.type
    held, saved = after_one_step(factory, given, take_step)
    weights = sum(tensor.nbytes for _, tensor in distinct(given))
    parts = [MemoryItem("parameters", device, weights), MemoryItem("gradients", device, weights)]
    for name in ("state", "table"):
        places: dict[str, int] = {}
        for label, tensor in held:
            if (label.rpartition(".")[2] == "table") == (name == "table"):
                places[tensor.device.type] = places.get(tensor.device.type, 0) + tensor.nbytes
        parts += [MemoryItem(name, place, nbytes) for place, nbytes in places.items()]
    if checkpoints:
        tensors = weights + frozen_bytes + sum(tensor.nbytes for _, tensor in saved)
        overhead = FILE_BYTES_ONCE + FILE_BYTES_PER_TENSOR * (len(given) + len(saved))
        parts.append(MemoryItem("checkpoints", output_disk, checkpoints * (tensors + overhead)))
        parts.append(MemoryItem("weights", output_disk, weights + FILE_BYTES_ONCE))
    if steps:
        series = steps * BYTES_PER_STEP + epochs * BYTES_PER_EPOCH
        parts.append(MemoryItem("series", output_disk, series))
    if images:
        features = images * FEATURES_PER_IMAGE * feature_dtype.itemsize
        parts.append(MemoryItem("feature store", DISK, features))
    if decoded:
        parts.append(MemoryItem("pixel store", DISK, decoded * PIXELS_PER_IMAGE))
    return MemoryEstimate(tuple(parts))


def require_fit(
    estimate: MemoryEstimate,
    free: Mapping[str, int],
    alternatives: Mapping[str, MemoryEstimate] | None = None,
    folders: Mapping[str, Path] | None = None,
) -> None:
    """Refuse a run that does not fit.

    Args:
        estimate: Estimate for the run.
        free: Free bytes by place, as `free_memory` returns them.
        alternatives: Estimates for other settings, by their key=value.
        folders: A folder on each disk, by place, to name it.

    Raises:
        DoesNotFit: If a place has too little; with the table and the settings that would fit.
    """
    missing = estimate.shortage(free)
    if not missing:
        return
    fitting = [name for name, other in (alternatives or {}).items() if not other.shortage(free)]
    names = {place: f"the disk of {folder}" for place, folder in (folders or {}).items()}
    needs = ", ".join(
        f"{size(nbytes)} more on {names.get(place, place)} ({size(free[place])} free)"
        for place, nbytes in missing.items()
    )
    advice = f"It would fit with {' or '.join(fitting)}." if fitting else "No setting tried fits."
    raise DoesNotFit(f"This run does not fit: it needs {needs}.\n{estimate}\n{advice}")


def free_memory(device: torch.device | str, folder: Path) -> dict[str, int]:
    """Return the free bytes of the host, a device and a folder's disk, as far as they are known."""
    device = torch.device(device)
    free = {DISK: shutil.disk_usage(folder).free}
    host = _free_host_memory()
    if host is not None:
        free["cpu"] = host
    if device.type == "cuda":
        free["cuda"] = torch.cuda.mem_get_info(device)[0]
    return free


def _nearest(folder: Path) -> Path:
    """Return the folder, or its nearest parent that exists."""
    return next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())


def _free_host_memory() -> int | None:
    """Return the free bytes within the limits of system and container; None except on Linux."""
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
