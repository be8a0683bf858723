"""The processes that torchrun starts for one run, on one machine or several, and their exchange."""

import contextlib
import dataclasses
import os
from collections.abc import Iterator
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from catsdogs.errors import UserError

STARTED_BY_TORCHRUN = "TORCHELASTIC_RUN_ID"  # a variable that it sets


@dataclasses.dataclass(frozen=True)
class ProcessGroup:
    """One process among those of a run; alone, every exchange is with itself and costs nothing.

    What each of them calls, all must call, in the same order.

    Attributes:
        rank: Of this process, from 0, the one that writes and reports.
        size: How many there are.
    """

    rank: int = 0
    size: int = 1

    @property
    def is_main(self) -> bool:
        """Whether this is the process that writes and reports."""
        return self.rank == 0

    def owns(self, number: int) -> bool:
        """Tell whether work that is dealt out by number falls to this process."""
        return number % self.size == self.rank

    def all_reduce(self, tensor: Tensor) -> Tensor:
        """Add up a tensor over all processes, in place, and return it: the same bits in each."""
        if self.size > 1:
            dist.all_reduce(tensor)
        return tensor

    def all_reduce_number(self, number: float) -> float:
        """Add up a number over all processes."""
        if self.size == 1:
            return number
        return self.all_reduce(torch.tensor(number, dtype=torch.float64)).item()

    def broadcast(self, value: Any) -> Any:
        """Return what the first process gives, in every process; plain values and tensors."""
        if self.size == 1:
            return value
        box = [value if self.is_main else None]
        dist.broadcast_object_list(box, src=0)
        return box[0]

    def check_equal(self, value: str, what: str) -> None:
        """Require the same of every process.

        Raises:
            UserError: In all of them, if one has another value; `what` says of what.
        """
        if self.size == 1:
            return
        values: list[Any] = [None] * self.size
        dist.all_gather_object(values, value)
        others = [rank for rank, other in enumerate(values) if other != values[0]]
        if others:
            raise UserError(
                f"torchrun: process {others[0]} has other {what} than process 0; give every "
                "machine the same files, versions and settings"
            )

    def wait(self) -> None:
        """Return when every process has come here."""
        if self.size > 1:
            dist.barrier()


ALONE = ProcessGroup()


@contextlib.contextmanager
def join_process_group(device: torch.device) -> Iterator[ProcessGroup]:
    """Join the processes that torchrun started with this one; alone where it did not.

    Every process but the first is silent on stdout meanwhile.

    Args:
        device: Where this process computes: gloo connects CPUs, NCCL connects GPUs.
    """
    if STARTED_BY_TORCHRUN not in os.environ:
        yield ALONE
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    dist.init_process_group("cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo")
    try:
        process_group = ProcessGroup(dist.get_rank(), dist.get_world_size())
        with contextlib.ExitStack() as silence:
            if not process_group.is_main:
                nothing = silence.enter_context(open(os.devnull, "w"))  # noqa: PTH123
                silence.enter_context(contextlib.redirect_stdout(nothing))
            yield process_group
    finally:
        dist.destroy_process_group()
