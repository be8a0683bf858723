"""The contract on a GPU: torch's optimizers and ours hold it there, and mutants are caught."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch.optim import Optimizer

from catsdogs import optim
from catsdogs.contract import check
from tests.support.mutants import MUTANTS

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]

TORCH: dict[str, Callable[..., Optimizer]] = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "momentum": partial(torch.optim.SGD, lr=0.01, momentum=0.9),
    "rmsprop": torch.optim.RMSprop,
}
OPTIONS: dict[str, tuple[dict[str, Any], ...]] = {
    "adam": ({}, {"foreach": False}, {"foreach": True}, {"fused": True}, {"capturable": True}),
    "adamw": ({}, {"foreach": False}, {"foreach": True}, {"fused": True}, {"capturable": True}),
    "momentum": ({}, {"foreach": False}, {"foreach": True}, {"fused": True}),
    "rmsprop": ({}, {"foreach": False}, {"foreach": True}, {"capturable": True}),
}
# A fused step wants weights, gradients and state of one memory layout, and hides from autograd that
# it changed a weight. Fused momentum makes all buffers at the group's first step, without values.
KNOWN = {
    "takes_any_memory_layout",
    "takes_channels_last_weights",
    "continues_in_another_memory_layout",
    "shows_its_move_to_autograd",
}
KNOWN_OF_MOMENTUM = KNOWN | {
    "starts_a_late_parameter_from_its_own_first_step",
    "forgets_a_step_that_overflowed",
}
OURS: dict[str, Callable[..., Optimizer]] = {
    "sgd": optim.SGD,
    "momentum": partial(optim.SGD, momentum=0.9),
    "adam": optim.Adam,
    "adamw": optim.AdamW,
    "rmsprop": optim.RMSprop,
}


def failures(factory: Callable[..., Optimizer]) -> dict[str, str]:
    findings = check(factory, device="cuda")
    return {finding.name: finding.evidence for finding in findings if finding.verdict == "fail"}


@pytest.mark.parametrize(
    ("name", "options"),
    [(name, options) for name, tried in OPTIONS.items() for options in tried],
    ids=str,
)
def test_optimizers_of_torch_hold_the_contract_but_for_known_faults_of_fused_steps(
    name: str, options: dict[str, Any]
) -> None:
    known = KNOWN_OF_MOMENTUM if name == "momentum" else KNOWN
    found = failures(partial(TORCH[name], **options))
    assert found.keys() <= (known if options.get("fused") else set()), found


@pytest.mark.parametrize("name", OURS)
def test_optimizers_of_this_package_hold_the_contract(name: str) -> None:
    assert failures(partial(OURS[name], lr=1e-2)) == {}


@pytest.mark.parametrize("name", TORCH)
def test_what_needs_a_gpu_is_tried_there(name: str) -> None:
    only = ["continues_on_the_gpu_from_a_cpu_checkpoint", "forgets_a_step_that_overflowed"]
    if {"capturable": True} in OPTIONS[name]:
        only += ["replays_from_a_cuda_graph", "gives_the_same_numbers_with_capturable"]
    found = check(TORCH[name], device="cuda", only=only)
    assert {finding.verdict for finding in found} == {"pass"}, found


@pytest.mark.parametrize("name", [n for n, mutant in MUTANTS.items() if mutant.device == "cuda"])
def test_the_claim_that_names_the_defect_of_a_mutant_fails_on_a_gpu(name: str) -> None:
    mutant = MUTANTS[name]
    (finding,) = check(mutant.factory, device="cuda", only=[mutant.seen_by])
    assert finding.verdict == "fail", finding
