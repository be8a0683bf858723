"""What a run will take, told before it starts, and refused with a way out if it does not fit."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from catsdogs.errors import UserError
from catsdogs.features.epoch_features import EpochFeatures
from catsdogs.io.files import cache_directory
from catsdogs.optim.state_size import DISK, DoesNotFit, Plan, free_memory, predict, require_fit
from catsdogs.settings import Settings


def plan_memory(
    make_optimizer: Callable[..., Optimizer],
    optimizer_settings: dict[str, Any],
    settings: Settings,
    head: nn.Module,
    features: EpochFeatures,
    device: torch.device,
) -> Plan:
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
    ) -> Plan:
        return predict(
            lambda params: make_optimizer(params, data.train_pictures, batch_size, **replaced),
            head.parameters(),
            frozen_bytes=features.statistics_bytes,
            pictures=features.pictures_to_store,
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
