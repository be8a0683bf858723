r"""SAGA (Defazio, Bach and Lacoste-Julien, 2014, arXiv:1407.0202) with one gradient per block.

The cost is a finite sum: samples 1..n lie in fixed blocks (mini-batches that keep their members;
only their order is shuffled), block b of size n_b has the mean gradient g_b, and the table holds
the last g_b that was seen of every block, T_b.

    c   = g_b - T_b                                  what changed in block b since it was last seen
    p_t = p_{t-1} - lr * (M + w_b * c + weight_decay * p_{t-1})
    M   = M + n_b / n_seen * c                       after its use
    T_b = g_b

M is the mean of the table, each row weighted by its size; n_seen is the number of samples in
blocks that were seen, n from the first full pass on. w_b = n_b / (mean size of a block) makes the
direction unbiased for blocks drawn uniformly, a smaller last block included.

Start: a block that was not seen yet stands for the mean of those seen, T_b = M. The first pass then
is plain SGD, every step of it is unbiased, and no pass is spent on filling the table. (Zeros for
unseen rows, as in scikit-learn, make steps of the first pass up to twice as long.)

At a constant lr of about 1 / (3 L) it converges linearly on a convex sum, where SGD stalls. That
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

from catsdogs.optim.base import RuleOptimizer, require_non_negative


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
    weight_decay: float,
) -> None:
    """Change `param`, the block's row of the table and the mean of the table in place.

    `correction` is w_b and `share` is n_b / n_seen, with this block among the seen.
    """
    known = row.to(mean, copy=True) if seen else mean.clone()
    direction = (grad - known).mul_(correction).add_(mean)
    if weight_decay != 0:
        direction.add_(param, alpha=weight_decay)
    param.add_(direction, alpha=-lr)
    row.copy_(grad)
    # What the row holds, not what it was given: a row of lower precision rounds, and the mean
    # must stay the mean of the table.
    mean.add_(row.to(mean) - known, alpha=share)


def block_sizes(num_samples: int, block_size: int) -> tuple[int, ...]:
    """Return the sizes of the blocks that samples fall into in order; the last may be smaller."""
    full, rest = divmod(num_samples, block_size)
    return (block_size,) * full + ((rest,) if rest else ())


class SAGA(RuleOptimizer):
    """SAGA for any model, with a table of one gradient per fixed block of samples.

    Args:
        params: Parameters, named parameters or groups.
        lr: Learning rate, 0 or above.
        block_sizes: The number of samples in each block, in the order of the block numbers.
        weight_decay: L2 penalty, added to the direction and not stored in the table, 0 or above.
        maximize: Climb instead of descend.
        table_dtype: Type of the table's rows, also by its name; the parameter's own if None. Half
            precision halves the table and leaves noise of its rounding in the direction.
        table_device: Where the table lies; beside the parameter if None.

    Raises:
        ValueError: For a hyperparameter outside its range.

    Attributes:
        step_inputs: A training loop must call `step(block=...)` with the number of the block that
            the gradients are from.
    """

    update_rule = staticmethod(saga_update)
    varying = ("lr", "correction", "share")
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
            block: The number of the block that the gradients are from.

        Raises:
            ValueError: Without a block or for one that is not there. Nothing has moved then.
        """
        if block is None:
            raise ValueError("SAGA must be told the block of its gradients: step(block=...)")
        number = operator.index(block)
        for group in self.param_groups:
            if not 0 <= number < len(group["block_sizes"]):
                raise ValueError(f"No block {number}: there are {len(group['block_sizes'])}")
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
            "mean": torch.zeros_like(param),
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
            "weight_decay": group["weight_decay"],
        }
        return arguments, state | {"seen": seen}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load a state dict; tables are copied and keep the type and place asked for here.

        torch's own loading would cast them to the parameter's type and device first, which for a
        table of half precision in host memory may not even fit. Hooks see the dict without tables.

        Raises:
            ValueError: For a state dict with other groups or other blocks.
        """
        own = [dict(group) for group in self.param_groups]
        for group, saved in zip(own, state_dict["param_groups"], strict=False):
            if tuple(saved["block_sizes"]) != group["block_sizes"]:
                raise ValueError("The state dict is for other blocks; its table means nothing here")
        without_tables = {
            index: {name: value for name, value in state.items() if name != "table"}
            for index, state in state_dict["state"].items()
        }
        super().load_state_dict({**state_dict, "state": without_tables})
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
