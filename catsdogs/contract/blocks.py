"""Claims about optimizers that must be told which fixed block of samples a gradient is from.

Such an optimizer says `wants = "block"`, has the size of every block in `block_sizes` of its groups
and takes the block's number as `step(block=...)`. The mean over all samples is then the mean of the
blocks' gradients, each weighted by its size; that is what these claims hold it to.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from catsdogs.contract.claims import NotApplicable, claim, require
from catsdogs.contract.subject import Subject, copies, distance, gradient


@claim("A step that is not told its block, or told one that is not there, is refused.")
def refuses_a_missing_or_unknown_block(subject: Subject) -> str:
    sizes = _block_sizes(subject)
    weights = subject.weights()
    optimizer = subject.build(weights)
    for place, weight in enumerate(weights):
        weight.grad = gradient(weight, 0, place)
    before = copies(weights)
    wrong: list[dict[str, Any]] = [{}, {"block": len(sizes)}, {"block": -1}]
    for given in wrong:
        try:
            optimizer.step(**given)
        except (ValueError, TypeError, IndexError):
            moved = any(distance(a, b) for a, b in zip(weights, before, strict=True))
            require(not moved, f"step({given}) moved weights before it was refused")
            continue
        require(False, f"step({given}) was accepted")
    return f"none, {len(sizes)} and -1"


@claim("Once every block was seen, a step goes along the mean gradient, corrected by its block.")
def corrects_by_the_last_gradient_of_the_block(subject: Subject) -> str:
    sizes = _block_sizes(subject)
    total, count = sum(sizes), len(sizes)
    weight = subject.weights([subject.shapes[0]])[0]
    optimizer = subject.build([weight], **_plain(subject, lr=0.0))
    stored = [gradient(weight, 100 + block, 0) for block in range(count)]
    for block in [*range(count), *reversed(range(count))]:
        _step(optimizer, weight, stored[block], block)
    optimizer.param_groups[0]["lr"] = 1.0
    # In an order that is not the order of first sight, and one block twice in a row.
    for number, block in enumerate([1 % count, 0, 0, count - 1, *range(count)]):
        mean = _mean(stored, sizes)
        news = stored[block] + gradient(weight, 200 + number, 0)
        before = weight.detach().clone()
        _step(optimizer, weight, news, block)
        share = count * sizes[block] / total
        # Unbiased over blocks drawn uniformly; a correction of weight 1 is accepted as well.
        due = [mean + c * (news - stored[block]) for c in (share, 1.0)]
        gap = min(distance(before - weight.detach(), direction) for direction in due)
        require(gap < 1e-9, f"step {number + 1}, on block {block}, is off by {gap:.1e}")
        stored[block] = news
    return f"{count} blocks of {list(sizes)}, {count + 4} steps"


@claim("At a constant learning rate it reaches the exact least-squares solution.")
def reaches_the_least_squares_solution(subject: Subject) -> str:
    sizes = _block_sizes(subject)
    samples = torch.Generator().manual_seed(1)
    features = torch.randn(sum(sizes), 3, generator=samples, dtype=torch.float64)
    targets = torch.randn(sum(sizes), 1, generator=samples, dtype=torch.float64)
    solution = torch.linalg.lstsq(features, targets).solution
    parts = list(
        zip(torch.split(features, list(sizes)), torch.split(targets, list(sizes)), strict=True)
    )
    steepest = max(float(torch.linalg.matrix_norm(x, 2)) ** 2 / len(x) for x, _ in parts)
    weight = torch.zeros(3, 1, dtype=torch.float64, requires_grad=True)
    optimizer = subject.build([weight], **_plain(subject, lr=1 / (3 * steepest)))
    order = torch.Generator().manual_seed(2)
    for _ in range(300):
        for block in torch.randperm(len(sizes), generator=order).tolist():
            x, y = parts[block]
            _step(optimizer, weight, x.t() @ (x @ weight.detach() - y) / len(x), block)
    gap = distance(weight, solution)
    require(gap < 1e-8, f"{gap:.1e} away after 300 passes")
    return f"{gap:.0e} away after 300 passes over {len(sizes)} blocks"


def _block_sizes(subject: Subject) -> tuple[int, ...]:
    if subject.wants != "block":
        raise NotApplicable("it does not want the block of its gradient")
    sizes: tuple[int, ...] = subject.defaults["block_sizes"]
    return sizes


def _plain(subject: Subject, lr: float) -> dict[str, Any]:
    # A table of lower precision rounds, which is a choice and no defect of the rule.
    off = {"weight_decay": 0.0, "maximize": False, "table_dtype": None}
    return {"lr": lr} | {name: value for name, value in off.items() if name in subject.defaults}


def _step(optimizer: Optimizer, weight: Tensor, grad: Tensor, block: int) -> None:
    weight.grad = grad.clone()
    told: Callable[..., Any] = optimizer.step
    told(block=block)


def _mean(gradients: list[Tensor], sizes: tuple[int, ...]) -> Tensor:
    weighted = [size * grad for size, grad in zip(sizes, gradients, strict=True)]
    return torch.stack(weighted).sum(0) / sum(sizes)
