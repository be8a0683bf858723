"""Timing of several optimizers in one run."""

import time
from functools import partial
from typing import Any

import torch

from catsdogs import optim
from catsdogs.contract.subject import Factory, Subject
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


def test_optimizers_are_timed_as_one_of_them_needs_it() -> None:
    closures: list[bool] = []
    prepared: list[object] = []

    class Needy(torch.optim.SGD):
        def step(self, closure: Any = None) -> Any:
            closures.append(closure is not None)
            (param,) = self.param_groups[0]["params"]
            assert param.grad.requires_grad, "a graph is needed"
            torch.autograd.grad(param.grad.sum(), param)  # the graph is used up
            return super().step(closure)

    needs = Subject(Needy, closure=True, create_graph=True, prepare=prepared.append)
    factories = {"needy": Needy, "other": torch.optim.SGD}
    timings = time_steps(factories, [(3, 4)], needs=needs, builds=1, repeats=2, steps=2)
    assert closures == [True] * 6
    assert len(prepared) == 2
    assert all(timing.median() > 0 for timing in timings.values())


def test_the_steps_start_from_what_the_optimizer_is_built_from() -> None:
    named = Subject(Named, build_from="named")
    factories = {"named": Named, "other": torch.optim.SGD}
    timings = time_steps(factories, [(3,)], needs=named, builds=1, repeats=2)
    assert set(timings) == {"named", "other"}


class Named(torch.optim.SGD):
    def __init__(self, params: Any) -> None:
        assert all(isinstance(name, str) for name, _ in params)
        super().__init__(params)


def test_slow_steps_are_measured_twice_at_least_and_then_the_time_is_up() -> None:
    class Slow(torch.optim.SGD):
        steps = 0

        def step(self, closure: Any = None) -> Any:
            Slow.steps += 1
            time.sleep(0.05)
            return super().step(closure)

    timings = time_steps({"slow": Slow}, [(3,)], seconds=0.01)
    assert len(timings["slow"].seconds) == 2
    assert Slow.steps == 4  # two of them to warm up
    timings = time_steps({"slow": Slow}, [(3,)], seconds=1.0, builds=2)
    assert 4 <= len(timings["slow"].seconds) <= 20


def test_fast_steps_are_measured_as_often_as_without_a_limit() -> None:
    timings = time_steps({"sgd": torch.optim.SGD}, [(3,)], builds=2, repeats=3, seconds=60)
    assert len(timings["sgd"].seconds) == 6
