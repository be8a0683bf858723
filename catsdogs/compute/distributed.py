"""Communication among the processes that torchrun starts for one run."""

import contextlib
import dataclasses
import logging
import os
from collections.abc import Iterator
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from catsdogs.errors import UserError
from catsdogs.io.voice import STARTED_BY_TORCHRUN, await_cause

RESTARTS = "TORCHELASTIC_RESTART_COUNT"  # an environment variable that torchrun sets


@dataclasses.dataclass(frozen=True)
class ProcessGroup:
    """The processes of a run, as one of them sees it; with one process nothing is communicated.

    All processes must call the same methods in the same order, except `is_main` and `owns`.

    Attributes:
        rank: Of this process, from 0.
        size: Number of processes.
    """

    rank: int = 0
    size: int = 1

    @property
    def is_main(self) -> bool:
        """Whether this is process 0, which writes files and prints."""
        return self.rank == 0

    def owns(self, number: int) -> bool:
        """Return whether this process does the item of work with this number."""
        return number % self.size == self.rank

    def all_reduce(self, tensor: Tensor) -> Tensor:
        """Sum a tensor over all processes in place, and return it; bit-identical in all of them."""
        if self.size > 1:
            dist.all_reduce(tensor)
        return tensor

    def all_reduce_number(self, number: float) -> float:
        """Return the sum of a number over all processes."""
        if self.size == 1:
            return number
        return self.all_reduce(torch.tensor(number, dtype=torch.float64)).item()

    def broadcast(self, value: Any) -> Any:
        """Return the value of process 0 in every process; it can be anything that pickles."""
        if self.size == 1:
            return value
        box = [value if self.is_main else None]
        dist.broadcast_object_list(box, src=0)
        return box[0]

    def check_equal(self, value: str, what: str) -> None:
        """Check that all processes have the same value.

        Args:
            value: Of this process.
            what: Name of the value in the message.

        Raises:
            UserError: In all processes, if one has another value.
        """
        if self.size == 1:
            return
        values: list[Any] = [None] * self.size
        dist.all_gather_object(values, value)
        others = [rank for rank, other in enumerate(values) if other != values[0]]
        if others:
            raise UserError(
                f"torchrun: process {others[0]} has other {what} than process 0; use the "
                "same files, versions and settings on every machine"
            )

    def wait(self) -> None:
        """Wait until every process has called this."""
        if self.size > 1:
            dist.barrier()


ALONE = ProcessGroup()


@contextlib.contextmanager
def join_process_group(device: torch.device) -> Iterator[ProcessGroup]:
    """Join the processes that torchrun started; yield `ALONE` without torchrun.

    Processes other than process 0 print and log nothing meanwhile.

    Args:
        device: Of this process; CPUs communicate by gloo, GPUs by NCCL.

    Raises:
        UserError: If the connection to another process is lost.
    """
    if STARTED_BY_TORCHRUN not in os.environ:
        yield ALONE
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    try:
        store, rank, size = next(dist.rendezvous("env://"))  # type: ignore[attr-defined]
        # The store survives a restart by torchrun, with the addresses of dead processes in it.
        attempt = dist.PrefixStore(f"restart{os.environ.get(RESTARTS, '0')}", store)  # type: ignore[attr-defined]
        dist.init_process_group(backend, store=attempt, rank=rank, world_size=size)
        process_group = ProcessGroup(rank, size)
        with contextlib.ExitStack() as silence:
            if not process_group.is_main:
                _silence(silence)
            yield process_group
    except RuntimeError as error:
        if not isinstance(error, dist.DistError) and "gloo" not in str(error):
            raise
        await_cause()
        raise UserError(
            "torchrun: another process of this run has ended; resume=auto continues the run"
        ) from error
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()


def _silence(until: contextlib.ExitStack) -> None:
    nothing = until.enter_context(open(os.devnull, "w"))  # noqa: PTH123, SIM115
    until.enter_context(contextlib.redirect_stdout(nothing))
    until.enter_context(contextlib.redirect_stderr(nothing))
    until.callback(logging.disable, logging.root.manager.disable)
    logging.disable()
