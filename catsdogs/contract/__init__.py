"""Contract of a drop-in `torch.optim.Optimizer`, as claims that are tried one by one.

    from functools import partial
    from catsdogs.contract import check

    mine, adam = partial(MyOptimizer, lr=1e-3), torch.optim.Adam
    for finding in check(mine, reference=adam):
        print(finding)

The contract is the one that PyTorch's own optimizers keep. Before a claim is tried, trial steps
find out what the optimizer can do and what it needs, and claims judge it by that. It imports torch
alone and knows no optimizer by name. Passing says nothing about how well an optimizer trains.
"""

from catsdogs.contract.claims import Finding
from catsdogs.contract.subject import CannotBeChecked, Factory
from catsdogs.contract.suite import CheckResult, check
from catsdogs.contract.testing import parametrize_with_claims

__all__ = [
    "CannotBeChecked",
    "CheckResult",
    "Factory",
    "Finding",
    "check",
    "parametrize_with_claims",
]
