"""Mutants: the claim that names a defect fails on the optimizer that has it."""

import pytest

from catsdogs.contract import check
from catsdogs.contract.suite import CLAIMS
from tests.support.mutants import MUTANTS


@pytest.mark.parametrize("name", [n for n, mutant in MUTANTS.items() if mutant.device == "cpu"])
def test_the_claim_that_names_the_defect_of_a_mutant_fails(name: str) -> None:
    mutant = MUTANTS[name]
    (finding,) = check(mutant.factory, reference=mutant.reference, only=[mutant.seen_by])
    assert finding.verdict == "fail", finding


def test_every_claim_fails_on_some_mutant() -> None:
    needed = {claim.name for claim in CLAIMS}
    seen = {mutant.seen_by for mutant in MUTANTS.values()}
    assert needed - seen == {
        "equals_the_reference_in_float32",  # float64 reveals the same mistakes and smaller ones
    }
    assert seen <= needed
