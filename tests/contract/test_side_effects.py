"""Claims about side effects: legal habits pass, and a check leaves the process as it was."""

import logging
import random
from typing import Any

import numpy as np
import pytest
import torch

from catsdogs.contract import Finding, check
from catsdogs.optim import SGD
from tests.support.mutants.side_effects import (
    SGDLeavesGradientsDisabled,
    SGDOfALearner,
    SGDSeedsTheGenerator,
    SGDWantsFloat64,
)


def finding(factory: Any, name: str) -> Finding:
    (found,) = check(factory, only=[name])
    return found


def test_a_step_without_no_grad_is_one_finding_that_says_so() -> None:
    failed = [found for found in check(SGDOfALearner) if found.verdict == "fail"]
    assert [found.name for found in failed] == ["disables_gradients_in_a_step"]
    assert failed[0].evidence == (
        "the step updates weights outside torch.no_grad(): RuntimeError: a leaf Variable that "
        "requires grad is being used in an in-place operation."
    )


@pytest.mark.parametrize(
    "factory", [SGD, SGDLeavesGradientsDisabled, SGDWantsFloat64, SGDSeedsTheGenerator]
)
def test_a_check_restores_what_an_optimizer_changes(factory: Any) -> None:
    before = random.getstate(), torch.get_rng_state()
    check(factory)
    assert torch.is_grad_enabled()
    assert torch.get_default_dtype() == torch.float32
    assert random.getstate() == before[0]
    assert torch.equal(torch.get_rng_state(), before[1])


class Logs(SGD):
    """The constructor logs a warning, which a caller can filter."""

    def __init__(self, params: Any, lr: float = 0.01) -> None:
        logger = logging.getLogger("optimizers")
        logger.handlers = [logging.StreamHandler()]
        logger.warning("lr=%s", lr)
        super().__init__(params, lr)


def test_a_record_of_a_log_is_not_printed_text() -> None:
    assert finding(Logs, "prints_nothing").verdict == "pass"
    assert logging.getLogger("optimizers").isEnabledFor(logging.WARNING)


class StartsAtRandom(SGD):
    """The state begins with random numbers, which a later step may use."""

    def __init__(self, params: Any, lr: float = 0.01) -> None:
        super().__init__(params, lr)
        for group in self.param_groups:
            for param in group["params"]:
                self.state[param]["direction"] = torch.randn_like(param)


def test_a_rule_with_random_state_may_draw_random_numbers() -> None:
    found = finding(StartsAtRandom, "leaves_random_numbers_alone")
    assert (found.verdict, found.evidence) == (
        "not applicable",
        "its weights or its state are made of random numbers",
    )


class DrawsFromNumpy(SGD):
    """The constructor draws from numpy's global generator."""

    def __init__(self, params: Any, lr: float = 0.01) -> None:
        np.random.rand()
        super().__init__(params, lr)


def test_numpys_generator_is_watched_too() -> None:
    found = finding(DrawsFromNumpy, "leaves_random_numbers_alone")
    assert found.evidence == "construction changes the state of numpy.random"
