"""Predicted bytes against the storages that a real run allocates."""

import io
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.optim import Optimizer

from catsdogs import optim
from catsdogs.optim.saga import block_sizes
from catsdogs.optim.state_size import held_tensors
from catsdogs.training.memory import (
    DoesNotFit,
    MemoryEstimate,
    MemoryItem,
    estimate_memory,
    free_memory,
    require_fit,
)

SHAPES = [(6, 5, 3, 3), (6,), (1, 6, 2, 2), (1,)]
OPTIMIZERS: dict[str, Callable[..., Optimizer]] = {
    "custom_sgd": optim.SGD,
    "custom_momentum": partial(optim.SGD, momentum=0.9),
    "custom_rmsprop": optim.RMSprop,
    "custom_rmsprop_full": partial(optim.RMSprop, momentum=0.9, centered=True),
    "custom_adam": optim.Adam,
    "custom_saga": partial(optim.SAGA, block_sizes=(8,) * 7 + (3,)),
    "custom_saga_half": partial(optim.SAGA, block_sizes=(8, 3), table_dtype=torch.float16),
    "published_sgd": partial(optim.PublishedSGD, lr=0.1),
    "published_adam": partial(optim.PublishedAdam, lr=0.1),
    "asgd": torch.optim.ASGD,
    "adadelta": torch.optim.Adadelta,
    "adafactor": torch.optim.Adafactor,
    "adagrad": torch.optim.Adagrad,
    "adam": torch.optim.Adam,
    "adam_amsgrad": partial(torch.optim.Adam, amsgrad=True),
    "adam_fused": partial(torch.optim.Adam, fused=True),
    "adamw": torch.optim.AdamW,
    "adamax": torch.optim.Adamax,
    "nadam": torch.optim.NAdam,
    "radam": torch.optim.RAdam,
    "rmsprop": partial(torch.optim.RMSprop, momentum=0.9, centered=True),
    "rprop": torch.optim.Rprop,
    "sgd": torch.optim.SGD,
    "sgd_momentum": partial(torch.optim.SGD, momentum=0.9),
    "sgd_tensor_lr": partial(torch.optim.SGD, lr=torch.tensor(0.1)),
}


def parameters(dtype: torch.dtype = torch.float32) -> list[Tensor]:
    return [torch.zeros(shape, dtype=dtype, requires_grad=True) for shape in SHAPES]


def after_a_real_run(factory: Callable[..., Optimizer], params: list[Tensor]) -> Optimizer:
    optimizer = factory(params)
    for number in range(16):
        for param in params:
            param.grad = torch.ones_like(param)
        told: Callable[..., Any] = optimizer.step
        count = len(optimizer.param_groups[0].get("block_sizes", [0]))
        told(**({"block": number % count} if hasattr(optimizer, "step_inputs") else {}))
    return optimizer


def size(plan: MemoryEstimate, *names: str) -> int:
    return sum(part.nbytes for part in plan.parts if part.name in names)


def storage_bytes(tensors: list[Tensor]) -> int:
    unique = {tensor.untyped_storage()._cdata: tensor.untyped_storage() for tensor in tensors}
    return sum(storage.nbytes() for storage in unique.values())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_prediction_equals_the_storages_of_a_real_run_to_the_byte(
    name: str, dtype: torch.dtype
) -> None:
    plan = estimate_memory(OPTIMIZERS[name], parameters(dtype))
    params = parameters(dtype)
    optimizer = after_a_real_run(OPTIMIZERS[name], params)
    assert size(plan, "parameters") == storage_bytes(params)
    assert size(plan, "gradients") == storage_bytes([p.grad for p in params if p.grad is not None])
    held = [tensor for _, tensor in held_tensors(optimizer)]
    assert size(plan, "state", "table") == storage_bytes(held)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_checkpoint_file_is_at_most_as_large_as_predicted_and_not_much_smaller(name: str) -> None:
    plan = estimate_memory(OPTIMIZERS[name], parameters(), checkpoints=1)
    params = parameters()
    optimizer = after_a_real_run(OPTIMIZERS[name], params)
    file = io.BytesIO()
    torch.save({"model": params, "optimizer": optimizer.state_dict(), "epoch": 3}, file)
    predicted = size(plan, "checkpoints")
    assert predicted - 32 * 1024 < file.tell() <= predicted


