"""Claims about types, extreme values and memory: legal habits pass, evidence has numbers."""

import re
from collections import deque
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from catsdogs.contract import Finding, check
from tests.support.mutants.precision import HALF, Plain


def finding(factory: Any, name: str) -> Finding:
    (found,) = check(factory, only=[name])
    return found


class MakesItsBufferLate(Plain):
    """A slow copy of the weights exists from step 10 on."""

    def direction(self, param: Tensor, grad: Tensor, state: Any, group: Any) -> Tensor:
        state["step"] = state.get("step", 0) + 1
        if state["step"] == 10:
            state["slow"] = param.clone()
        return grad


class KeepsTheLastNorms(Plain):
    """The last 300 norms are an attribute."""

    def direction(self, param: Tensor, grad: Tensor, state: Any, group: Any) -> Tensor:
        self.__dict__.setdefault("norms", deque(maxlen=300)).append(float(grad.norm()))
        return grad


class KeepsAsManyGradientsAsToldTo(Plain):
    """The number of old gradients is a hyperparameter, far above the steps of the claim."""

    def __init__(self, params: Any, lr: float = 0.01, history: int = 10_000) -> None:
        super().__init__(params, lr)
        self.history = history

    def direction(self, param: Tensor, grad: Tensor, state: Any, group: Any) -> Tensor:
        kept = [*state.get("grads", []), grad.clone()]
        state["grads"] = kept[-self.history :]
        return grad


@pytest.mark.parametrize(
    ("factory", "evidence"),
    [
        (MakesItsBufferLate, "after 40$"),
        (KeepsTheLastNorms, "; not after 512$"),
        (KeepsAsManyGradientsAsToldTo, "^bounded by history: "),
        (torch.optim.LBFGS, "^bounded by history_size: "),
    ],
)
def test_late_buffers_and_bounded_histories_are_state_of_constant_size(
    factory: Any, evidence: str
) -> None:
    found = finding(factory, "keeps_state_of_constant_size")
    assert found.verdict == "pass"
    assert re.search(evidence, found.evidence)


class MultipliesFromBothSides(Plain):
    """The state is a matrix of rows x rows and one of columns x columns."""

    def direction(self, param: Tensor, grad: Tensor, state: Any, group: Any) -> Tensor:
        if grad.dim() != 2:
            return grad
        if not state:
            state["left"], state["right"] = (torch.eye(n, dtype=grad.dtype) for n in grad.shape)
        state["left"].add_(grad @ grad.T)
        state["right"].add_(grad.T @ grad)
        left: Tensor = torch.linalg.inv(state["left"])
        right: Tensor = torch.linalg.inv(state["right"])
        return left @ grad @ right


MEMORY = "needs_memory_in_proportion_to_the_parameters"


def test_a_matrix_for_the_rows_and_one_for_the_columns_is_memory_in_proportion() -> None:
    found = finding(MultipliesFromBothSides, MEMORY)
    # 32 x 32 and 24 x 24 numbers for 32 x 24 weights.
    assert f"{(32**2 + 24**2) / (32 * 24):.2f} of them kept" in found.evidence
    assert found.verdict == "pass"


@pytest.mark.parametrize(
    ("factory", "peak", "kept"),
    [
        (partial(torch.optim.SGD, lr=0.01, foreach=False), 0, 0),
        (partial(torch.optim.SGD, lr=0.01, momentum=0.9, foreach=False), 1, 1),
        # Two averages; at most the denominator and one operand of it besides.
        (partial(torch.optim.Adam, foreach=False), 4, 2),
    ],
)
def test_memory_of_a_step_counts_state_and_temporaries_beside_weight_and_gradient(
    factory: Any, peak: int, kept: int
) -> None:
    evidence = finding(factory, MEMORY).evidence
    assert f"of (32, 24), {peak:.2f} times its bytes, {kept:.2f} of them kept" in evidence


class SkipsAStepWithANan(Plain):
    """As a scaler does: no parameter moves."""

    def moving(self) -> Any:
        pairs = super().moving()
        finite = all(bool(param.grad.isfinite().all()) for param, _ in pairs)
        return pairs if finite else []


def test_a_step_that_is_skipped_because_of_a_nan_spreads_none() -> None:
    found = finding(SkipsAStepWithANan, "keeps_nan_in_its_parameter")
    assert (found.verdict, found.evidence) == ("pass", "a step with a nan in a gradient is skipped")


class RoundsAtRandom(Plain):
    """Moves of half weights are rounded at random, as stochastic rounding does."""

    def direction(self, param: Tensor, grad: Tensor, state: Any, group: Any) -> Tensor:
        return grad * torch.rand_like(grad) if param.dtype in HALF else grad


def test_random_rounding_of_bfloat16_is_not_taken_for_a_loss_of_state() -> None:
    found = finding(RoundsAtRandom, "resumes_in_bfloat16")
    assert found.verdict == "not applicable"
    assert found.evidence == "its steps on bfloat16 weights draw random numbers"


class RefusesFloat16(Plain):
    """A type is refused with a reason."""

    def direction(self, param: Tensor, grad: Tensor, state: Any, group: Any) -> Tensor:
        if param.dtype == torch.float16:
            raise TypeError("float16 has too few exponents")
        return grad


def test_a_type_may_be_refused_with_a_reason() -> None:
    found = finding(RefusesFloat16, "takes_every_float_type")
    assert found.verdict == "pass"
    assert "refuses float16: TypeError: float16 has too few exponents" in found.evidence


class SavesNothing(Plain):
    """Momentum that no state dict holds, in any type."""

    def direction(self, param: Tensor, grad: Tensor, state: Any, group: Any) -> Tensor:
        buffers: dict[Tensor, Tensor] = self.__dict__.setdefault("buffers", {})
        return buffers.setdefault(param, torch.zeros_like(param)).mul_(0.9).add_(grad)


def test_what_float32_loses_too_is_not_said_of_bfloat16_again() -> None:
    found = finding(SavesNothing, "resumes_in_bfloat16")
    assert found.verdict == "not applicable"
    assert found.evidence.startswith("it fails resumes_from_a_state_dict: ")
