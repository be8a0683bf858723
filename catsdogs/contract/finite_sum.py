"""Claims about finite-sum optimizers, whose steps take the origin of their gradients.

With `step_inputs = "block"` an optimizer has the size of every fixed block of samples in
`block_sizes` of its groups and takes the block's number as `step(block=...)`. With
`step_inputs = "samples"` it moves the weight and the bias of one linear model, has `num_samples` in
its groups and takes `step(samples=..., features=..., logit_grad=...)`; samples that always come
together are a block to it. The mean over all samples is then the mean of the blocks' gradients,
each weighted by its size; that is what these claims hold it to.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.optim import Optimizer

from catsdogs.contract.claims import NotApplicable, claim, require
from catsdogs.contract.harness import (
    OptimizerHarness,
    copies,
    furthest,
    gradient,
    origin,
    samples_of_a_batch,
)

FEATURES = 3


@claim(
    "A step without its block or samples, or with unknown ones, is refused and moves nothing.",
    "update",
)
def refuses_a_gradient_of_unknown_origin(harness: OptimizerHarness) -> str:
    sizes = _block_sizes(harness)
    weights = harness.weights()
    optimizer = harness.build(weights)
    for place, weight in enumerate(weights):
        weight.grad = gradient(weight, 0, place)
    before = copies(weights)
    wrong: dict[str, dict[str, Any]] = {"no inputs": {}}
    if harness.step_inputs == "block":
        wrong |= {f"block {number}": {"block": number} for number in (len(sizes), -1)}
    else:
        inputs, count = origin(optimizer, 0), harness.subject.defaults["num_samples"]
        for number in (count, -1):
            samples = inputs["samples"].clone()
            samples[0] = number
            wrong[f"sample {number}"] = inputs | {"samples": samples}
    for name, given in wrong.items():
        try:
            optimizer.step(**given)
        except (ValueError, TypeError, IndexError):
            require(furthest(weights, before) == 0, f"{name}: moved the weights, then refused")
            continue
        require(False, f"{name}: accepted")
    return f"refused: {', '.join(wrong)}"


@claim(
    "Once every block was seen, a step follows the mean gradient, corrected for its block.",
    "update",
)
def corrects_by_the_last_gradient_of_the_block(harness: OptimizerHarness) -> str:
    sizes = _block_sizes(harness)
    total, count = sum(sizes), len(sizes)
    weights = harness.weights()
    optimizer = harness.build(weights, **_plain(harness, lr=0.0))
    stored = [_gradients(weights, 100 + block) for block in range(count)]
    for block in [*range(count), *reversed(range(count))]:
        _step(harness, optimizer, weights, stored[block], block)
    optimizer.param_groups[0]["lr"] = 1.0
    # In another order than before, and with one block twice in a row.
    for number, block in enumerate([1 % count, 0, 0, count - 1, *range(count)]):
        mean = [_mean(rows, sizes) for rows in zip(*stored, strict=True)]
        latest = [
            old + new
            for old, new in zip(stored[block], _gradients(weights, 200 + number), strict=True)
        ]
        before = copies(weights)
        _step(harness, optimizer, weights, latest, block)
        moved = [old - weight.detach() for old, weight in zip(before, weights, strict=True)]
        share = count * sizes[block] / total
        # Unbiased over blocks drawn uniformly; a correction of weight 1 is accepted as well.
        expected = [
            [m + c * (new - old) for m, new, old in zip(mean, latest, stored[block], strict=True)]
            for c in (share, 1.0)
        ]
        gap = min(furthest(moved, direction) for direction in expected)
        require(gap < 1e-9, f"step {number + 1}, on block {block}, differs by {gap:.1e}")
        stored[block] = latest
    return f"{count} blocks of sizes {list(sizes)}, {count + 4} steps"


@claim(
    "The optimizer reaches the exact least-squares solution at a constant learning rate.", "update"
)
def reaches_the_least_squares_solution(harness: OptimizerHarness) -> str:
    sizes = _block_sizes(harness)
    random = torch.Generator().manual_seed(1)
    x, y = torch.randn(2, sum(sizes), FEATURES, generator=random, dtype=torch.float64)
    x, y = x - x.mean(0), y[:, 0]  # centred, so that weight and bias do not interact
    solution = torch.linalg.lstsq(x, y).solution
    weight = torch.zeros(1, FEATURES, dtype=torch.float64, requires_grad=True)
    bias = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    blocks = [functional.pad(x[rows], (0, 1), value=1.0) for _, rows in _epochs(harness, sizes, 1)]
    steepest = max(float(torch.linalg.matrix_norm(xs, 2)) ** 2 / len(xs) for xs in blocks)
    optimizer = harness.build([weight, bias], **_plain(harness, lr=1 / (3 * steepest)))
    take_step: Callable[..., Any] = optimizer.step
    for block, rows in _epochs(harness, sizes, 300):
        slopes = (x[rows] @ weight.detach()[0] + bias.detach() - y[rows]) / len(rows)
        weight.grad, bias.grad = (slopes @ x[rows]).unsqueeze(0), slopes.sum().unsqueeze(0)
        if harness.step_inputs == "block":
            take_step(block=block)
        else:
            take_step(samples=rows, features=x[rows], logit_grad=slopes)
    gap = furthest([weight.flatten(), bias], [solution, y.mean(0, keepdim=True)])
    require(gap < 1e-8, f"{gap:.1e} from the solution after 300 epochs")
    return f"{gap:.0e} from the solution after 300 epochs of {len(sizes)} blocks"


def _epochs(
    harness: OptimizerHarness, sizes: tuple[int, ...], count: int
) -> Iterator[tuple[int, Tensor]]:
    """Yield the number and the rows of each block, in a random order in every epoch.

    For an optimizer that takes samples, the blocks have other rows in every epoch.
    """
    random = torch.Generator().manual_seed(2)
    rows = torch.arange(sum(sizes))
    for _ in range(count):
        if harness.step_inputs == "samples":
            rows = torch.randperm(len(rows), generator=random)
        blocks = torch.split(rows, list(sizes))
        for block in torch.randperm(len(sizes), generator=random).tolist():
            yield block, blocks[block]


def _block_sizes(harness: OptimizerHarness) -> tuple[int, ...]:
    if harness.step_inputs is None:
        raise NotApplicable("its step takes no blocks or samples")
    if harness.step_inputs == "block":
        sizes: tuple[int, ...] = harness.subject.defaults["block_sizes"]
        return sizes
    size, num_samples = (
        samples_of_a_batch(harness.weights()),
        harness.subject.defaults["num_samples"],
    )
    return (size,) * int(num_samples // size)


def _plain(harness: OptimizerHarness, lr: float) -> dict[str, Any]:
    # A table of lower precision would round the stored gradients.
    off = {"weight_decay": 0.0, "maximize": False, "table_dtype": None}
    return {"lr": lr} | {
        name: value for name, value in off.items() if name in harness.subject.defaults
    }


def _gradients(weights: Sequence[Tensor], number: int) -> list[Tensor]:
    return [gradient(weight, number, place) for place, weight in enumerate(weights)]


def _step(
    harness: OptimizerHarness,
    optimizer: Optimizer,
    weights: Sequence[Tensor],
    gradients: Sequence[Tensor],
    block: int,
) -> None:
    harness.step(optimizer, block, weights, gradients)


def _mean(gradients: Sequence[Tensor], sizes: tuple[int, ...]) -> Tensor:
    weighted = [size * grad for size, grad in zip(sizes, gradients, strict=True)]
    return torch.stack(weighted).sum(0) / sum(sizes)
