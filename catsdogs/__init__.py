"""Tell whether a hand-written optimizer is as right, good, fast and small as the built-in one."""

import os
from typing import TYPE_CHECKING

from catsdogs._version import __version__ as __version__

if TYPE_CHECKING:
    from catsdogs.inference.classifier import Classifier


def load(
    checkpoint: str | os.PathLike[str], *, weights: str | None = None, device: str = "auto"
) -> "Classifier":
    """Make the classifier of a checkpoint: `catsdogs.load("RUN/best.pt").predict("photos")`.

    Args:
        checkpoint: `best.pt` or `last.pt` of any run.
        weights: Where the backbone's weights are now, as `model.weights` names them; None for
            where they were in training. Their SHA-256 must be the recorded one.
        device: `auto` (CUDA if there is one), `cpu`, `cuda`, `cuda:N` or `mps`.

    Raises:
        catsdogs.errors.UserError: If checkpoint, weights or device cannot be had.
    """
    # Not at the top: a report needs no torch.
    from catsdogs.inference.classifier import load as load_classifier

    return load_classifier(checkpoint, weights=weights, device=device)
