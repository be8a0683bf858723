"""Unusual but legal optimizers have no failing claim, or exactly those that a reader expects."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.optim import SGD, Optimizer

from catsdogs.contract import CannotBeChecked, check
from catsdogs.contract.claims import GROUPS
from catsdogs.contract.harness import OptimizerHarness
from catsdogs.contract.probe import learn
from catsdogs.contract.suite import BY_NAME, CLAIMS
from tests.support.descent import Descent, Group
from tests.support.mutants import MUTANTS
from tests.support.mutants.parameters import PlainSGD
from tests.support.mutants.state_dict import PlainMomentum

Factory = Callable[..., Optimizer]


class FindsItsOwnRate(Descent):
    """lr=None leaves the rate to the optimizer, as in Adafactor."""

    def __init__(self, params: Any, lr: float | None = None) -> None:
        super().__init__(params, lr)

    def move(self, param: Tensor, grad: Tensor, group: Group) -> None:
        state = self.state[param]
        state["step"] = state.get("step", 0) + 1
        rate = group["lr"] if group["lr"] is not None else 0.01 / state["step"] ** 0.5
        param.add_(grad, alpha=-float(rate))


class NamesItsBeta(Descent):
    """The decay rate is beta1, so that a scheduler cannot cycle it."""

    def __init__(self, params: Any, lr: float = 0.01, beta1: float = 0.9) -> None:
        super().__init__(params, lr, beta1=beta1)

    def move(self, param: Tensor, grad: Tensor, group: Group) -> None:
        average = self.state[param].setdefault("average", torch.zeros_like(param))
        average.lerp_(grad, 1 - group["beta1"])
        super().move(param, average, group)


class ThreeBetas(Descent):
    """There are three decay rates, as in Adan."""

    def __init__(self, params: Any, lr: float = 0.01, betas: Any = (0.9, 0.99, 0.5)) -> None:
        if not all(0 <= beta < 1 for beta in betas):
            raise ValueError(f"Invalid betas: {betas}")
        super().__init__(params, lr, betas=tuple(betas))

    def move(self, param: Tensor, grad: Tensor, group: Group) -> None:
        total = torch.zeros_like(param)
        for number, beta in enumerate(group["betas"]):
            average = self.state[param].setdefault(f"average{number}", torch.zeros_like(param))
            total += average.lerp_(grad, 1 - beta)
        super().move(param, total, group)


class DecaysWithoutLr(Descent):
    """Weights shrink by weight_decay, which lr does not multiply, as in the paper on AdamW."""

    def __init__(self, params: Any, lr: float = 0.01, weight_decay: float = 0.0) -> None:
        if weight_decay < 0:
            raise ValueError(f"Invalid weight_decay: {weight_decay}")
        super().__init__(params, lr, weight_decay=weight_decay)

    def move(self, param: Tensor, grad: Tensor, group: Group) -> None:
        param.mul_(1 - group["weight_decay"])
        super().move(param, grad, group)


class NeedsAClosure(Descent):
    """A step needs a closure, as in LBFGS."""

    def step(self, closure: Any = None) -> Any:
        assert closure is not None, "a step needs a closure"
        return super().step(closure)


class WantsTrainMode(Descent):
    """A step needs a call of train() first, as in schedule-free optimizers."""

    def __init__(self, params: Any, lr: float = 0.01) -> None:
        super().__init__(params, lr, train_mode=False)

    def train(self) -> None:
        """Allow steps."""
        for group in self.param_groups:
            group["train_mode"] = True

    def move(self, param: Tensor, grad: Tensor, group: Group) -> None:
        if not self.param_groups[0]["train_mode"]:
            raise Exception("call train() first")
        super().move(param, grad, group)


class AssertsMatrices(Descent):
    """The constructor asserts that parameters are matrices."""

    def __init__(self, params: Any, lr: float = 0.01) -> None:
        super().__init__(params, lr)
        assert all(param.ndim == 2 for group in self.param_groups for param in group["params"])


class RefusesAllButMatrices(Descent):
    """Parameters that are not matrices are refused, as in Muon."""

    def add_param_group(self, param_group: Group) -> None:
        super().add_param_group(param_group)
        if any(param.ndim != 2 for param in self.param_groups[-1]["params"]):
            raise ValueError("only matrices are supported")


class NeedsTotalSteps(Descent):
    """The constructor needs an argument besides the parameters."""

    def __init__(self, params: Any, total_steps: int, lr: float = 0.01) -> None:
        super().__init__(params, lr, total_steps=total_steps)


class OldZeroGrad(Descent):
    """zero_grad has no set_to_none, as in old versions of torch."""

    def zero_grad(self) -> None:  # type: ignore[override]
        """Set gradients to zero."""
        for group in self.param_groups:
            for param in group["params"]:
                if param.grad is not None:
                    param.grad.zero_()


class CountsPerGroup(Descent):
    """The steps are counted in the group, and rates fall with the count."""

    def step(self, closure: Any = None) -> Any:
        for group in self.param_groups:
            group["step"] = group.get("step", 0) + 1
        return super().step(closure)

    def move(self, param: Tensor, grad: Tensor, group: Group) -> None:
        super().move(param, grad / group["step"], group)


class LoadsForItsInner(Descent):
    """A wrapper shares its groups and its state with an inner optimizer, also after loading."""

    def __init__(self, params: Any, lr: float = 0.01) -> None:
        super().__init__(params, lr)
        self.inner = SGD(self.param_groups, lr=lr, momentum=0.9)
        self._share()

    def add_param_group(self, param_group: Group) -> None:
        inner = self.__dict__.get("inner", super())
        inner.add_param_group(param_group)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        self._share()

    def step(self, closure: Any = None) -> Any:
        return self.inner.step(closure)

    def _share(self) -> None:
        self.inner.param_groups, self.inner.state = self.param_groups, self.state


class RoundsInAnotherWay(Descent):
    """The steps of some objects round in another way, as kernels do on memory elsewhere."""

    others = 0  # number of next objects

    def __init__(self, params: Any, lr: float = 0.01) -> None:
        super().__init__(params, lr)
        self.factor = 1 + 1e-6 * (RoundsInAnotherWay.others > 0)
        RoundsInAnotherWay.others -= 1

    def move(self, param: Tensor, grad: Tensor, group: Group) -> None:
        super().move(param, self.factor * grad, group)


def function(params: Any, lr: float = 0.01) -> Optimizer:
    return SGD(params, lr=lr)


HABITS: dict[str, tuple[Factory, set[str]]] = {
    "plain_sgd": (PlainSGD, set()),
    "plain_momentum": (PlainMomentum, set()),
    "finds_its_own_rate": (FindsItsOwnRate, set()),
    "names_its_beta": (NamesItsBeta, set()),
    "three_betas": (ThreeBetas, set()),
    "decays_without_lr": (DecaysWithoutLr, set()),
    "needs_a_closure": (NeedsAClosure, set()),
    "wants_train_mode": (WantsTrainMode, set()),
    "asserts_matrices": (AssertsMatrices, set()),
    "refuses_all_but_matrices": (RefusesAllButMatrices, set()),
    "function": (function, set()),
    "needs_total_steps": (partial(NeedsTotalSteps, total_steps=100), set()),
    "old_zero_grad": (OldZeroGrad, {"clears_gradients"}),
    "counts_per_group": (CountsPerGroup, {"starts_a_late_parameter_from_its_own_first_step"}),
    # torch copies the state and the groups of an optimizer, and no attribute such as `inner`.
    "loads_for_its_inner": (LoadsForItsInner, {"survives_deepcopy"}),
}


@pytest.mark.parametrize("name", HABITS)
def test_a_legal_habit_has_exactly_the_findings_that_a_reader_expects(name: str) -> None:
    factory, expected = HABITS[name]
    failed = {f.name: f.evidence for f in check(factory) if f.verdict == "fail"}
    assert failed.keys() == expected, failed


# Each of these has many consequences: it cannot be resumed in one way and so in no other.
ONE_FINDING = (
    "SGDStepsTheFirstGroup",
    "SGDStopsAtAFrozenGroup",
    "SGDNormalizesTheGradientsOfAGroup",
    "MomentumKeepsTrainableAnchors",
    "MomentumNestsItsStateDict",
    "MomentumReportsCallsOfTheObject",
    "MomentumLoadsMissingStateOnly",
    "MomentumKeepsAnEnum",
    "MomentumRestoresItsRateLate",
    "AdamStartsAgainAfterLoading",
    "SGDWithAnAttribute",
)


@pytest.mark.parametrize("name", ONE_FINDING)
def test_one_defect_is_one_finding(name: str) -> None:
    mutant = MUTANTS[name]
    findings = check(mutant.factory)
    assert [f.name for f in findings if f.verdict == "fail"] == [mutant.seen_by]
    explained = [f for f in findings if f.evidence.startswith(f"it fails {mutant.seen_by}: ")]
    assert all(f.verdict == "not applicable" for f in explained)


@pytest.mark.parametrize(
    ("name", "evidence"),
    [
        ("MomentumKeepsADeque", "refuses collections.deque, such as state.0.counts"),
        ("MomentumKeepsAnEnum", "state_dict.Mode, such as param_groups[0].mode"),
        ("SGDKeepsItsOwnSettings", "lr=0.0005 was saved, lr=0.001 was loaded"),
        ("MomentumReportsCallsOfTheObject", "state.0.calls is 5 instead of 10"),
        ("SGDWithAnAttribute", "no attribute 'factor': torch's Optimizer.__getstate__ copies"),
        ("SGDEmptiesTheGivenDict", "the dict it was given: param_groups[0].maximize is missing"),
        ("SGDStopsAtAFrozenGroup", "with a frozen group first, weights differ by 3.8e-02: 1.1006"),
    ],
)
def test_evidence_names_what_is_wrong_and_both_numbers(name: str, evidence: str) -> None:
    mutant = MUTANTS[name]
    (finding,) = check(mutant.factory, only=[mutant.seen_by])
    assert finding.verdict == "fail"
    assert evidence in finding.evidence


def test_runs_that_differ_by_rounding_once_count_as_equal() -> None:
    harness = OptimizerHarness(learn(RoundsInAnotherWay))
    RoundsInAnotherWay.others = 2  # one saves, and one trains to where that was
    finding = BY_NAME["resumes_from_a_state_dict"].try_on(harness)
    assert RoundsInAnotherWay.others < -2  # a second try
    assert finding.verdict == "pass", finding


def test_an_optimizer_that_needs_an_argument_cannot_be_checked_and_says_which() -> None:
    with pytest.raises(CannotBeChecked, match="missing 1 required positional argument: 'total_st"):
        check(NeedsTotalSteps)


def test_a_claim_that_another_module_names_as_a_cause_is_tried_once() -> None:
    names = [claim.name for claim in CLAIMS]
    assert len(names) == len(set(names))


def test_no_failure_is_explained_by_a_milder_one() -> None:
    for claim in CLAIMS:
        for cause in claim.causes:
            assert GROUPS.index(cause.group) <= GROUPS.index(claim.group), (claim.name, cause.name)
