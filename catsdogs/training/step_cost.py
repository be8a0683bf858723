"""Time and memory of an optimizer's step on the parameters of a head."""

import dataclasses
import functools
import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.optim import Optimizer

from catsdogs.contract.claims import describe
from catsdogs.contract.harness import OptimizerHarness
from catsdogs.contract.subject import Factory, Shape, Subject, class_of
from catsdogs.contract.timing import Timing, time_steps
from catsdogs.optim.step_inputs import constructor_inputs
from catsdogs.settings import Head
from catsdogs.training.heads import HEADS
from catsdogs.training.memory import MemoryEstimate, estimate_memory

IMAGES, TRAIN_IMAGES, BATCH_SIZE = 2400, 2000, 32  # of a default run, for the memory
SECONDS = 1.0  # for the measurements of one optimizer


@dataclass(frozen=True)
class StepCost:
    """Time and memory of a step, as far as they could be measured.

    Attributes:
        parameters: The parameters of the step, in words.
        timings: Seconds per step, by optimizer.
        memory: Memory and disk space of training with the optimizer; None if it is not known.
        notes: What could not be measured and why, one line each.
    """

    parameters: str = ""
    timings: Mapping[str, Timing] = field(default_factory=dict)
    memory: MemoryEstimate | None = None
    notes: tuple[str, ...] = ()

    def tables(self) -> dict[str, str]:
        """Return the tables by their titles."""
        found = {}
        if self.timings:
            found[f"Time of a step, one thread: {self.parameters}"] = _speed_table(self.timings)
        if self.memory:
            what = "them" if self.timings else self.parameters
            images = f"on {TRAIN_IMAGES:,} of {IMAGES:,} images in batches of {BATCH_SIZE}"
            found[f"Memory and disk of training {what} {images}"] = str(self.memory)
        return found


def measure_step(subject: Subject, name: str, others: Mapping[str, Factory]) -> StepCost:
    """Time a step of an optimizer beside others and estimate its memory.

    The step is taken on those of the parameters of a head that the optimizer steps on, in the way
    it needs, such as with a closure. Warnings are silenced: the contract has provoked them before.

    Args:
        subject: The optimizer.
        name: Its name.
        others: Further optimizers by name, timed in the same run.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return _measured(subject, name, others)


def _measured(subject: Subject, name: str, others: Mapping[str, Factory]) -> StepCost:
    head, shapes, said = _accepted(subject)
    if head is None:
        return StepCost(notes=(f"Neither timed nor measured: {said}",))
    every = [tuple(param.shape) for param in HEADS[head]().parameters()]
    parameters = f"the {sum(map(math.prod, shapes)):,} parameters of model.head={head}"
    notes: list[str] = []
    if len(shapes) < len(every):
        parameters += f", {len(shapes)} of {len(every)} tensors"
        notes.append(f"Tensors that it does not step on are left out: {said}")
    timings: Mapping[str, Timing] = {}
    contenders = {name: subject.factory, **others}
    while contenders and not timings:
        try:
            timings = time_steps(
                contenders,
                shapes,
                device=subject.device,
                needs=subject,
                builds=3,
                seconds=SECONDS * len(contenders),
            )
        except Exception as error:  # noqa: BLE001 - the code under test may raise anything
            notes.append(f"Not timed: {', '.join(contenders)}: {describe(error)}")
            contenders = {} if len(contenders) == 1 else {name: subject.factory}
    try:
        memory = _memory(subject, shapes)
    except Exception as error:  # noqa: BLE001 - the code under test may raise anything
        notes.append(f"Memory not measured: {describe(error)}")
        memory = None
    return StepCost(parameters, timings, memory, tuple(notes))


def _accepted(subject: Subject) -> tuple[Head | None, list[Shape], str]:
    """Return a head and those of its shapes that a step accepts, and what it said of the others."""
    heads: list[Head] = ["linear"] if subject.step_inputs == "samples" else ["conv", "linear"]
    first = ""
    for head in heads:
        every = [tuple(param.shape) for param in HEADS[head]().parameters()]
        if not _refusal(subject, every):
            return head, every, ""
        refusals = {shape: _refusal(subject, [shape]) for shape in every}
        said = next(filter(None, refusals.values()), "it does not step on all of them at once")
        first = first or said
        accepted = [shape for shape in every if not refusals[shape]]
        if accepted and not _refusal(subject, accepted):
            return head, accepted, said
    return None, [], first


def _refusal(subject: Subject, shapes: list[Shape]) -> str:
    """Return what two steps on float32 parameters of these shapes raised; empty for nothing."""
    if subject.step_inputs == "samples":
        return ""
    harness = _harness(subject, subject.factory)
    try:
        weights = harness.weights(shapes)
        harness.run(harness.build(weights), weights, range(2))
    except Exception as error:  # noqa: BLE001 - the code under test may raise anything
        return describe(error)
    return ""


def _memory(subject: Subject, shapes: list[Shape]) -> MemoryEstimate:
    # A default run has more samples, and so a larger table, than the contract.
    known = constructor_inputs(class_of(subject.factory), TRAIN_IMAGES, BATCH_SIZE)
    harness = _harness(subject, functools.partial(subject.factory, **known))

    def take_step(optimizer: Optimizer, params: list[Tensor]) -> None:
        harness.step(optimizer, 0, params, [torch.empty_like(param) for param in params])

    params = [torch.empty(shape, device=subject.device) for shape in shapes]
    return estimate_memory(harness.build, params, images=IMAGES, take_step=take_step)


def _harness(subject: Subject, factory: Factory) -> OptimizerHarness:
    return OptimizerHarness(dataclasses.replace(subject, factory=factory, dtype=torch.float32))


def _speed_table(timings: Mapping[str, Timing]) -> str:
    rows = [f"{'':<24}{'median':>10}{'quartiles':>20}{'ratio':>8}"]
    last = list(timings.values())[-1]
    for name, timing in timings.items():
        low, high = timing.quartiles()
        spread = f"{1e3 * low:.2f} to {1e3 * high:.2f}"
        median, ratio = f"{1e3 * timing.median():.2f} ms", f"{timing.ratio_to(last):.2f}"
        rows.append(f"{name:<24}{median:>10}{spread:>20}{ratio:>8}")
    return "\n".join(rows)
