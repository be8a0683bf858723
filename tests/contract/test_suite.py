"""Result of `check`, and its behaviour on optimizers that it cannot drive."""

import json
from dataclasses import asdict
from functools import partial
from typing import Any

import pytest
import torch

from catsdogs import optim
from catsdogs.contract import Finding, check
from catsdogs.contract.suite import CLAIMS


def findings_by_name(*args: Any, **kwargs: Any) -> dict[str, Finding]:
    return {finding.name: finding for finding in check(*args, **kwargs)}


def test_every_finding_names_its_claim_in_one_sentence_and_gives_evidence() -> None:
    findings = check(torch.optim.Adam)
    assert [finding.name for finding in findings] == [claim.name for claim in CLAIMS]
    for finding in findings:
        assert finding.claim.endswith(".") and finding.claim.count(". ") == 0
        assert finding.evidence and "\n" not in finding.evidence
        json.dumps(asdict(finding))


def test_progress_is_told_after_every_claim() -> None:
    told = []
    findings = check(torch.optim.SGD, progress=lambda *args: told.append(args))
    assert told == [(n + 1, len(CLAIMS), finding) for n, finding in enumerate(findings)]


def test_claims_without_their_subject_are_not_applicable_and_say_why() -> None:
    findings = findings_by_name(torch.optim.SGD)
    for name in ("takes_betas_as_a_list", "equals_the_reference_in_float64"):
        assert findings[name].verdict == "not applicable"
    assert findings["equals_the_reference_in_float64"].evidence == "no reference was given"


def test_parity_names_the_situation_the_step_and_the_tensor_where_they_part() -> None:
    late_decay = partial(optim.SGD, lr=0.01), partial(torch.optim.AdamW, lr=0.01)
    evidence = findings_by_name(late_decay[0], reference=late_decay[1])[
        "equals_the_reference_in_float64"
    ].evidence
    assert "the given hyperparameters at step 1: weight of tensor 0 (4, 3) differs by" in evidence


def test_parity_with_equal_operations_is_reported_as_bit_for_bit() -> None:
    native = partial(torch.optim.Adam, lr=0.01, foreach=False)
    findings = findings_by_name(partial(optim.Adam, lr=0.01), reference=native)
    for dtype in ("float32", "float64"):
        assert findings[f"equals_the_reference_in_{dtype}"].evidence.startswith("bit for bit")


def test_a_factory_that_builds_nothing_is_refused_with_what_it_said() -> None:
    with pytest.raises(ValueError, match="Invalid lr: -1"):
        check(partial(optim.SGD, lr=-1))


def test_the_state_of_torch_is_as_before_after_a_check() -> None:
    threads, grad = torch.get_num_threads(), torch.is_grad_enabled()
    random = torch.get_rng_state()
    check(torch.optim.SGD)
    assert torch.get_num_threads() == threads
    assert torch.is_grad_enabled() is grad
    assert not torch.are_deterministic_algorithms_enabled()
    assert torch.equal(torch.get_rng_state(), random)
