"""Checkpoints: the complete state of a run in one file, loadable without executing code."""

import dataclasses
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from catsdogs.errors import UserError
from catsdogs.io.files import atomic_file
from catsdogs.io.torch_file import load_torch_file
from catsdogs.optim.state_size import named_tensors
from catsdogs.training.blame import blaming
from catsdogs.training.heads import ConvHead, LinearHead

FORMAT = 2
# What every torch.optim.Optimizer has.
TORCH_ATTRIBUTES = {"defaults", "state", "param_groups", "_opt_called"}


@dataclasses.dataclass(frozen=True)
class TrainState:
    """Everything that a training step changes.

    Attributes:
        head: The head.
        optimizer: Optimizer of the head's parameters.
        scheduler: Learning-rate scheduler of the optimizer; None for a constant rate.
    """

    head: ConvHead | LinearHead
    optimizer: Optimizer
    scheduler: LRScheduler | None
    _fresh: dict[str, Any] = dataclasses.field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_fresh", _extra_attributes(self.optimizer))

    @property
    def hidden_state(self) -> list[str]:
        """Names of the attributes that the optimizer changes outside of its `state_dict`."""
        now = _extra_attributes(self.optimizer)
        return sorted(
            name for name in now if name not in self._fresh or now[name] != self._fresh[name]
        )

    def state(self) -> dict[str, Any]:
        """Return the state as tensors and plain values, including torch's random generators."""
        with blaming("optimizer", self.optimizer, "state_dict"):
            optimizer = self.optimizer.state_dict()
        return {
            "head": self.head.state_dict(),
            "optimizer": optimizer,
            "hidden_state": self.hidden_state,
            "scheduler": self.scheduler.state_dict() if self.scheduler else None,
            "random": {
                "cpu": torch.get_rng_state(),
                "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else [],
            },
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Restore what `state` returned, in place."""
        self.head.load_state_dict(state["head"])
        with blaming("optimizer", self.optimizer, "load_state_dict"):
            self.optimizer.load_state_dict(state["optimizer"])
        if self.scheduler is not None:
            self.scheduler.load_state_dict(state["scheduler"])
            # Or torch warns at the end of an epoch whose steps an earlier process took.
            self.optimizer._opt_called = True  # type: ignore[attr-defined]
        torch.set_rng_state(state["random"]["cpu"])
        if state["random"]["cuda"]:
            torch.cuda.set_rng_state_all(state["random"]["cuda"])


def save_checkpoint(path: Path, train_state: TrainState, facts: dict[str, Any]) -> None:
    """Write a checkpoint atomically.

    Args:
        path: The file.
        train_state: What is trained.
        facts: Further entries; plain values and tensors only.
    """
    # Given a path instead of a file, torch raises an error that hides a full disk.
    with atomic_file(path) as partial, partial.open("wb") as file:
        torch.save({"format": FORMAT, **train_state.state(), **facts}, file)


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Load a checkpoint onto the CPU; tensors and plain values only, never code.

    Raises:
        UserError: If the file is absent, damaged or not a checkpoint of this project.
    """
    content = load_torch_file(path, f"{path}: not a readable checkpoint")
    if not isinstance(content, dict) or not _is_ours(content):
        raise UserError(f"{path}: not a checkpoint of catsdogs, format {FORMAT}")
    return content


def save_tensors(path: Path, head: nn.Module) -> None:
    """Write the head's tensors atomically as a .safetensors file, readable without torch."""
    with atomic_file(path) as partial:
        # Not save_file, which makes the file readable by its owner only.
        partial.write_bytes(safetensors.torch.save(head.state_dict()))


def _is_ours(content: dict[Any, Any]) -> bool:
    number, head, optimizer = (content.get(key) for key in ("format", "head", "optimizer"))
    return (
        isinstance(number, int)
        and number == FORMAT
        and isinstance(head, dict)
        and all(isinstance(tensor, torch.Tensor) for tensor in head.values())
        and isinstance(optimizer, dict)
    )


def _extra_attributes(optimizer: Optimizer) -> dict[str, Any]:
    """Return the numbers that an optimizer class keeps as attributes, and its counts of tensors."""
    found: dict[str, Any] = {}
    for name, value in vars(optimizer).items():
        if name in TORCH_ATTRIBUTES:
            continue
        if isinstance(value, int | float):
            found[name] = value
        elif tensors := sum(1 for _ in named_tensors(value)):
            found[name] = tensors
    return found
