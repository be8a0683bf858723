"""Try every claim on one optimizer."""

from collections.abc import Callable

import torch

from catsdogs.contract import finite_sum, interop, param_groups, parity, state_dict, update
from catsdogs.contract.claims import Claim, Finding
from catsdogs.contract.harness import Factory, OptimizerHarness

CLAIMS: tuple[Claim, ...] = tuple(
    value
    for module in (param_groups, update, interop, state_dict, finite_sum, parity)
    for value in vars(module).values()
    if isinstance(value, Claim)
)


def check(
    factory: Factory,
    *,
    reference: Factory | None = None,
    progress: Callable[[int, int, Finding], None] | None = None,
) -> list[Finding]:
    """Try every claim of the contract and return one finding for each, in a fixed order.

    Args:
        factory: Builds the optimizer, `factory(params, **overrides)`; overrides are hyperparameters
            such as `lr` or `maximize`, as `functools.partial(MyOptimizer, lr=1e-3)` takes them.
        reference: Builds the optimizer that it should equal step by step, if there is one.
        progress: Called after each claim with (done, total, finding).

    Raises:
        ValueError: If the factory builds nothing that the contract can drive.
    """
    harness = OptimizerHarness(factory, reference)
    findings = []
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the tensors are tiny; waking threads takes longer than the work
    try:
        for done, claim in enumerate(CLAIMS, start=1):
            findings.append(claim.try_on(harness))
            if progress is not None:
                progress(done, len(CLAIMS), findings[-1])
    finally:
        torch.set_num_threads(threads)
    return findings
