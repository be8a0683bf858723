"""All claims of the contract, tried on one optimizer."""

import contextlib
import dataclasses
import difflib
import functools
import inspect
import textwrap
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.optim import Optimizer

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
from catsdogs.contract.claims import GROUPS, Claim, Finding, Group, Verdict, describe
from catsdogs.contract.deadline import OutOfTime, deadline
from catsdogs.contract.harness import OptimizerHarness
from catsdogs.contract.probe import learn
from catsdogs.contract.subject import (
    CannotBeChecked,
    Factory,
    Subject,
    class_of,
    name_of,
    takes_any_keyword,
)
from catsdogs.optim.step_inputs import constructor_inputs

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
CLAIMS: tuple[Claim, ...] = tuple(
    value
    for module in MODULES
    for value in vars(module).values()
    # Modules import claims of others, as causes of their own.
    if isinstance(value, Claim) and value.attempt.__module__ == module.__name__
)
BY_NAME = {claim.name: claim for claim in CLAIMS}
DROP_IN: tuple[Group, ...] = ("update", "state")  # a failure of these groups is grave
MEANINGS: dict[Group, str] = {
    "update": "the numbers of a step",
    "state": "saving, loading and copying",
    "use": "schedulers, scalers, hooks, groups, layouts and types",
    "manners": "checks of arguments, and what a step must leave alone",
}
WAYS_TO_COMPUTE = {"foreach", "fused", "capturable", "differentiable"}
"""Options that choose how a step is computed, not what; the reference keeps its own."""
# Samples and batch size with which an optimizer that keeps a table of them is built.
SAMPLES, BATCH_SIZE = 28, 8
INDENT = 4 * " "


