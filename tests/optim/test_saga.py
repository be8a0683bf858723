"""SAGA with a table of blocks, against a plain NumPy version and against exact solutions."""

import copy
import io
import itertools
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from catsdogs.optim import SAGA, SGD
from catsdogs.optim.saga import block_sizes

SIZES = (8, 8, 8, 8, 8, 3)
LAYOUTS = (torch.contiguous_format, torch.channels_last)


def least_squares(seed: int = 0) -> tuple[list[Tensor], list[Tensor]]:
    """Return the features and targets of each block, in float64."""
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(sum(SIZES), 4, generator=generator, dtype=torch.float64)
    targets = torch.randn(sum(SIZES), generator=generator, dtype=torch.float64)
    return list(torch.split(features, list(SIZES))), list(torch.split(targets, list(SIZES)))


def order(epochs: int) -> list[int]:
    """Return block numbers: every epoch a permutation of all."""
    generator = torch.Generator().manual_seed(1)
    return [
        block
        for _ in range(epochs)
        for block in torch.randperm(len(SIZES), generator=generator).tolist()
    ]


def fit(optimizer: Any, weight: Tensor, blocks: list[int], data: Any = None) -> None:
    features, targets = data or least_squares()
    for block in blocks:
        x, y = features[block].to(weight.dtype), targets[block].to(weight.dtype)
        optimizer.zero_grad()
        torch.autograd.backward((x @ weight - y).square().mean() / 2)
        optimizer.step(**({"block": block} if isinstance(optimizer, SAGA) else {}))


def lipschitz() -> float:
    """Return the largest curvature of a block's cost."""
    features, _ = least_squares()
    return max(float(torch.linalg.matrix_norm(x, 2)) ** 2 / len(x) for x in features)


def test_saga_follows_a_plain_numpy_version_step_by_step() -> None:
    features, targets = least_squares()
    weight = torch.zeros(4, dtype=torch.float64, requires_grad=True)
    optimizer = SAGA([weight], lr=0.05, block_sizes=SIZES, weight_decay=0.01)
    w = np.zeros(4)
    table = np.zeros((len(SIZES), 4))
    seen = np.zeros(len(SIZES), dtype=bool)
    sizes = np.array(SIZES)
    for block in order(epochs=20):
        x, y = features[block].numpy(), targets[block].numpy()
        g = x.T @ (x @ w - y) / len(y)
        mean = sizes[seen] @ table[seen] / sizes[seen].sum() if seen.any() else np.zeros(4)
        known = table[block] if seen[block] else mean
        w = w - 0.05 * (mean + sizes[block] / sizes.mean() * (g - known) + 0.01 * w)
        table[block], seen[block] = g, True
        fit(optimizer, weight, [block])
        np.testing.assert_allclose(weight.detach().numpy(), w, rtol=0, atol=1e-13)


def test_saga_reaches_the_least_squares_solution_at_a_constant_rate_where_sgd_stalls() -> None:
    features, targets = least_squares()
    solution = torch.linalg.lstsq(torch.cat(features), torch.cat(targets)[:, None]).solution[:, 0]
    lr = 1 / (3 * lipschitz())
    distances = {}
    for name in ("saga", "sgd"):
        weight = torch.zeros(4, dtype=torch.float64, requires_grad=True)
        optimizer = SAGA([weight], lr, block_sizes=SIZES) if name == "saga" else SGD([weight], lr)
        fit(optimizer, weight, order(epochs=150))
        distances[name] = float((weight.detach() - solution).norm())
    assert distances["saga"] < 1e-10
    assert distances["sgd"] > 1e-3


def test_saga_converges_linearly() -> None:
    features, targets = least_squares()
    solution = torch.linalg.lstsq(torch.cat(features), torch.cat(targets)[:, None]).solution[:, 0]
    weight = torch.zeros(4, dtype=torch.float64, requires_grad=True)
    optimizer = SAGA([weight], 1 / (3 * lipschitz()), block_sizes=SIZES)
    blocks, distances = order(epochs=60), []
    for epoch in range(6):
        fit(optimizer, weight, blocks[60 * epoch : 60 * (epoch + 1)])
        distances.append(float((weight.detach() - solution).norm()))
    factors = [late / early for early, late in itertools.pairwise(distances)]
    assert max(factors) < 0.3, distances


