"""Optimizers as readable update rules, drop-in for their `torch.optim` twins.

Imports torch alone, so the folder could be lifted out as a library.
"""

from catsdogs.optim.adam import Adam, adam_update
from catsdogs.optim.sgd import SGD, sgd_update

__all__ = ["SGD", "Adam", "adam_update", "sgd_update"]
