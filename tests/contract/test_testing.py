"""Claims as test cases of pytest: their ids and outcomes, and what collecting them costs."""

import contextlib
from functools import partial
from typing import Any

import pytest
import torch

from catsdogs.contract import CannotBeChecked, check, parametrize_with_claims
from catsdogs.contract import testing as contract_testing
from catsdogs.contract.subject import Factory, Subject
from catsdogs.contract.suite import CLAIMS, known_subject, select
from tests.support.foreign_optimizers import Climbing, NeedsAModel, Right

pytest_plugins = ["pytester"]

FILE = """
from catsdogs.contract import parametrize_with_claims
from tests.support.foreign_optimizers import Climbing, NeedsAModel, Right

@parametrize_with_claims(
    [Right, Climbing, NeedsAModel],
    only=["goes_downhill", "starts_downhill", "takes_betas_as_a_list", "survives_pickle"],
    expected={"Climbing": {"starts_downhill": "it climbs", "survives_pickle": "a guess"}},
    strict=STRICT,
)
def test_contract(optimizer, claim):
    claim(optimizer)
"""


def cases(*args: Any, **kwargs: Any) -> dict[str, Any]:
    """Return the parameters of every case by its id."""
    mark = parametrize_with_claims(*args, **kwargs)
    names, parameters = mark.args
    assert names == ("optimizer", "claim")
    return {parameter.id: parameter for parameter in parameters}


def run(case: Any) -> None:
    optimizer, claim = case.values
    claim(optimizer)


@pytest.mark.parametrize("strict", [True, False])
def test_each_claim_is_a_case_that_passes_fails_is_skipped_or_expected_to_fail(
    pytester: pytest.Pytester, strict: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "250")
    pytester.makepyfile(FILE.replace("STRICT", str(strict)))
    done = pytester.runpytest_inprocess("-v", "-rA", "--tb=short", "-p", "no:cacheprovider")
    done.assert_outcomes(
        passed=3,
        failed=3 if strict else 2,
        skipped=5,
        xfailed=1,
        xpassed=0 if strict else 1,
    )
    outcomes = {
        "Right-goes_downhill": "PASSED",
        "Right-takes_betas_as_a_list": "SKIPPED (its constructor takes no betas)",
        "Climbing-goes_downhill": "FAILED",
        "Climbing-starts_downhill": "XFAIL (it climbs)",
        "Climbing-survives_pickle": "FAILED" if strict else "XPASS (a guess)",
        "NeedsAModel-goes_downhill": "FAILED",
        "NeedsAModel-starts_downhill": "SKIPPED (cannot be checked: its constructor raised*",
    }
    for case, outcome in outcomes.items():
        done.stdout.fnmatch_lines(f"*test_contract[[]{case}[]] {outcome}*")
    done.stdout.fnmatch_lines("E   AssertionError: cost from *")
    done.stdout.fnmatch_lines("E   *CannotBeChecked: cannot be checked: its constructor raised *")
    done.stdout.no_fnmatch_line("*catsdogs/contract/testing.py*")


def test_the_evidence_of_a_failure_is_its_message_in_one_line() -> None:
    found = cases([Climbing])
    with pytest.raises(AssertionError) as failure:
        run(found["Climbing-goes_downhill"])
    (finding,) = check(Climbing, only=["goes_downhill"])
    assert str(failure.value) == finding.evidence
    run(found["Climbing-survives_pickle"])


def test_collecting_builds_no_optimizer_and_all_cases_share_the_trial_steps(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    built: list[int] = []
    learned: list[object] = []

    def factory(params: Any, **kwargs: Any) -> torch.optim.Optimizer:
        built.append(1)
        return torch.optim.SGD(params, **kwargs)

    def counted(factory: Factory, **how: Any) -> Subject:
        learned.append(factory)
        return known_subject(factory, **how)

    monkeypatch.setattr(contract_testing, "known_subject", counted)
    found = cases({"sgd": factory, "right": Right}, only=["manners"])
    assert not built
    for case in found.values():
        with contextlib.suppress(pytest.skip.Exception):
            run(case)
    assert built
    assert learned == [factory, Right]


def test_ids_have_the_names_of_classes_or_the_keys_of_a_mapping() -> None:
    names = [claim.name for claim in CLAIMS]
    assert list(cases([Right, partial(Climbing, lr=0.1)])) == [
        f"{optimizer}-{claim}" for optimizer in ("Right", "Climbing") for claim in names
    ]
    few = cases({"a": Right, "b": Right}, only=["state"], skip=["survives_pickle"])
    assert next(iter(few)) == f"a-{select(['state'])[0].name}"
    assert not any("pickle" in name for name in few)


def test_a_reason_for_all_and_one_for_a_class_go_together() -> None:
    found = cases(
        [Right, Climbing],
        expected={"survives_pickle": "for all", "Climbing": {"goes_downhill": "for one"}},
        strict=False,
    )
    marked = {name: [dict(mark.kwargs) for mark in case.marks] for name, case in found.items()}
    common = {"strict": False, "raises": AssertionError}
    assert {name: marks for name, marks in marked.items() if marks} == {
        "Right-survives_pickle": [{"reason": "for all"} | common],
        "Climbing-survives_pickle": [{"reason": "for all"} | common],
        "Climbing-goes_downhill": [{"reason": "for one"} | common],
    }


def test_a_reference_gets_the_settings_of_each_optimizer() -> None:
    found = cases([partial(Right, lr=0.3)], reference=torch.optim.SGD, only=["update"])
    run(found["Right-equals_the_reference_in_float64"])
    other = cases([partial(Right, lr=0.3)], reference=torch.optim.SGD, reference_kwargs={"lr": 0.2})
    with pytest.raises(AssertionError, match="it alone: lr=0.3; the reference alone: lr=0.2"):
        run(other["Right-equals_the_reference_in_float64"])


def test_of_an_optimizer_that_cannot_be_driven_one_case_fails_whichever_runs_first() -> None:
    found = list(cases([NeedsAModel]).values())[::-1]
    with pytest.raises(CannotBeChecked, match="cannot be checked: its constructor raised"):
        run(found[0])
    for case in found[1:]:
        with pytest.raises(pytest.skip.Exception, match="cannot be checked: its constructor"):
            run(case)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"expected": {"goes_downhil": "x"}}, "did you mean goes_downhill?"),
        ({"expected": {"Rigth": {"goes_downhill": "x"}}}, "'Rigth' is not the name of an optim"),
        ({"expected": {"Right": {"uphill": "x"}}}, "'uphill' is not the name of a claim"),
        ({"only": ["uphill"]}, "'uphill' is not the name of a claim"),
    ],
)
def test_a_name_that_does_not_exist_is_refused_when_the_cases_are_made(
    arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message.replace("?", r"\?")):
        parametrize_with_claims([Right], **arguments)


def test_two_optimizers_with_the_name_of_one_class_need_names_of_their_own() -> None:
    with pytest.raises(ValueError, match="give a dict from names instead"):
        parametrize_with_claims([Right, partial(Right, lr=0.1)])
