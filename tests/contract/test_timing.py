"""Timing of several optimizers in one run."""

from functools import partial

import torch

from catsdogs import optim
from catsdogs.contract.subject import Factory
from catsdogs.contract.timing import Timing, time_steps


def test_every_optimizer_is_timed_in_every_build_and_repeat() -> None:
    sgd = partial(torch.optim.SGD, lr=0.1)
    timings = time_steps({"a": sgd, "b": sgd}, [(3, 4), (5,)], builds=2, repeats=3, steps=2)
    assert list(timings) == ["a", "b"]
    assert all(len(timing.seconds) == 6 and timing.median() > 0 for timing in timings.values())


def test_a_ratio_is_the_median_of_paired_ratios_so_that_drift_cancels() -> None:
    slow, fast = Timing((2.0, 20.0, 200.0)), Timing((1.0, 10.0, 100.0))
    assert slow.ratio_to(fast) == 2.0
    assert slow.median() == 20.0
    assert Timing((1.0, 2.0, 3.0, 4.0, 5.0)).quartiles() == (1.5, 4.5)


def test_an_optimizer_that_takes_blocks_or_samples_is_timed_too() -> None:
    contenders: dict[str, Factory] = {
        "blocks": partial(optim.SAGA, block_sizes=(8, 8)),
        "samples": partial(optim.LinearSAGA, num_samples=28),
    }
    timings = time_steps(contenders, [(1, 40_000), (1,)], builds=1, repeats=2)
    assert all(timing.median() > 0 for timing in timings.values())
