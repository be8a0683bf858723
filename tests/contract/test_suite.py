"""Result of `check`, and its behaviour on optimizers that it cannot drive."""

import json
import time
from dataclasses import asdict
from functools import partial
from typing import Any

import pytest
import torch

from catsdogs import optim
from catsdogs.contract import CannotBeChecked, Finding, check
from catsdogs.contract.claims import GROUPS
from catsdogs.contract.suite import CLAIMS
from catsdogs.optim import PublishedAdam
from tests.support.foreign_optimizers import Climbing, Rude

PARITY = "equals_the_reference_in_float64"


class Slow(torch.optim.SGD):
    """Takes forever to load a state, in Python code."""

    def load_state_dict(self, state_dict: Any) -> None:
        while True:
            pass


def thin_adam(params: Any, **kwargs: Any) -> torch.optim.Adam:
    """Take Adam's hyperparameters without naming them."""
    return torch.optim.Adam(params, **kwargs)


def findings_by_name(*args: Any, **kwargs: Any) -> dict[str, Finding]:
    return {finding.name: finding for finding in check(*args, **kwargs)}


def test_every_finding_names_its_claim_in_one_sentence_and_gives_evidence() -> None:
    result = check(torch.optim.Adam)
    assert [finding.name for finding in result] == [claim.name for claim in CLAIMS]
    assert tuple(result) == result.findings
    for finding in result.findings:
        assert finding.claim.endswith(".") and finding.claim.count(". ") == 0
        assert finding.evidence and "\n" not in finding.evidence
        json.dumps(asdict(finding))


def test_no_claim_is_tried_twice() -> None:
    assert len({claim.name for claim in CLAIMS}) == len(CLAIMS)


def test_progress_is_told_after_every_claim() -> None:
    told = []
    result = check(torch.optim.SGD, progress=lambda *args: told.append(args))
    assert told == [(n + 1, len(CLAIMS), finding) for n, finding in enumerate(result)]


def test_claims_without_their_subject_are_not_applicable_and_say_why() -> None:
    findings = findings_by_name(torch.optim.SGD)
    for name in ("takes_betas_as_a_list", "equals_the_reference_in_float64"):
        assert findings[name].verdict == "not applicable"
    assert findings["equals_the_reference_in_float64"].evidence == "no reference was given"


def test_parity_names_the_situation_the_step_and_the_tensor_where_they_part() -> None:
    decayed = partial(optim.SGD, lr=0.01, weight_decay=0.1)
    evidence = findings_by_name(decayed, reference=torch.optim.AdamW)[PARITY].evidence
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


@pytest.mark.parametrize(
    "reference",
    [
        torch.optim.Adam,
        partial(torch.optim.Adam, lr=0.1, betas=(0.5, 0.5)),
        partial(torch.optim.Adam, foreach=True),
        thin_adam,
        partial(thin_adam, lr=0.1),
    ],
)
def test_the_reference_gets_the_hyperparameters_by_their_common_names(reference: Any) -> None:
    ours = partial(optim.Adam, lr=0.02, betas=(0.8, 0.9), weight_decay=0.1)
    for subject in (ours, partial(thin_adam, lr=0.02, weight_decay=0.1)):
        finding = findings_by_name(subject, reference=reference, only=["update"])[PARITY]
        assert finding.verdict == "pass", finding.evidence
        assert "lr=0.02" in finding.evidence and "weight_decay=0.1" in finding.evidence


def test_options_that_choose_how_a_step_is_computed_stay_those_of_the_reference() -> None:
    ours = partial(torch.optim.Adam, foreach=True)
    evidence = findings_by_name(ours, reference=torch.optim.Adam)[PARITY].evidence
    assert "it alone: foreach=True; the reference alone: foreach=None" in evidence


def test_hyperparameters_unknown_to_the_reference_do_not_reach_it() -> None:
    ours = partial(torch.optim.SGD, lr=0.1, momentum=0.0)
    result = check(ours, reference=torch.optim.Adadelta, only=[PARITY])
    assert "it alone: momentum=0.0" in result.findings[0].evidence
    assert result.failures


