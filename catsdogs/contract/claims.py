"""Claims about optimizers, and findings, the results of trying them."""

import dataclasses
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import torch

from catsdogs.contract.deadline import OutOfTime, deadline
from catsdogs.contract.harness import OptimizerHarness

Verdict = Literal["pass", "fail", "expected", "not applicable"]
Group = Literal["update", "state", "use", "manners"]
GROUPS: tuple[Group, ...] = get_args(Group)
"""From the worst to the mildest: the numbers are wrong; training cannot be resumed or copied; it
does not work with schedulers, scalers, hooks, groups or layouts; arguments are not checked."""


@dataclass(frozen=True)
class Finding:
    """The result of trying one claim; all fields are plain text, ready for JSON.

    Attributes:
        name: Of the claim.
        claim: Its sentence.
        verdict: `expected` for a claim that fails as declared.
        evidence: What was seen, in one line.
        group: How grave a failure is.
    """

    name: str
    claim: str
    verdict: Verdict
    evidence: str
    group: Group

    def __str__(self) -> str:
        return f"{self.verdict.upper():<14} {self.name}: {self.claim} [{self.evidence}]"


class ClaimFailed(Exception):
    """The claim does not hold; the message is the evidence."""


class NotApplicable(Exception):
    """The claim does not apply to this optimizer; the message is the reason."""


@dataclass(frozen=True)
class Claim:
    """A sentence that must hold, and the function that tries it.

    The function returns the evidence, or raises `ClaimFailed` or `NotApplicable` with it. Any other
    exception counts as a failure too: the claim could not be tried.

    Attributes:
        name: Of the function.
        sentence: What must hold.
        group: How grave a failure is.
        attempt: The function.
        causes: Claims whose failure explains a failure of this one, which then does not apply: one
            defect is one finding. An exception is explained by another of the same type alone.
    """

    name: str
    sentence: str
    group: Group
    attempt: Callable[[OptimizerHarness], str]
    causes: tuple["Claim", ...] = ()

    def try_on(self, harness: OptimizerHarness, seconds: float | None = None) -> Finding:
        """Try the claim; warnings are silenced, since several claims provoke them.

        Args:
            harness: Drives the optimizer.
            seconds: After which the claim counts as failed; None for no limit.
        """
        finding, said = self._tried(harness, seconds)
        known = self._cause(harness, said, seconds) if finding.verdict == "fail" else None
        if known is None:
            return finding
        evidence = f"it fails {known.name}: {known.evidence}"
        return dataclasses.replace(finding, verdict="not applicable", evidence=evidence)

    def _tried(self, harness: OptimizerHarness, seconds: float | None) -> tuple[Finding, str]:
        """Try the claim, and return the type of the exception in words if that is why it fails."""
        verdict: Verdict = "pass"
        said = ""
        try:
            with warnings.catch_warnings(), deadline(seconds):
                warnings.simplefilter("ignore")
                evidence = self.attempt(harness)
        except ClaimFailed as failure:
            verdict, evidence = "fail", str(failure)
        except NotApplicable as reason:
            verdict, evidence = "not applicable", str(reason)
        except OutOfTime:
            verdict, evidence = "fail", f"did not end within {seconds:g} s"
        except Exception as error:  # noqa: BLE001 - the code under test may raise anything
            said = f"raised {type(error).__name__}"
            verdict, evidence = "fail", f"raised {describe(error)}{_place(error)}"
        return Finding(self.name, self.sentence, verdict, one_line(evidence), self.group), said

    def _cause(self, harness: OptimizerHarness, said: str, seconds: float | None) -> Finding | None:
        """Return the failure that explains one of this claim, or None."""
        for cause in self.causes:
            finding, its_own = cause._tried(harness, seconds)
            if finding.verdict == "fail" and said in finding.evidence:
                return cause._cause(harness, its_own, seconds) or finding
        return None


def describe(error: BaseException) -> str:
    """Return the type and the first line of an exception."""
    said = str(error).strip()
    return f"{type(error).__name__}: {said.splitlines()[0] if said else ''}".rstrip(": ")


def one_line(text: str) -> str:
    """Return a text with runs of white space, line breaks among them, as single spaces."""
    return " ".join(text.split())


def claim(
    sentence: str, group: Group, causes: tuple[Claim, ...] = ()
) -> Callable[[Callable[[OptimizerHarness], str]], Claim]:
    """Turn a function into a claim of the same name."""
    return lambda attempt: Claim(attempt.__name__, sentence, group, attempt, causes)


def require(holds: bool, evidence: str) -> None:
    """Raise `ClaimFailed` with the evidence unless the claim holds."""
    if not holds:
        raise ClaimFailed(evidence)


def closeness(gap: float) -> str:
    """Return a largest difference in words, such as "bit for bit" or "within 2e-16"."""
    return "bit for bit" if gap == 0 else f"within {gap:.0e}"


def require_separable(harness: OptimizerHarness) -> None:
    """Raise `NotApplicable` if a parameter's update depends on which others there are.

    A claim that compares runs of different sets of parameters calls this first.
    """
    if harness.step_inputs == "samples":
        raise NotApplicable(
            "its parameters are those of one linear model, which are built and updated together"
        )
    if harness.subject.coupled:
        raise NotApplicable(f"its parameters are updated together: {harness.subject.coupled}")
    if harness.subject.random:
        raise NotApplicable("its steps draw random numbers, which depend on the parameters before")


def require_plain_parameters(harness: OptimizerHarness) -> None:
    """Raise `NotApplicable` if the optimizer is not built from parameters."""
    if harness.build_from != "parameters":
        raise NotApplicable(f"it is built from {harness.build_from}, not from parameters")


def require_setting(harness: OptimizerHarness, name: str) -> None:
    """Raise `NotApplicable` unless the constructor takes a hyperparameter of this name."""
    if name in harness.settings:
        return
    where = " (its groups have one)" if name in harness.subject.defaults else ""
    raise NotApplicable(f"its constructor takes no {name}{where}")


def require_scalable(harness: OptimizerHarness) -> None:
    """Raise `NotApplicable` if the steps need more than a gradient scaler gives, or no float32."""
    subject = harness.subject
    if subject.closure or subject.create_graph or subject.needs_no_grad:
        raise NotApplicable(f"its steps need {subject.needs}, which a scaler has not")
    if torch.float32 not in subject.dtypes:
        raise NotApplicable("it does not step on float32")


def learning_rate(harness: OptimizerHarness) -> float:
    """Return the learning rate that the optimizer is built with.

    Raises:
        NotApplicable: If its constructor takes none, or None.
    """
    require_setting(harness, "lr")
    value = harness.settings["lr"]
    try:
        return float(value)
    except (TypeError, ValueError):
        raise NotApplicable(f"its lr is {value!r}: it finds its own") from None


def _place(error: BaseException) -> str:
    """Return where an exception of the code under test came from, such as " (lion.py:31)"."""
    package = str(Path(__file__).parents[1])
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith((package, "<"))
        and "/torch/" not in frame.filename.replace("\\", "/")
    ]
    return f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
