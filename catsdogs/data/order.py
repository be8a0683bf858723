"""Order of the training images in each epoch."""

import numpy as np
import torch
from torch import Tensor


def epoch_permutation(count: int, seed: int, epoch: int) -> Tensor:
    """Return the order of an epoch: a permutation that (seed, epoch) alone decides."""
    return torch.from_numpy(np.random.default_rng([seed, epoch]).permutation(count))
