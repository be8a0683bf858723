"""All claims of the contract, tried on one optimizer."""

import contextlib
import dataclasses
import textwrap
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from catsdogs.contract import (
    compiling,
    cuda,
    finite_sum,
    flags,
    interop,
    layouts,
    param_groups,
    parameters,
    parity,
    precision,
    schedules,
    side_effects,
    state_dict,
    update,
)
from catsdogs.contract.claims import GROUPS, Claim, Finding, Group
from catsdogs.contract.harness import OptimizerHarness
from catsdogs.contract.probe import learn
from catsdogs.contract.subject import Factory

MODULES = (
    update,
    schedules,
    flags,
    layouts,
    precision,
    param_groups,
    parameters,
    interop,
    side_effects,
    state_dict,
    compiling,
    cuda,
    finite_sum,
    parity,
)
# A module also holds the claims of others that explain a failure of its own.
BY_NAME: dict[str, Claim] = {
    value.name: value
    for module in MODULES
    for value in vars(module).values()
    if isinstance(value, Claim)
}
CLAIMS: tuple[Claim, ...] = tuple(BY_NAME.values())
DROP_IN: tuple[Group, ...] = ("update", "state")  # a failure of these groups is grave
MEANINGS: dict[Group, str] = {
    "update": "the numbers of a step",
    "state": "saving, loading and copying",
    "use": "schedulers, scalers, hooks, groups, layouts and types",
    "manners": "checks of arguments, and what a step must leave alone",
}
INDENT = 4 * " "


@dataclass(frozen=True)
class CheckResult:
    """Findings of the contract for one optimizer. Printed, it is a table with a verdict below.

    Attributes:
        name: Of the optimizer.
        findings: One for each claim that was tried, in a fixed order.
        needs: What its steps need beyond gradients, in words; empty for nothing.
    """

    name: str
    findings: tuple[Finding, ...]
    needs: str = ""

    @property
    def passed(self) -> bool:
        """Whether no claim fails, but for those that were declared."""
        return not self.failures

    @property
    def failures(self) -> tuple[Finding, ...]:
        """The findings whose claim fails and was not declared to, the worst group first."""
        failed = [finding for finding in self.findings if finding.verdict == "fail"]
        return tuple(sorted(failed, key=lambda finding: GROUPS.index(finding.group)))

    @property
    def groups(self) -> dict[Group, tuple[Finding, ...]]:
        """The findings by group, the worst group first."""
        return {
            group: tuple(finding for finding in self.findings if finding.group == group)
            for group in GROUPS
        }

    @property
    def drop_in(self) -> bool:
        """Whether no claim of the groups update and state fails."""
        return not any(finding.group in DROP_IN for finding in self.failures)

    @property
    def verdict(self) -> str:
        """One sentence: whether the optimizer is a drop-in replacement, and the counts."""
        judged = "is a drop-in replacement" if self.drop_in else "is not a drop-in replacement"
        counts = Counter(finding.verdict for finding in self.findings)
        failed = Counter(finding.group for finding in self.failures)
        by_group = ", ".join(f"{failed[group]} of {group}" for group in GROUPS if failed[group])
        tally = [f"{counts['pass']} claims hold", f"{counts['fail']} fail"]
        if by_group:
            tally[-1] += f" ({by_group})"
        if counts["expected"]:
            tally.append(f"{counts['expected']} fail as declared")
        tally.append(f"{counts['not applicable']} do not apply")
        return f"{self.name} {judged}: {', '.join(tally)}"

    def raise_for_failures(self) -> None:
        """Raise unless no claim fails.

        Raises:
            AssertionError: With the verdict and every failure.
        """
        if not self.passed:
            raise AssertionError("\n".join([self.verdict, *map(str, self.failures)]))

    def table(self, width: int = 100) -> str:
        """Return a line per group, then a paragraph per failure with its evidence.

        Args:
            width: Columns of the terminal.
        """
        lines = []
        for group, findings in self.groups.items():
            held = [finding.name for finding in findings if finding.verdict == "pass"]
            failed = sum(finding.verdict == "fail" for finding in findings)
            state = f"{len(held)} hold, {failed} fail" if failed else f"{len(held)} hold"
            lines.append(f"{group} ({MEANINGS[group]}): {state}")
        for finding in self.findings:
            if finding.verdict in ("fail", "expected"):
                lines += ["", *_paragraphs(finding, width)]
        return "\n".join(lines)

    def to_markdown(self) -> str:
        """Return a page: the verdict as heading, and a table of all findings."""
        rows = [
            f"| {finding.group} | {finding.verdict} | {_cell(finding.claim)} | "
            f"{_cell(finding.evidence)} |"
            for finding in self.findings
        ]
        return "\n".join(
            [
                f"# {self.verdict}",
                "",
                "| group | verdict | claim | evidence |",
                "|---|---|---|---|",
                *rows,
                "",
            ]
        )

    def __str__(self) -> str:
        return f"{self.table()}\n\n{self.verdict}"

    def __repr__(self) -> str:
        failed = ", ".join(finding.name for finding in self.failures) or "none"
        return f"CheckResult({self.name!r}, {len(self.findings)} claims, failures: {failed})"