@dataclass(frozen=True)
class CheckResult:
    """Findings of the contract for one optimizer. Printed, it is a table with a verdict below.

    Attributes:
        name: Of the optimizer.
        subject: The optimizer, as far as trial steps told: shapes, types, needs, settings.
        findings: One for each claim that was tried, in a fixed order; iterating over the result
            gives the same.
        stopped: Where and why the check was stopped before the other claims; empty if it was not.
    """

    name: str
    subject: Subject
    findings: tuple[Finding, ...]
    stopped: str = ""

    def __iter__(self) -> Iterator[Finding]:
        return iter(self.findings)

    @property
    def passed(self) -> bool:
        """Whether the check came to its end and no claim fails, but for those declared."""
        return not self.stopped and not self.failures

    @property
    def failures(self) -> tuple[Finding, ...]:
        """The findings whose claim fails and was not declared to, the worst group first."""
        return self._having("fail")

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
        return not self.fails(DROP_IN)

    def fails(self, groups: Iterable[Group]) -> bool:
        """Return whether the check was stopped, or an undeclared claim of these groups fails."""
        failed = {finding.group for finding in self.failures}
        return bool(self.stopped) or not failed.isdisjoint(groups)

    @property
    def verdict(self) -> str:
        """One sentence: whether the optimizer is a drop-in replacement, and the counts."""
        judged = "is a drop-in replacement" if self.drop_in else "is not a drop-in replacement"
        if self.drop_in and len(self.findings) < len(CLAIMS):
            judged = "passes the chosen claims of update and state"
        counts = Counter(finding.verdict for finding in self.findings)
        failed = Counter(finding.group for finding in self.failures)
        by_group = ", ".join(f"{failed[group]} of {group}" for group in GROUPS if failed[group])
        tally = [f"{counts['pass']} claims hold", f"{counts['fail']} fail"]
        if by_group:
            tally[-1] += f" ({by_group})"
        if counts["expected"]:
            tally.append(f"{counts['expected']} fail as declared")
        tally.append(f"{counts['not applicable']} do not apply")
        stop = f"; {self.stopped}" if self.stopped else ""
        return f"{self.name} {judged}: {', '.join(tally)}{stop}"

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
            counts = Counter(finding.verdict for finding in findings)
            tally = [f"{counts['pass']} hold"]
            tally += [f"{counts['fail']} fail"] if counts["fail"] else []
            tally += [f"{counts['expected']} declared"] if counts["expected"] else []
            lines.append(f"{group:<9}{', '.join(tally):<20}{MEANINGS[group]}")
        if self.subject.needs:
            lines.append(f"Its steps need {self.subject.needs}.")
        for finding in (*self.failures, *self._having("expected")):
            lines += ["", *_paragraphs(finding, width)]
        return "\n".join(lines)

    def to_markdown(self) -> str:
        """Return a page: the verdict as heading, and a table of all findings."""
        rows = [
            f"| {finding.group} | {finding.verdict} | {cell(finding.claim)} | "
            f"{cell(finding.evidence)} |"
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

    def _having(self, verdict: Verdict) -> tuple[Finding, ...]:
        found = [finding for finding in self.findings if finding.verdict == verdict]
        return tuple(sorted(found, key=lambda finding: GROUPS.index(finding.group)))


def check(
    factory: Factory,
    *,
    reference: Factory | None = None,
    reference_kwargs: Mapping[str, Any] | None = None,
    name: str | None = None,
    expected: Mapping[str, str] | None = None,
    only: Iterable[str] | None = None,
    skip: Iterable[str] = (),
    seconds: float | None = None,
    learned: Callable[[Subject], None] | None = None,
    progress: Callable[[int, int, Finding], None] | None = None,
    **how: Any,
) -> CheckResult:
    """Try claims of the contract on one optimizer.

    Args:
        factory: Builds the optimizer, `factory(params, **overrides)`; overrides are hyperparameters
            such as `lr` or `maximize`, as `functools.partial(MyOptimizer, lr=1e-3)` takes them.
        reference: Builds the optimizer that it should equal step by step; None without one. It gets
            the hyperparameters of `factory` by their common names, see `with_settings_of`.
        reference_kwargs: Hyperparameters of the reference that differ on purpose.
        name: Name in the result; that of the class by default.
        expected: Claims that are known to fail, with the reason. One that holds fails.
        only: Names of the claims or groups to try; all by default.
        skip: Names of claims or groups to leave out.
        seconds: Processor time for all claims together, above 0; None for no limit. A claim that
            takes more than a quarter of it fails. See `catsdogs.contract.deadline`.
        learned: Called with the subject before the first claim.
        progress: Called after each claim with (done, total, finding).
        **how: Passed to `catsdogs.contract.probe.learn`.

    Raises:
        CannotBeChecked: If the contract cannot drive what the factory builds.
        ValueError: For the name of a claim that does not exist, and for a reference that cannot be
            built.
    """
    claims = select(only, skip)
    declared = dict(expected or {})
    require_known(declared, BY_NAME)
    if reference is None and reference_kwargs:
        raise ValueError("reference_kwargs: no reference is given")
    end = time.process_time() + (seconds or 0.0)
    findings: list[Finding] = []
    why = ""
    with quiet_torch():
        subject = known_subject(factory, seconds, **how)
        if learned is not None:
            learned(subject)
        if reference is not None:
            reference = with_settings_of(subject, reference, reference_kwargs or {})
        harness = OptimizerHarness(subject, reference)
        for done, claim in enumerate(claims, start=1):
            finding = judged(claim.try_on(harness, _limit(seconds, end)), declared)
            if seconds is not None and time.process_time() >= end:
                why = stopped(claim, out_of_time(seconds))
                break  # without the finding: the claims before may have taken the time
            findings.append(finding)
            if progress is not None:
                progress(done, len(claims), finding)
    return CheckResult(name or name_of(factory), subject, tuple(findings), why)


def out_of_time(seconds: float) -> str:
    """Return what a check did that was stopped when its time was up, in words."""
    return f"did not end within {seconds:g} s"


def stopped(claim: Claim, reason: str) -> str:
    """Return that a check was stopped while it tried a claim, in words."""
    return f"stopped in {claim.name}, since it {reason}"


def _limit(seconds: float | None, end: float) -> float | None:
    """Return the time limit of a claim: a quarter of the whole, or what is left."""
    if seconds is None:
        return None
    return max(min(seconds / 4, end - time.process_time()), 1e-3)


def known_subject(
    factory: Factory,
    seconds: float | None = None,
    *,
    device: torch.device | str = "cpu",
    dtypes: Sequence[torch.dtype] | None = None,
    **how: Any,
) -> Subject:
    """Return what trial steps tell about an optimizer.

    Args:
        factory: Builds the optimizer.
        seconds: Time limit; None for no limit.
        device: Of all tensors.
        dtypes: The types of parameters to try; all by default.
        **how: Passed to `catsdogs.contract.probe.learn`.

    Raises:
        CannotBeChecked: If the optimizer cannot be driven.
        ValueError: For types without float64 and float32, and for a device that cannot be used.
    """
    if dtypes is not None and not {torch.float64, torch.float32} & set(dtypes):
        raise ValueError(f"dtypes={list(dtypes)}: one must be float64 or float32")
    try:
        torch.zeros((), device=device)
    except Exception as error:
        raise ValueError(f"device={device}: cannot be used ({describe(error)})") from error
    try:
        with deadline(seconds):
            return learn(completed(factory), device=device, dtypes=dtypes, **how)
    except OutOfTime:
        raise CannotBeChecked(f"a trial step did not end within {seconds:g} s") from None


def completed(factory: Factory) -> Factory:
    """Return a factory that knows how many samples there are, if its optimizer must know that."""
    inputs = constructor_inputs(class_of(factory), SAMPLES, BATCH_SIZE)
    given = factory.keywords if isinstance(factory, functools.partial) else {}
    missing = {name: value for name, value in inputs.items() if name not in given}
    return functools.partial(factory, **missing) if missing else factory


def with_settings_of(subject: Subject, reference: Factory, given: Mapping[str, Any]) -> Factory:
    """Return a reference that gets a subject's hyperparameters by their common names.

    Those that only choose how a step is computed, such as `foreach`, stay the reference's own.

    Args:
        subject: The optimizer that is checked.
        reference: Builds the reference. Its own values count for the hyperparameters that the
            subject does not take.
        given: Hyperparameters of the reference that override the subject's.

    Raises:
        ValueError: If the reference cannot be built with them.
    """
    weights = OptimizerHarness(subject).weights()
    settings = dict(given)
    try:
        complete = completed(reference)
        names = set(list(inspect.signature(class_of(reference)).parameters)[1:])
        if takes_any_keyword(reference):
            names |= functools.partial(complete, **given)(weights).defaults.keys()
        for name in subject.settings.keys() & names - WAYS_TO_COMPUTE:
            settings.setdefault(name, subject.settings[name])
        complete = functools.partial(complete, **settings)
        built: object = complete(weights)  # a factory may return anything
    except Exception as error:
        said = ", ".join(f"{name}={value}" for name, value in sorted(settings.items()))
        raise ValueError(
            f"reference: cannot be built with {said or 'its own settings'} ({describe(error)}); "
            "set its own with reference_kwargs"
        ) from error
    if not isinstance(built, Optimizer):
        raise ValueError(f"reference: a {type(built).__name__}, not a torch.optim.Optimizer")
    return complete


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
    require_known((chosen or set()) | left_out, [*GROUPS, *BY_NAME])
    return tuple(
        claim
        for claim in CLAIMS
        if (chosen is None or {claim.name, claim.group} & chosen)
        and not {claim.name, claim.group} & left_out
    )


def require_known(names: Iterable[str], known: Iterable[str]) -> None:
    """Refuse the name of a claim, or of a group of claims, that does not exist.

    Raises:
        ValueError: With the nearest name that exists.
    """
    known = list(known)
    for name in sorted(names):
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise ValueError(f"{name!r} is not the name of a claim{hint}")


@contextlib.contextmanager
def quiet_torch() -> Iterator[None]:
    """Compute with one thread inside, and restore torch's settings and random numbers afterwards.

    The tensors are tiny, and waking threads takes longer than the work.
    """
    with side_effects.restored_settings(), side_effects.restored_generators():
        torch.set_num_threads(1)
        yield


def _paragraphs(finding: Finding, width: int) -> Sequence[str]:
    head = f"{finding.verdict.upper()} {finding.name} ({finding.group}): {finding.claim}"
    return [
        textwrap.fill(head, width, subsequent_indent=INDENT),
        textwrap.fill(finding.evidence, width, initial_indent=INDENT, subsequent_indent=INDENT),
    ]


def cell(text: str) -> str:
    """Return a text as a cell of a Markdown table."""
    return text.replace("|", "\\|")
