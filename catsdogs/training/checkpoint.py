"""Checkpoints: one file with all that a run is at one moment, loadable without running code."""

from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import nn
from torch.optim import Optimizer

from catsdogs.errors import UserError
from catsdogs.files import whole_file
from catsdogs.training.torch_file import load_torch_file

FORMAT = 1


def save_checkpoint(
    path: Path, head: nn.Module, optimizer: Optimizer, facts: dict[str, Any]
) -> None:
    """Write the head, the optimizer and `facts` (plain values only) as one whole file."""
    content = {
        "format": FORMAT,
        "head": head.state_dict(),
        "optimizer": optimizer.state_dict(),
        **facts,
    }
    # Into a file of ours: torch's own hides from its error that the disk is full.
    with whole_file(path) as partial, partial.open("wb") as file:
        torch.save(content, file)


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


def save_tensors(path: Path, head: nn.Module) -> None:
    """Write the head's tensors as one whole file that is read without torch."""
    with whole_file(path) as partial:
        # Not by save_file, whose files none but their owner may read.
        partial.write_bytes(safetensors.torch.save(head.state_dict()))