def check(
    factory: Factory,
    *,
    reference: Factory | None = None,
    expected: Mapping[str, str] | None = None,
    only: Iterable[str] | None = None,
    skip: Iterable[str] = (),
    seconds: float | None = None,
    progress: Callable[[int, int, Finding], None] | None = None,
    **how: Any,
) -> list[Finding]:
    """Try claims of the contract and return one finding per claim, in a fixed order.

    Args:
        factory: Builds the optimizer, `factory(params, **overrides)`; overrides are hyperparameters
            such as `lr` or `maximize`, as `functools.partial(MyOptimizer, lr=1e-3)` takes them.
        reference: Builds the optimizer that it should equal step by step; None without one.
        expected: Claims that are known to fail, with the reason. One that holds fails.
        only: Names of the claims or groups to try; all by default.
        skip: Names of claims or groups to leave out.
        seconds: After which a claim counts as failed; None for no limit.
        progress: Called after each claim with (done, total, finding).
        **how: Passed to `catsdogs.contract.probe.learn`.

    Raises:
        CannotBeChecked: If the contract cannot drive what the factory builds.
        ValueError: For the name of a claim that does not exist.
    """
    claims = select(only, skip)
    declared = dict(expected or {})
    select(declared)
    findings = []
    with quiet_torch():
        harness = OptimizerHarness(learn(factory, **how), reference)
        for done, claim in enumerate(claims, start=1):
            finding = judged(claim.try_on(harness, seconds), declared)
            findings.append(finding)
            if progress is not None:
                progress(done, len(claims), finding)
    return findings


def judged(finding: Finding, declared: Mapping[str, str]) -> Finding:
    """Return a finding in the light of the failures that were declared."""
    reason = declared.get(finding.name)
    if reason is None or finding.verdict == "not applicable":
        return finding
    if finding.verdict == "fail":
        evidence = f"declared: {reason}; {finding.evidence}"
        return dataclasses.replace(finding, verdict="expected", evidence=evidence)
    evidence = f"it holds, although it is declared to fail ({reason}): {finding.evidence}"
    return dataclasses.replace(finding, verdict="fail", evidence=evidence)


def select(only: Iterable[str] | None = None, skip: Iterable[str] = ()) -> tuple[Claim, ...]:
    """Return the claims of these names or groups, in the order of the contract.

    Raises:
        ValueError: For a name that is neither.
    """
    chosen, left_out = None if only is None else set(only), set(skip)
    known = BY_NAME.keys() | set(GROUPS)
    for name in sorted((chosen or set()) | left_out):
        if name not in known:
            raise ValueError(f"{name!r} is not a claim and not a group of claims")
    return tuple(
        claim
        for claim in CLAIMS
        if (chosen is None or {claim.name, claim.group} & chosen)
        and not {claim.name, claim.group} & left_out
    )


@contextlib.contextmanager
def quiet_torch() -> Iterator[None]:
    """Compute with one thread inside, and restore torch's threads and random numbers afterwards.

    The tensors are tiny, and waking threads takes longer than the work.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
            yield
    finally:
        torch.set_num_threads(threads)


def _paragraphs(finding: Finding, width: int) -> Sequence[str]:
    head = f"{finding.verdict.upper()} {finding.name} ({finding.group}): {finding.claim}"
    return [
        textwrap.fill(head, width, subsequent_indent=INDENT),
        textwrap.fill(finding.evidence, width, initial_indent=INDENT, subsequent_indent=INDENT),
    ]


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
