"""The contract sees every mutant, with the claim that names its defect."""

import pytest

from catsdogs.contract import check
from catsdogs.contract.suite import CLAIMS
from tests.support.mutants import MUTANTS


@pytest.mark.parametrize("name", MUTANTS)
def test_every_mutant_breaks_the_claim_that_names_its_defect(name: str) -> None:
    mutant = MUTANTS[name]
    findings = check(mutant.factory, reference=mutant.reference)
    failed = {finding.name: finding.evidence for finding in findings if finding.verdict == "fail"}
    assert mutant.seen_by in failed, failed


def test_every_claim_is_broken_by_some_mutant() -> None:
    needed = {claim.name for claim in CLAIMS}
    seen = {mutant.seen_by for mutant in MUTANTS.values()}
    assert needed - seen == {
        "equals_the_reference_in_float32",  # float64 sees the same mistakes, and smaller ones
    }
