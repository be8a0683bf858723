"""Timing several optimizers in one run."""

from functools import partial

import torch

from catsdogs.contract.speed import Timing, time_steps


def test_every_optimizer_is_timed_as_often_as_asked() -> None:
    sgd = partial(torch.optim.SGD, lr=0.1)
    timings = time_steps({"a": sgd, "b": sgd}, [(3, 4), (5,)], builds=2, repeats=3, steps=2)
    assert list(timings) == ["a", "b"]
    assert all(len(timing.seconds) == 6 and timing.median() > 0 for timing in timings.values())


def test_a_ratio_is_the_median_of_the_repeats_ratios_so_that_drift_cancels() -> None:
    slow, fast = Timing((2.0, 20.0, 200.0)), Timing((1.0, 10.0, 100.0))
    assert slow.ratio_to(fast) == 2.0
    assert slow.median() == 20.0
    assert Timing((1.0, 2.0, 3.0, 4.0, 5.0)).quartiles() == (1.5, 4.5)
