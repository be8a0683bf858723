"""Contract of a drop-in `torch.optim.Optimizer`, as claims that are tried one by one.

    from functools import partial
    from catsdogs.contract import check

    mine, adam = partial(MyOptimizer, lr=1e-3), partial(torch.optim.Adam, lr=1e-3)
    for finding in check(mine, reference=adam):
        print(finding)

The contract is the one that PyTorch's own optimizers keep: every first-order optimizer of
`torch.optim` 2.15 that takes dense gradients passes every claim. It imports torch alone and knows
no optimizer by name. Passing says nothing about how well an optimizer trains.
"""

from catsdogs.contract.claims import Finding
from catsdogs.contract.harness import Factory
from catsdogs.contract.suite import CheckResult, check

__all__ = ["CheckResult", "Factory", "Finding", "check"]
