"""Claims about optimizers, and findings, the results of trying them."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from catsdogs.contract.harness import OptimizerHarness

Verdict = Literal["pass", "fail", "not applicable"]


@dataclass(frozen=True)
class Finding:
    """The result of trying one claim; all fields are plain text, ready for JSON."""

    name: str
    claim: str
    verdict: Verdict
    evidence: str

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
    """

    name: str
    sentence: str
    attempt: Callable[[OptimizerHarness], str]

    def try_on(self, harness: OptimizerHarness) -> Finding:
        """Try the claim; warnings are silenced, since several claims provoke them."""
        verdict: Verdict = "pass"
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                evidence = self.attempt(harness)
        except ClaimFailed as failure:
            verdict, evidence = "fail", str(failure)
        except NotApplicable as reason:
            verdict, evidence = "not applicable", str(reason)
        except Exception as error:  # noqa: BLE001 - the code under test may raise anything
            verdict, evidence = "fail", f"raised {describe(error)}"
        return Finding(self.name, self.sentence, verdict, evidence)


def describe(error: Exception) -> str:
    """Return the type and the first line of an exception."""
    return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}".rstrip(
        ": "
    )


def claim(sentence: str) -> Callable[[Callable[[OptimizerHarness], str]], Claim]:
    """Turn a function into a claim of the same name."""
    return lambda attempt: Claim(attempt.__name__, sentence, attempt)


def require(holds: bool, evidence: str) -> None:
    """Raise `ClaimFailed` with the evidence unless the claim holds."""
    if not holds:
        raise ClaimFailed(evidence)


def closeness(gap: float) -> str:
    """Return a largest difference in words, such as "bit for bit" or "within 2e-16"."""
    return "bit for bit" if gap == 0 else f"within {gap:.0e}"


def require_separable(harness: OptimizerHarness) -> None:
    """Raise `NotApplicable` if the parameters of the optimizer form one model.

    A claim about single parameters calls this first.
    """
    if harness.step_inputs == "samples":
        raise NotApplicable(
            "its parameters are those of one linear model, which are built and updated together"
        )
