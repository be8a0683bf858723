"""Optimizers as readable update rules, drop-in for their `torch.optim` twins.

Imports torch alone, so the folder could be lifted out as a library.
"""

from catsdogs.optim.adam import Adam
from catsdogs.optim.linear_saga import LinearSAGA
from catsdogs.optim.momentum import Momentum
from catsdogs.optim.monograph import PublishedAdam, PublishedSGD
from catsdogs.optim.rmsprop import RMSprop
from catsdogs.optim.saga import SAGA
from catsdogs.optim.sgd import SGD

__all__ = [
    "SAGA",
    "SGD",
    "Adam",
    "LinearSAGA",
    "Momentum",
    "PublishedAdam",
    "PublishedSGD",
    "RMSprop",
]
