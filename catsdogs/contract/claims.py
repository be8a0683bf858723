"""Claims about optimizers, and what was found when one was tried."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from catsdogs.contract.harness import OptimizerHarness

Verdict = Literal["pass", "fail", "not applicable"]


@dataclass(frozen=True)
class Finding:
    """What one claim came to; every field is plain text, so it goes into JSON as it is."""

    name: str
    claim: str
    verdict: Verdict
    evidence: str

    def __str__(self) -> str:
        return f"{self.verdict.upper():<14} {self.name}: {self.claim} [{self.evidence}]"


class ClaimFailed(Exception):
    """The claim does not hold; the message is the evidence."""


class NotApplicable(Exception):
    """The claim says nothing about this optimizer; the message is the reason."""


@dataclass(frozen=True)
class Claim:
    """One sentence that must hold, and the function that tries it.

    The function returns the evidence, or raises `ClaimFailed` or `NotApplicable` with it. Any other
    exception means that the claim could not even be tried, which is a failure as well.
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
        except ClaimFailed as broken:
            verdict, evidence = "fail", str(broken)
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
    """Turn a function into a claim with its name."""
    return lambda attempt: Claim(attempt.__name__, sentence, attempt)


def require(holds: bool, evidence: str) -> None:
    """Raise `ClaimFailed` with the evidence unless the claim holds."""
    if not holds:
        raise ClaimFailed(evidence)


def require_separable(harness: OptimizerHarness) -> None:
    """Leave out a claim about single parameters where all of them are one model."""
    if harness.step_inputs == "samples":
        raise NotApplicable(
            "it is told samples of one linear model, whose parameters are built and move together"
        )