def test_the_first_pass_of_saga_is_plain_sgd() -> None:
    equal = (8,) * 6
    data = least_squares()
    data = ([x[:3].repeat(3, 1)[:8] for x in data[0]], [y[:3].repeat(3)[:8] for y in data[1]])
    ours = torch.zeros(4, dtype=torch.float64, requires_grad=True)
    theirs = torch.zeros(4, dtype=torch.float64, requires_grad=True)
    fit(SAGA([ours], 0.05, block_sizes=equal), ours, order(epochs=1), data)
    fit(SGD([theirs], 0.05), theirs, order(epochs=1), data)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-15)


def test_sagas_step_is_unbiased_from_the_first_pass_on_with_a_smaller_last_block() -> None:
    weight = torch.zeros(4, dtype=torch.float64, requires_grad=True)
    optimizer = SAGA([weight], lr=0.05, block_sizes=SIZES)
    features, targets = least_squares()
    fit(optimizer, weight, [5, 2, 0])
    x, y = torch.cat(features), torch.cat(targets)
    full = x.t() @ (x @ weight.detach() - y) / len(y)
    moves = []
    for block in range(len(SIZES)):
        other, copied = copy.deepcopy((weight, optimizer))
        fit(copied, other, [block])
        moves.append((weight - other).detach() / 0.05)
    torch.testing.assert_close(torch.stack(moves).mean(0), full, rtol=0, atol=1e-13)


def test_the_running_mean_stays_the_mean_of_the_table_over_thousands_of_float32_steps() -> None:
    weight = torch.zeros(4, requires_grad=True)
    optimizer = SAGA([weight], lr=0.05, block_sizes=SIZES)
    fit(optimizer, weight, order(epochs=500))
    state = optimizer.state[weight]
    sizes = torch.tensor(SIZES, dtype=torch.float64)
    mean = sizes @ state["table"].double() / sizes.sum()
    torch.testing.assert_close(state["mean"].double(), mean, rtol=0, atol=1e-6)


