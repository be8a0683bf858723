"""The one place that knows what an optimizer must be told with a step."""

from typing import Any

import pytest
import torch
from torch.optim import Optimizer

from catsdogs.optim import SAGA, SGD, LinearSAGA
from catsdogs.optim.step_inputs import constructor_inputs, declared_step_inputs, step_inputs

KNOWN: dict[str, Any] = {
    "block": 2,
    "samples": torch.tensor([4, 5]),
    "features": torch.ones(2, 3),
    "logit_grad": torch.zeros(2),
}


@pytest.mark.parametrize(
    ("optimizer", "kind", "at_construction", "at_a_step"),
    [
        (torch.optim.SGD, None, {}, set()),
        (SGD, None, {}, set()),
        (SAGA, "block", {"block_sizes": (4, 4, 2)}, {"block"}),
        (LinearSAGA, "samples", {"num_samples": 10}, {"samples", "features", "logit_grad"}),
    ],
)
def test_an_optimizer_is_given_what_it_declares_and_nothing_else(
    optimizer: type[Optimizer], kind: str | None, at_construction: Any, at_a_step: set[str]
) -> None:
    params = [torch.zeros(1, 3, requires_grad=True)]
    built: Any = optimizer
    instance: Optimizer = built(params, **constructor_inputs(optimizer, 10, 4))
    assert declared_step_inputs(optimizer) == declared_step_inputs(instance) == kind
    assert constructor_inputs(optimizer, 10, 4) == at_construction
    given = step_inputs(instance, **KNOWN)
    assert given.keys() == at_a_step
    assert all(given[name] is KNOWN[name] for name in given)


def test_an_unknown_kind_of_step_inputs_is_refused_by_name() -> None:
    class Batches(SGD):
        step_inputs = "batch"

    for optimizer in (Batches, Batches([torch.zeros(1, requires_grad=True)])):
        with pytest.raises(ValueError, match=r"^Batches\.step_inputs='batch': unknown kind; "):
            declared_step_inputs(optimizer)
