"""Order of the training images in each epoch."""

import numpy as np
import torch
from torch import Tensor


def epoch_permutation(count: int, seed: int, epoch: int) -> Tensor:
    """Return a permutation of 0 to `count` - 1, a function of the seed and the epoch alone."""
    return torch.from_numpy(np.random.default_rng([seed, epoch]).permutation(count))