def test_the_prediction_for_linear_saga_equals_a_real_run() -> None:
    params = [torch.zeros(1, 50, requires_grad=True), torch.zeros(1, requires_grad=True)]
    plan = estimate_memory(partial(optim.LinearSAGA, num_samples=1000), params)
    assert size(plan, "table") == 1000 * 4
    assert size(plan, "state") == 51 * 4


def test_the_table_of_63_blocks_for_the_head_is_predicted_without_allocating_it() -> None:
    shapes = [(256, 512, 4, 4), (256,), (1, 256, 5, 5), (1,), (1, 1, 1, 1), (1,)]
    params = [torch.empty(shape, device="meta") for shape in shapes]
    plan = estimate_memory(
        partial(optim.SAGA, block_sizes=block_sizes(2000, 32)), params, checkpoints=0
    )
    assert size(plan, "table") == 63 * 2_103_811 * 4
    per_image = estimate_memory(
        partial(optim.SAGA, block_sizes=(1,) * 25_000), params, checkpoints=0
    )
    assert size(per_image, "table") == 25_000 * 2_103_811 * 4  # 210 GB


def test_a_table_in_host_memory_is_counted_there() -> None:
    params = [torch.empty(10, device="meta")]
    saga = partial(optim.SAGA, block_sizes=(8,) * 5, table_device="cpu")
    plan = estimate_memory(saga, params, checkpoints=0)
    assert MemoryItem("table", "cpu", 5 * 10 * 4) in plan.parts
    assert plan.total("meta") == 3 * 10 * 4


def test_the_feature_store_is_counted_on_disk_in_its_own_type() -> None:
    plan = estimate_memory(optim.SGD, parameters(), images=2000, feature_dtype=torch.float16)
    assert MemoryItem("feature store", "disk", 2000 * 512 * 8 * 8 * 2) in plan.parts


def test_decoded_images_are_counted_on_disk_a_byte_for_each_of_their_values() -> None:
    plan = estimate_memory(optim.SGD, parameters(), decoded=2000)
    assert MemoryItem("pixel store", "disk", 2000 * 3 * 256 * 256) in plan.parts


def test_a_plan_that_does_not_fit_stops_with_the_table_and_the_settings_that_would() -> None:
    def plan_of(nbytes: int) -> MemoryEstimate:
        return MemoryEstimate(
            (MemoryItem("parameters", "cpu", 900), MemoryItem("table", "cpu", nbytes))
        )

    big, small, medium = plan_of(5000), plan_of(900), plan_of(3000)
    with pytest.raises(DoesNotFit) as stopped:
        require_fit(big, {"cpu": 1000}, {"batch_size=256": small, "table_dtype=half": medium})
    message = str(stopped.value)
    assert "4.0 kB more on cpu (1.0 kB free)" in message
    assert str(big) in message
    assert message.endswith("It would fit with batch_size=256.")
    with pytest.raises(DoesNotFit, match="No setting tried fits"):
        require_fit(big, {"cpu": 1000}, {"table_dtype=half": medium})


def test_a_plan_that_fits_passes_and_parameters_count_as_already_there() -> None:
    plan = MemoryEstimate((MemoryItem("parameters", "cpu", 900), MemoryItem("state", "cpu", 1000)))
    require_fit(plan, {"cpu": 1000})
    require_fit(plan, {})  # nothing is known to be short


def test_free_memory_knows_the_disk_of_a_folder_and_the_host(tmp_path: Path) -> None:
    free = free_memory("cpu", tmp_path)
    assert free["disk"] > 0
    assert free.get("cpu", 1) > 0


def test_a_plan_prints_one_line_for_each_part_and_a_total_for_each_place() -> None:
    plan = MemoryEstimate(
        (MemoryItem("parameters", "cpu", 8_415_244), MemoryItem("feature store", "disk", 10**12))
    )
    assert str(plan).splitlines() == [
        "parameters    cpu       8.4 MB",
        "feature store disk      1.0 TB",
        "total         cpu       8.4 MB",
        "total         disk      1.0 TB",
    ]
