"""Checkpoints: one file with all that a run is at one moment, loadable without running code."""

import dataclasses
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from catsdogs.errors import UserError
from catsdogs.io.files import atomic_file
from catsdogs.io.torch_file import load_torch_file
from catsdogs.training.heads import ConvHead, LinearHead

FORMAT = 2


@dataclasses.dataclass(frozen=True)
class TrainState:
    """What a run trains and trains with: all that changes from step to step."""

    head: ConvHead | LinearHead
    optimizer: Optimizer
    scheduler: LRScheduler | None
    _fresh: dict[str, Any] = dataclasses.field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_fresh", _own_numbers(self.optimizer))

    @property
    def hidden_state(self) -> list[str]:
        """The optimizer's attributes that change and that its `state_dict` leaves out."""
        now = _own_numbers(self.optimizer)
        return sorted(
            name for name in now if name not in self._fresh or now[name] != self._fresh[name]
        )

    def state(self) -> dict[str, Any]:
        """Return it as tensors and plain values, torch's random generators included."""
        return {
            "head": self.head.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "hidden_state": self.hidden_state,
            "scheduler": self.scheduler.state_dict() if self.scheduler else None,
            "random": {
                "cpu": torch.get_rng_state(),
                "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else [],
            },
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Become what it was when `state` was taken."""
        self.head.load_state_dict(state["head"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.scheduler is not None:
            self.scheduler.load_state_dict(state["scheduler"])
            # Or torch warns at the end of an epoch whose steps another process has taken.
            self.optimizer._opt_called = True  # type: ignore[attr-defined]
        torch.set_rng_state(state["random"]["cpu"])
        if state["random"]["cuda"]:
            torch.cuda.set_rng_state_all(state["random"]["cuda"])


def save_checkpoint(path: Path, train_state: TrainState, facts: dict[str, Any]) -> None:
    """Write what is trained and `facts` (plain values and tensors only) as one whole file."""
    # Into a file of ours: torch's own hides from its error that the disk is full.
    with atomic_file(path) as partial, partial.open("wb") as file:
        torch.save({"format": FORMAT, **train_state.state(), **facts}, file)


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint onto the CPU; tensors and plain values only, never code.

    Raises:
        UserError: If the file is absent, damaged or no checkpoint of this project.
    """
    content = load_torch_file(path, f"{path}: not a readable checkpoint")
    if not isinstance(content, dict) or not _is_ours(content):
        raise UserError(f"{path}: not a checkpoint of catsdogs, format {FORMAT}")
    return content


def _is_ours(content: dict[Any, Any]) -> bool:
    number, head, optimizer = (content.get(key) for key in ("format", "head", "optimizer"))
    return (
        isinstance(number, int)
        and number == FORMAT
        and isinstance(head, dict)
        and all(isinstance(tensor, torch.Tensor) for tensor in head.values())
        and isinstance(optimizer, dict)
    )


def _own_numbers(optimizer: Optimizer) -> dict[str, Any]:
    """Return the numbers that an optimizer's class keeps on the object; of tensors, how many."""
    torchs = {"defaults", "state", "param_groups", "_opt_called"}
    found: dict[str, Any] = {}
    for name, value in vars(optimizer).items():
        if name in torchs:
            continue
        if isinstance(value, int | float):
            found[name] = value
        elif tensors := _tensors(value):
            found[name] = tensors
    return found


def _tensors(value: Any) -> int:
    if isinstance(value, dict):
        return _tensors(list(value.values()))
    if isinstance(value, list | tuple):
        return sum(map(_tensors, value))
    return int(isinstance(value, Tensor))


def save_tensors(path: Path, head: nn.Module) -> None:
    """Write the head's tensors as one whole file that is read without torch."""
    with atomic_file(path) as partial:
        # Not by save_file, whose files none but their owner may read.
        partial.write_bytes(safetensors.torch.save(head.state_dict()))
