"""Checks in processes of their own, and the optimizers of a module."""

import types
from functools import partial

import pytest
import torch

from catsdogs.contract import CannotBeChecked, CheckResult, check
from catsdogs.contract.batch import check_in_processes, optimizers_of
from catsdogs.contract.subject import Factory
from catsdogs.contract.suite import CLAIMS
from tests.support import foreign_optimizers
from tests.support.foreign_optimizers import Climbing, Crashing, Endless, NeedsAModel, Right

FACTORIES: dict[str, Factory] = {"right": Right, "climbing": partial(Climbing, lr=0.01)}


def test_a_check_in_a_process_finds_what_one_in_this_process_finds() -> None:
    told: list[tuple[int, int]] = []
    results = check_in_processes(
        FACTORIES, jobs=2, reference=torch.optim.SGD, progress=lambda *args: told.append(args)
    )
    for name, factory in FACTORIES.items():
        here = check(factory, name=name, reference=torch.optim.SGD)
        found = results[name]
        assert isinstance(found, CheckResult)
        assert found.findings == here.findings
        assert found.verdict == here.verdict
        for fact in ("shapes", "dtypes", "settings", "needs", "waiting", "tolerance"):
            assert getattr(found.subject, fact) == getattr(here.subject, fact), fact
    assert list(results) == ["right", "climbing"]
    assert told[-1] == (2 * len(CLAIMS),) * 2
    assert told == sorted(told)


def test_a_crash_fails_the_claim_in_which_it_happens_and_stops_the_check() -> None:
    found = check_in_processes({"crashing": Crashing}, quiet=True)["crashing"]
    assert isinstance(found, CheckResult)
    (failure,) = found.failures
    assert failure.evidence == "was ended by signal 9 (Killed)"
    assert failure == found.findings[-1]
    assert found.stopped == f"stopped in {failure.name}, since it was ended by signal 9 (Killed)"
    assert not found.passed and not found.drop_in
    assert found.verdict.endswith(found.stopped)
    others = {claim.name for claim in CLAIMS} - {finding.name for finding in found.findings}
    assert "survives_pickle" in others


def test_a_crash_that_is_declared_does_not_fail_but_stops_the_check() -> None:
    undeclared = check_in_processes({"crashing": Crashing}, quiet=True)["crashing"]
    assert isinstance(undeclared, CheckResult)
    expected = {"crashing": {undeclared.failures[0].name: "no states"}}
    results = check_in_processes({"crashing": Crashing}, quiet=True, expected=expected)
    found = results["crashing"]
    assert isinstance(found, CheckResult)
    assert found.failures == ()
    assert found.findings[-1].verdict == "expected"
    assert found.stopped and not found.passed


def test_a_step_that_never_returns_is_cut_off_and_said() -> None:
    found = check_in_processes({"endless": Endless}, seconds=1.5)["endless"]
    assert isinstance(found, CannotBeChecked)
    assert str(found) == "a trial step did not end within 1.5 s"


def test_an_optimizer_that_cannot_be_built_does_not_keep_the_others_from_their_check() -> None:
    found = check_in_processes({"model": NeedsAModel, "right": Right}, only=["manners"])
    assert isinstance(found["model"], CannotBeChecked)
    assert "missing 1 required positional argument: 'model'" in str(found["model"])
    assert isinstance(found["right"], CheckResult)


def test_a_wrong_argument_is_raised_here() -> None:
    with pytest.raises(ValueError, match="reference: cannot be built with .*surprise=1"):
        check_in_processes(
            {"right": Right}, reference=torch.optim.SGD, reference_kwargs={"surprise": 1}
        )


def test_the_optimizers_of_a_module_are_its_own_classes_with_a_step_each_once() -> None:
    assert list(optimizers_of(foreign_optimizers)) == [
        "Climbing",
        "Crashing",
        "Endless",
        "Narrow",
        "NeedsAModel",
        "Right",
        "Rude",
    ]


def test_without_a_list_the_public_names_of_a_module_count() -> None:
    module = types.ModuleType("tests.of_a_library")
    vars(module).update(Right=Right, _Climbing=Climbing, Adam=torch.optim.Adam, torch=torch)
    assert optimizers_of(module) == {"Right": Right}


def test_the_optimizers_of_torch_are_all_found() -> None:
    names = list(optimizers_of(torch.optim))
    assert {"Adam", "LBFGS", "SparseAdam"} <= set(names)
    assert "Optimizer" not in names
    assert names == sorted(names)
