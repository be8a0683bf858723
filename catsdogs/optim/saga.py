r"""SAGA (Defazio, Bach and Lacoste-Julien, 2014, arXiv:1407.0202) with one gradient per block.

The cost is a finite sum. Samples 1..n lie in fixed blocks: mini-batches that keep their members,
while their order is shuffled. Block b has n_b samples and the mean gradient g_b. The table holds,
for every block, the gradient of its last visit, T_b.

    c   = g_b - T_b                                  change in block b since its last visit
    p_t = p_{t-1} - lr * (M + w_b * c + weight_decay * p_{t-1})
    M   = M + n_b / n_seen * c                       after its use
    T_b = g_b

M is the mean of the table, with each row weighted by the size of its block. n_seen is the number of
samples in the blocks visited so far: n from the first full pass on. The weight w_b = n_b / (mean
size of a block) makes the direction unbiased for blocks drawn uniformly, even if the last block is
smaller.

A block that was not visited yet stands for the mean of the others, T_b = M. The first pass is then
plain SGD, each of its steps is unbiased, and no pass is spent on filling the table. With zeros for
such rows, as in scikit-learn, steps of the first pass are up to twice as long.

At a constant lr of about 1 / (3 L) SAGA converges linearly on a convex sum, where SGD stalls. It
needs the same gradient from the same block and weights: no random augmentation, no dropout, no
BatchNorm in train mode. Memory is (number of blocks) x (size of the parameters).

Differences from the paper: blocks instead of samples, the start above, a plain L2 penalty outside
the table instead of a proximal step. `torch.optim` has no SAGA.
"""

import itertools
import operator
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from catsdogs.optim.base import RuleOptimizer, require_non_negative, running_sum_dtype


def saga_update(
    param: Tensor,
    grad: Tensor,
    row: Tensor,
    mean: Tensor,
    *,
    seen: bool,
    correction: float,
    share: float,
    lr: float,
    weight_decay: float | None,
) -> None:
    """Change `param`, the block's row of the table and the mean of the table in place.

    `seen` tells whether the block was visited before, `correction` is w_b, and `share` is
    n_b / n_seen with this block counted. None for `weight_decay` means no weight decay.
    """
    known = row.to(mean, copy=True) if seen else mean.clone()
    direction = (grad - known).mul_(correction).add_(mean)
    if weight_decay is not None:
        direction.add_(param, alpha=weight_decay)
    param.add_(direction, alpha=-lr)
    row.copy_(grad)
    # The row as stored, not grad: a row of lower precision rounds, and the mean must stay the mean
    # of the table.
    mean.add_(row.to(mean) - known, alpha=share)


def block_sizes(num_samples: int, block_size: int) -> tuple[int, ...]:
    """Return the sizes of consecutive blocks of samples; the last block may be smaller."""
    full, rest = divmod(num_samples, block_size)
    return (block_size,) * full + ((rest,) if rest else ())


