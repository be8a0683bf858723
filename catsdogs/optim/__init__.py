"""Optimizers as readable update rules. Imports torch and the standard library alone.

`SGD`, `RMSprop`, `Adam` and `AdamW` are twins of the classes of those names in `torch.optim`: the
same signature, the same bits as torch's with `foreach=False`, and checkpoints that load both ways.
Every option that changes what a step computes is supported: `momentum`, `dampening`, `nesterov`,
`centered`, `amsgrad`, `weight_decay`, `decoupled_weight_decay`, `maximize`, a tensor as `lr`. The
options that change how it is computed, `foreach`, `fused`, `capturable` and `differentiable`, are
accepted as False or None and refused as True. Sparse gradients, complex parameters and values out
of range, such as nan, are refused; betas given as tensors become floats.

`SAGA` and `LinearSAGA` have no twin in torch. `PublishedSGD` and `PublishedAdam` are exhibits, see
`catsdogs.optim.monograph`. `RuleOptimizer` is the base of all others.
"""

from catsdogs.optim.adam import Adam
from catsdogs.optim.adamw import AdamW
from catsdogs.optim.base import RuleOptimizer
from catsdogs.optim.linear_saga import LinearSAGA
from catsdogs.optim.monograph import PublishedAdam, PublishedSGD
from catsdogs.optim.rmsprop import RMSprop
from catsdogs.optim.saga import SAGA
from catsdogs.optim.sgd import SGD

__all__ = [
    "SAGA",
    "SGD",
    "Adam",
    "AdamW",
    "LinearSAGA",
    "PublishedAdam",
    "PublishedSGD",
    "RMSprop",
    "RuleOptimizer",
]
