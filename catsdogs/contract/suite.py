"""All claims of the contract, tried on one optimizer."""

import textwrap
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

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
INDENT = 16 * " "


@dataclass(frozen=True)
class CheckResult:
    """Findings of the contract for one optimizer. Printed, it is a table with a verdict below.

    Attributes:
        name: Of the optimizer.
        findings: One for each claim, in a fixed order.
    """

    name: str
    findings: tuple[Finding, ...]

    @property
    def passed(self) -> bool:
        """Whether no claim fails; claims that do not apply do not count."""
        return not self.failed

    @property
    def failed(self) -> tuple[Finding, ...]:
        """The findings whose claim fails."""
        return tuple(finding for finding in self.findings if finding.verdict == "fail")

    @property
    def verdict(self) -> str:
        """One sentence: whether the optimizer is a drop-in replacement, and the counts."""
        counts = Counter(finding.verdict for finding in self.findings)
        judged = "is a drop-in replacement" if self.passed else "is not a drop-in replacement"
        tally = f"{counts['pass']} claims hold, {counts['fail']} fail"
        return f"{self.name} {judged}: {tally}, {counts['not applicable']} do not apply"

    def table(self, width: int = 100) -> str:
        """Return a line for each claim, with the evidence below those that do not hold.

        Args:
            width: Columns of the terminal.
        """
        lines = []
        for finding in self.findings:
            line = f"{finding.verdict:<14}  {finding.claim}"
            lines.append(textwrap.fill(line, width, subsequent_indent=INDENT))
            if finding.verdict != "pass":
                evidence = textwrap.fill(finding.evidence, width - len(INDENT))
                lines.append(textwrap.indent(evidence, INDENT))
        return "\n".join(lines)

    def __str__(self) -> str:
        return f"{self.table()}\n\n{self.verdict}"


def check(
    factory: Factory,
    *,
    reference: Factory | None = None,
    progress: Callable[[int, int, Finding], None] | None = None,
) -> list[Finding]:
    """Try every claim of the contract and return one finding per claim, in a fixed order.

    Args:
        factory: Builds the optimizer, `factory(params, **overrides)`; overrides are hyperparameters
            such as `lr` or `maximize`, as `functools.partial(MyOptimizer, lr=1e-3)` takes them.
        reference: Builds the optimizer that it should equal step by step; None without one.
        progress: Called after each claim with (done, total, finding).

    Raises:
        ValueError: If the contract cannot drive what the factory builds.
    """
    harness = OptimizerHarness(factory, reference)
    findings = []
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the tensors are tiny, and waking threads takes longer
    try:
        for done, claim in enumerate(CLAIMS, start=1):
            findings.append(claim.try_on(harness))
            if progress is not None:
                progress(done, len(CLAIMS), findings[-1])
    finally:
        torch.set_num_threads(threads)
    return findings