class SAGA(RuleOptimizer):
    """SAGA for any model, with a table of one gradient per fixed block of samples.

    Args:
        params: Parameters, named parameters or groups.
        lr: Learning rate, 0 or above.
        block_sizes: Number of samples in each block, by block number; each 1 or above.
        weight_decay: L2 penalty, added to the direction and not stored in the table, 0 or above.
        maximize: Ascend instead of descend.
        table_dtype: Floating-point type of the table, or its name; default: that of the parameter.
            Half precision halves the table and adds its rounding noise to the direction. The mean
            of the table is float32 for parameters of half precision.
        table_device: Device of the table; default: that of the parameter.

    Raises:
        ValueError: For a hyperparameter outside its range.

    Attributes:
        step_inputs: A training loop must call `step(block=...)` with the number of the block that
            the gradients are from.
    """

    update_rule = staticmethod(saga_update)
    varying = ("lr", "correction", "share", "weight_decay")
    step_inputs: ClassVar[str] = "block"

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-3,
        *,
        block_sizes: Sequence[int],
        weight_decay: float = 0.0,
        maximize: bool = False,
        table_dtype: torch.dtype | str | None = None,
        table_device: str | None = None,
    ) -> None:
        require_non_negative("lr", lr)
        require_non_negative("weight_decay", weight_decay)
        if not block_sizes or min(block_sizes) < 1:
            raise ValueError(
                f"Invalid block_sizes: {block_sizes} (must be 1 or above, one or more)"
            )
        if isinstance(table_dtype, str):  # as a configuration file names it
            table_dtype = getattr(torch, table_dtype, table_dtype)
        if table_dtype is not None and not (
            isinstance(table_dtype, torch.dtype) and table_dtype.is_floating_point
        ):
            raise ValueError(f"Invalid table_dtype: {table_dtype} (must be such as float16)")
        defaults = {
            "lr": lr,
            "block_sizes": tuple(int(size) for size in block_sizes),
            "weight_decay": weight_decay,
            "maximize": maximize,
            "table_dtype": table_dtype,
            "table_device": table_device,
        }
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(  # type: ignore[override]
        self, closure: Callable[[], float] | None = None, *, block: int | None = None
    ) -> float | None:
        """Update every parameter that has a gradient, as `RuleOptimizer.step` does.

        Args:
            closure: Re-evaluates the model on this block and returns the loss.
            block: Number of the block that the gradients are from, 0 to below the number of blocks.

        Raises:
            ValueError: Without a block, or for a number out of range. Nothing has changed then.
        """
        if block is None:
            raise ValueError("SAGA needs the block of its gradients: call step(block=...)")
        number = operator.index(block)
        for group in self.param_groups:
            count = len(group["block_sizes"])
            if not 0 <= number < count:
                raise ValueError(f"block={number}: there are {count} blocks, numbered from 0")
        return super().step(closure, block=number)

    def prepare_update(
        self, param: Tensor, group: dict[str, Any], *, block: int
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the block's row and the mean, which start at the first gradient."""
        sizes = group["block_sizes"]
        state = self.state.get(param) or {
            "table": torch.zeros(
                (len(sizes), *param.shape),
                dtype=group["table_dtype"] or param.dtype,
                device=group["table_device"] or param.device,
            ),
            "mean": torch.zeros_like(param, dtype=running_sum_dtype(param)),
            # A list: loading a state dict would cast a bool tensor to the parameter's type.
            "seen": [False] * len(sizes),
        }
        seen = [*state["seen"][:block], True, *state["seen"][block + 1 :]]
        arguments = {
            "row": state["table"][block],
            "mean": state["mean"],
            "seen": state["seen"][block],
            "correction": sizes[block] * len(sizes) / sum(sizes),
            "share": sizes[block] / sum(itertools.compress(sizes, seen)),
            "lr": float(group["lr"]),
            "weight_decay": group["weight_decay"] or None,
        }
        return arguments, state | {"seen": seen}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load a state dict; tables are copied and get the type and device of this optimizer.

        torch's own loading would first cast them to the parameter's type and device, where a
        half-precision table from host memory may not fit. Hooks see the dict without tables.

        Raises:
            ValueError: For a state dict with other groups or other blocks.
        """
        own = [dict(group) for group in self.param_groups]
        for group, saved in zip(own, state_dict["param_groups"], strict=False):
            if tuple(saved["block_sizes"]) != group["block_sizes"]:
                raise ValueError(
                    "The state dict has other block_sizes: its table cannot be used here"
                )
        without_tables = {
            index: {name: value for name, value in state.items() if name != "table"}
            for index, state in state_dict["state"].items()
        }
        super().load_state_dict({**state_dict, "state": without_tables})
        self.load_running_sums(state_dict, "mean")
        saved_groups = state_dict["param_groups"]
        for group, before, saved in zip(self.param_groups, own, saved_groups, strict=True):
            group["block_sizes"] = before["block_sizes"]
            group["table_dtype"] = before["table_dtype"]
            group["table_device"] = before["table_device"]
            for param, index in zip(group["params"], saved["params"], strict=True):
                if index in state_dict["state"]:
                    self.state[param]["table"] = state_dict["state"][index]["table"].to(
                        dtype=group["table_dtype"] or param.dtype,
                        device=group["table_device"] or param.device,
                        copy=True,
                    )
