"""Options, memory layouts and compiled steps: true findings, refusals, and what `check` leaves."""

import logging
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch.optim import Optimizer

from catsdogs import optim
from catsdogs.contract import check, compiling

LAYOUTS = {
    "takes_any_memory_layout",
    "takes_channels_last_weights",
    "continues_in_another_memory_layout",
}
COMPILED = "steps_alike_when_compiled"


def evidence(factory: Callable[..., Optimizer], *claims: str, verdict: str) -> dict[str, str]:
    """Return the evidence of those of these claims that have this verdict."""
    found = check(factory, only=claims)
    return {finding.name: finding.evidence for finding in found if finding.verdict == verdict}


@pytest.mark.parametrize("name", ["Adam", "AdamW", "Adagrad"])
def test_a_fused_step_of_torch_on_the_cpu_pairs_elements_by_memory(name: str) -> None:
    fused = partial(getattr(torch.optim, name), fused=True)
    seen = evidence(fused, *LAYOUTS, verdict="fail")
    assert seen.keys() == LAYOUTS
    assert "3 steps after it loaded the state of a contiguous one" in seen.popitem()[1]


def test_a_loop_of_torch_steps_and_resumes_in_every_memory_layout() -> None:
    assert evidence(torch.optim.Adam, *LAYOUTS, verdict="pass").keys() == LAYOUTS


@pytest.mark.parametrize(("fused", "verdict"), [(True, "fail"), (False, "pass")])
def test_a_first_step_that_overflowed_leaves_fused_momentum_uninitialised(
    fused: bool, verdict: str
) -> None:
    momentum = partial(torch.optim.SGD, lr=0.01, momentum=0.9, fused=fused)
    assert evidence(momentum, "forgets_a_step_that_overflowed", verdict=verdict)


def test_an_option_that_raises_with_a_late_parameter_alone_is_told_in_the_evidence() -> None:
    momentum = partial(torch.optim.SGD, lr=0.01, momentum=0.9)
    seen = evidence(momentum, "gives_the_same_numbers_with_fused", verdict="pass")
    assert "; with a late parameter fused=True raises TypeError" in seen.popitem()[1]


def test_options_that_are_refused_do_not_apply_and_say_why() -> None:
    claims = [f"gives_the_same_numbers_with_{name}" for name in ("foreach", "fused", "capturable")]
    claims.append("lets_gradients_flow_through_a_differentiable_step")
    seen = evidence(optim.Adam, *claims, verdict="not applicable")
    assert seen.keys() == set(claims)
    assert "foreach=True is refused: ValueError: foreach=True: Adam updates one" in seen[claims[0]]


def test_looking_ahead_is_judged_uphill_too() -> None:
    uphill = partial(torch.optim.SGD, lr=0.01, momentum=0.9, maximize=True)
    assert evidence(uphill, "looks_ahead_with_nesterov", verdict="pass")


def test_amsgrad_that_excludes_another_setting_does_not_apply() -> None:
    class Exclusive(torch.optim.Adam):
        def __init__(self, params: Any, amsgrad: bool = False, maximize: bool = True) -> None:
            if amsgrad and maximize:
                raise ValueError("amsgrad excludes maximize")
            super().__init__(params, amsgrad=amsgrad, maximize=maximize)

    claim = "keeps_the_largest_second_moment_with_amsgrad"
    seen = evidence(Exclusive, claim, verdict="not applicable")
    assert seen[claim] == "amsgrad=True is refused: ValueError: amsgrad excludes maximize"


class StepsInBfloat16(Optimizer):
    """Gradients are divided by a norm in bfloat16, which foreach rounds in another order."""

    def __init__(self, params: Any, lr: float = 0.01, foreach: bool = False) -> None:
        super().__init__(params, {"lr": lr, "foreach": foreach})

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        for group in self.param_groups:
            params = [param for param in group["params"] if param.grad is not None]
            grads = [param.grad for param in params if param.grad is not None]
            rounded = [grad.bfloat16() for grad in grads]
            norms = [each.square().sum().sqrt() for each in rounded]
            if group["foreach"]:
                norms = list(torch._foreach_norm(rounded))
            for param, grad, norm in zip(params, grads, norms, strict=True):
                param.add_(grad / norm, alpha=-group["lr"])


def test_an_option_may_round_as_coarsely_as_the_rule_itself() -> None:
    claim = "gives_the_same_numbers_with_foreach"
    (found,) = check(StepsInBfloat16, only=[claim])
    assert found.verdict == "pass", found
    assert "equal within" in found.evidence


def test_a_step_that_cannot_be_compiled_holds_and_says_why(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*args: Any, **kwargs: Any) -> Any:
        raise RuntimeError("torch.compile is not supported here")

    monkeypatch.setattr(torch, "compile", refuse)
    seen = evidence(torch.optim.Adam, COMPILED, verdict="pass")
    assert seen[COMPILED] == "refused: RuntimeError: torch.compile is not supported here"


def test_a_step_that_takes_long_to_trace_is_not_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiling, "PATIENCE", 0.01)
    seen = evidence(torch.optim.Adam, COMPILED, verdict="not applicable")
    assert seen[COMPILED] == "tracing takes more than 0.01 s of the processor"


def test_a_check_leaves_compiled_functions_and_loggers_of_the_caller_as_they_were() -> None:
    graphs = []

    def backend(graph: torch.fx.GraphModule, inputs: Any) -> Callable[..., Any]:
        graphs.append(graph)
        return graph.forward

    double = torch.compile(lambda x: 2 * x, backend=backend)
    weight = torch.zeros(3, requires_grad=True)
    optimizer = torch.optim.Adam([weight])
    weight.grad = torch.ones(3)
    step = torch.compile(optimizer.step, backend=backend)

    def use() -> None:
        step()
        double(torch.ones(3))

    use()
    use()
    compiled, disabled = len(graphs), logging.root.manager.disable
    check(torch.optim.Adam, only=[COMPILED])
    use()
    assert len(graphs) == compiled
    assert logging.root.manager.disable == disabled