def test_the_running_mean_is_that_of_the_rounded_rows_of_a_half_precision_table() -> None:
    weight = torch.zeros(4, dtype=torch.float64, requires_grad=True)
    optimizer = SAGA([weight], lr=0.05, block_sizes=SIZES, table_dtype=torch.float16)
    fit(optimizer, weight, order(epochs=20))
    state = optimizer.state[weight]
    assert state["table"].dtype == torch.float16
    sizes = torch.tensor(SIZES, dtype=torch.float64)
    mean = sizes @ state["table"].double() / sizes.sum()
    torch.testing.assert_close(state["mean"], mean, rtol=0, atol=1e-13)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_the_running_mean_of_a_half_precision_model_stays_that_of_its_table_and_is_saved_whole(
    dtype: torch.dtype,
) -> None:
    def train(weight: Tensor, optimizer: SAGA, seed: int, steps: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        for _ in range(steps):
            weight.grad = torch.randn(20, generator=generator).to(dtype)
            optimizer.step(block=int(torch.randint(10, (1,), generator=generator)))

    weight = torch.zeros(20, dtype=dtype, requires_grad=True)
    optimizer = SAGA([weight], lr=1e-3, block_sizes=(1,) * 10)
    train(weight, optimizer, seed=0, steps=1000)
    state = optimizer.state[weight]
    mean = state["table"].double().mean(0)
    torch.testing.assert_close(state["mean"].double(), mean, rtol=0, atol=1e-5)
    other = weight.detach().clone().requires_grad_()
    loaded = SAGA([other], lr=1.0, block_sizes=(1,) * 10)
    loaded.load_state_dict(optimizer.state_dict())
    for param, one in ((weight, optimizer), (other, loaded)):
        train(param, one, seed=1, steps=20)
    assert torch.equal(loaded.state[other]["mean"], state["mean"])
    assert torch.equal(other, weight)


@pytest.mark.parametrize("layouts", [LAYOUTS, LAYOUTS[::-1]], ids=str)
def test_a_table_continues_in_a_model_of_another_memory_layout(
    layouts: tuple[torch.memory_format, torch.memory_format],
) -> None:
    def train(weight: Tensor, optimizer: SAGA, steps: range) -> None:
        for number in steps:
            weight.grad = torch.randn(3, 4, 2, 5, generator=torch.Generator().manual_seed(number))
            optimizer.step(block=number % 3)

    due = torch.ones(3, 4, 2, 5, requires_grad=True)
    train(due, SAGA([due], lr=0.1, block_sizes=(2, 2, 1)), range(12))
    before, after = layouts
    weight = torch.ones(3, 4, 2, 5).contiguous(memory_format=before).requires_grad_()
    optimizer = SAGA([weight], lr=0.1, block_sizes=(2, 2, 1))
    train(weight, optimizer, range(5))
    other = weight.detach().contiguous(memory_format=after).requires_grad_()
    loaded = SAGA([other], block_sizes=(2, 2, 1))
    loaded.load_state_dict(optimizer.state_dict())
    train(other, loaded, range(5, 12))
    assert torch.equal(other, due)


@pytest.mark.parametrize("table_dtype", [None, torch.float16, torch.float64], ids=str)
def test_a_loaded_table_keeps_its_type_and_its_bits_and_continues(
    table_dtype: torch.dtype | None,
) -> None:
    weight = torch.zeros(4, requires_grad=True)
    optimizer = SAGA([weight], lr=0.05, block_sizes=SIZES, table_dtype=table_dtype)
    fit(optimizer, weight, order(epochs=2))
    file = io.BytesIO()
    torch.save(optimizer.state_dict(), file)
    file.seek(0)
    other = weight.detach().clone().requires_grad_()
    loaded = SAGA([other], lr=1.0, block_sizes=SIZES, table_dtype=table_dtype)
    loaded.load_state_dict(torch.load(file, weights_only=True))
    assert loaded.state[other]["table"].dtype == (table_dtype or torch.float32)
    fit(optimizer, weight, order(epochs=2))
    fit(loaded, other, order(epochs=2))
    assert torch.equal(weight, other)
    assert torch.equal(optimizer.state[weight]["table"], loaded.state[other]["table"])


def test_loading_copies_the_table_so_that_two_optimizers_share_nothing() -> None:
    weight = torch.zeros(4, requires_grad=True)
    optimizer = SAGA([weight], lr=0.05, block_sizes=SIZES)
    fit(optimizer, weight, order(epochs=1))
    given = optimizer.state_dict()
    before = given["state"][0]["table"].clone()
    other = torch.zeros(4, requires_grad=True)
    loaded = SAGA([other], lr=0.05, block_sizes=SIZES)
    loaded.load_state_dict(given)
    fit(loaded, other, [0])
    assert torch.equal(given["state"][0]["table"], before)


def test_a_float32_checkpoint_continues_in_a_float64_model_with_the_table_asked_for_there() -> None:
    weight = torch.zeros(4, requires_grad=True)
    optimizer = SAGA([weight], lr=0.05, block_sizes=SIZES)
    fit(optimizer, weight, order(epochs=1))
    other = weight.detach().double().requires_grad_()
    loaded = SAGA([other], lr=0.05, block_sizes=SIZES, table_dtype=torch.float16)
    loaded.load_state_dict(optimizer.state_dict())
    assert loaded.state[other]["table"].dtype == torch.float16
    assert loaded.state[other]["mean"].dtype == torch.float64
    fit(loaded, other, order(epochs=1))


def test_a_checkpoint_of_other_blocks_is_refused() -> None:
    weight = torch.zeros(4, requires_grad=True)
    given = SAGA([weight], block_sizes=(8, 8)).state_dict()
    with pytest.raises(ValueError, match="other block_sizes"):
        SAGA([weight], block_sizes=(8, 7)).load_state_dict(given)


def test_a_step_without_its_block_says_what_is_missing_and_moves_nothing() -> None:
    weight = torch.ones(4, requires_grad=True)
    weight.grad = torch.ones(4)
    optimizer = SAGA([weight], block_sizes=SIZES)
    with pytest.raises(ValueError, match=r"step\(block=\.\.\.\)"):
        optimizer.step()
    with pytest.raises(ValueError, match="block=6: there are 6 blocks"):
        optimizer.step(block=6)
    assert torch.equal(weight, torch.ones(4))


@pytest.mark.parametrize("wrong", [(), (8, 0), (-1,)])
def test_blocks_without_samples_are_refused(wrong: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="block_sizes"):
        SAGA([torch.ones(4, requires_grad=True)], block_sizes=wrong)


def test_block_sizes_cover_every_sample_and_only_the_last_is_smaller() -> None:
    assert block_sizes(2000, 32) == (32,) * 62 + (16,)
    assert block_sizes(64, 32) == (32, 32)
    assert block_sizes(5, 32) == (5,)


def test_saga_declares_that_its_step_takes_a_block() -> None:
    assert SAGA.step_inputs == "block"
    assert getattr(torch.optim.SGD, "step_inputs", None) is None