def test_hyperparameters_of_the_reference_alone_override_and_are_named() -> None:
    ours = partial(torch.optim.Adam, lr=0.01)
    given = {"reference": torch.optim.Adam, "reference_kwargs": {"lr": 0.02, "eps": 1e-3}}
    finding = findings_by_name(ours, **given)[PARITY]
    assert finding.verdict == "fail"
    assert "it alone: lr=0.01, eps=1e-08" in finding.evidence
    assert "the reference alone: lr=0.02, eps=0.001" in finding.evidence


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"reference": torch.optim.SGD, "reference_kwargs": {"x": 1}}, "x=1.* unexpected keyword"),
        ({"reference": torch.nn.ReLU}, "reference: a ReLU, not a torch.optim.Optimizer"),
        ({"reference_kwargs": {"lr": 1}}, "no reference is given"),
        ({"only": ["updates"]}, "'updates' is not the name of a claim; did you mean update?"),
        ({"skip": ["no such"]}, "'no such' is not the name of a claim$"),
        ({"expected": {"update": "a group"}}, "'update' is not the name of a claim"),
        ({"dtypes": [torch.bfloat16]}, "one must be float64 or float32"),
        ({"device": "nowhere"}, "device=nowhere: cannot be used"),
    ],
)
def test_a_wrong_argument_is_refused_with_its_name(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message.replace("?", r"\?")) as error:
        check(torch.optim.SGD, **arguments)
    assert not isinstance(error.value, CannotBeChecked)


def test_a_claim_is_chosen_by_its_name_or_its_group() -> None:
    chosen = check(torch.optim.SGD, only=["goes_downhill", "state"], skip=["survives_pickle"])
    names = [finding.name for finding in chosen]
    state = [claim.name for claim in CLAIMS if claim.group == "state"]
    assert set(names) == {"goes_downhill", *state} - {"survives_pickle"}
    assert chosen.passed
    assert "SGD passes the chosen claims of update and state: " in chosen.verdict


def test_a_declared_failure_is_none_and_one_that_does_not_happen_is() -> None:
    expected = {"goes_downhill": "it climbs", "survives_pickle": "a guess", PARITY: "no reference"}
    result = check(partial(Climbing, lr=0.01), expected=expected)
    found = {finding.name: finding for finding in result}
    assert found["goes_downhill"].verdict == "expected"
    assert found["goes_downhill"].evidence.startswith("declared: it climbs; ")
    assert found["goes_downhill"] not in result.failures
    assert found["survives_pickle"] in result.failures
    assert found["survives_pickle"].evidence.startswith(
        "it holds, although it is declared to fail (a guess): "
    )
    assert found[PARITY].verdict == "not applicable"
    assert "1 fail as declared" in result.verdict


def test_a_result_gives_its_failures_by_group_the_worst_first() -> None:
    result = check(partial(PublishedAdam, lr=0.01), name="mine")
    order = [GROUPS.index(finding.group) for finding in result.failures]
    assert order == sorted(order)
    assert set(order) == {0, 1, 2, 3}
    assert list(result.groups) == list(GROUPS)
    assert sorted(map(str, result)) == sorted(map(str, sum(result.groups.values(), ())))
    assert repr(result).startswith(f"CheckResult('mine', {len(CLAIMS)} claims, failures: ")
    assert len(repr(result).splitlines()) == 1
    assert result.verdict.startswith("mine is not a drop-in replacement: ")
    with pytest.raises(AssertionError, match="mine is not a drop-in replacement") as failed:
        result.raise_for_failures()
    assert all(finding.evidence in str(failed.value) for finding in result.failures)
    shown = str(result)
    places = [shown.index(f"FAIL {finding.name} ") for finding in result.failures]
    assert places == sorted(places)
    assert result.to_markdown().count("\n| ") == len(CLAIMS) + 1


def test_a_result_without_failures_raises_nothing_and_names_what_the_steps_need() -> None:
    result = check(torch.optim.LBFGS, only=["goes_downhill"])
    result.raise_for_failures()
    assert "Its steps need a closure." in str(result)


def test_failures_of_use_and_manners_leave_a_drop_in_replacement() -> None:
    result = check(Rude)
    assert {finding.group for finding in result.failures} == {"manners"}
    assert result.drop_in and not result.passed
    assert "Rude is a drop-in replacement: " in result.verdict


def test_a_claim_may_take_a_quarter_of_the_time_and_the_check_ends_in_time() -> None:
    started = time.process_time()
    result = check(Slow, only=["state"], seconds=4)
    assert time.process_time() - started < 6
    assert result.failures[0].evidence == "did not end within 1 s"
    assert result.stopped.startswith("stopped in ")
    assert result.stopped.endswith(", since it did not end within 4 s")
    assert len(result.findings) < len([claim for claim in CLAIMS if claim.group == "state"])
    assert not result.passed and not result.drop_in


def test_without_a_limit_that_is_near_nothing_is_stopped() -> None:
    assert check(torch.optim.SGD, seconds=120).stopped == ""
