"""Checkpoints as runs write them, with a seeded head and without a run."""

from pathlib import Path
from typing import Any

import torch

from catsdogs.data.images import PIPELINE
from catsdogs.features.backbone import StateDict, find_weights
from catsdogs.runs.environment import versions
from catsdogs.training.checkpoint import TrainState, save_checkpoint
from catsdogs.training.heads import seeded_head


def write_checkpoint(
    path: Path,
    *,
    head: str = "conv",
    weights: str = "random",
    statistics: StateDict | None = None,
    **replaced: Any,
) -> Path:
    """Write a checkpoint to `path` and return the path.

    Args:
        path: In an existing folder.
        head: `conv` or `linear`.
        weights: As `model.weights`.
        statistics: BatchNorm statistics of protocol=monograph; none for protocol=frozen.
        replaced: Facts to replace.
    """
    module = seeded_head(head, 0)
    config = {
        "model": {"weights": weights, "weights_seed": 0, "head": head},
        "protocol": "frozen" if statistics is None else "monograph",
    }
    facts = {
        "config": config,
        "versions": versions(),
        "weights": find_weights(weights).facts,
        "pixels": PIPELINE,
        "backbone_statistics": statistics or {},
        "epoch": 1,
        "val_accuracy": 0.5,
    }
    optimizer = torch.optim.SGD(module.parameters())
    save_checkpoint(path, TrainState(module, optimizer, None), facts | replaced)
    return path
