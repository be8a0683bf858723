"""Trial steps that find out what an optimizer can do and needs, before any claim is tried."""

import dataclasses
import itertools
import random
import traceback
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

import torch
from torch import Tensor
from torch.optim import Optimizer

from catsdogs.contract.claims import describe
from catsdogs.contract.deadline import OutOfTime, deadline
from catsdogs.contract.harness import (
    OptimizerHarness,
    copies,
    distance,
    furthest,
    gradient,
    samples_of_a_batch,
)
from catsdogs.contract.subject import (
    BuildFrom,
    CannotBeChecked,
    Factory,
    Refusal,
    Shape,
    Subject,
    constructor_settings,
    takes_any_keyword,
)
from catsdogs.optim.step_inputs import declared_step_inputs

# The first five are those that most claims use; the others are tried for their own sake.
SHAPES: tuple[Shape, ...] = ((4, 3), (2, 5), (5,), (1,), ())
MORE_SHAPES: tuple[Shape, ...] = ((2, 3, 4), (2, 3, 2, 2), (0, 2))
# Weight and bias of one linear model, for an optimizer that takes samples and logit gradients.
LINEAR_MODEL: tuple[Shape, ...] = ((1, 5), (1,))
DTYPES = (torch.float64, torch.float32, torch.bfloat16, torch.float16)
FLOAT64, FLOAT32 = 1e-12, 1e-5  # tolerances
PATIENCE = 24  # steps in which some weight must move
TRIAL = 5.0  # seconds of the processor for a trial of a few steps


class Refused(Exception):
    """A trial raised; the argument is a `Refusal`."""


def learn(
    factory: Factory,
    *,
    device: torch.device | str = "cpu",
    build_from: BuildFrom = "parameters",
    prepare: Callable[[Optimizer], Any] | None = None,
    shapes: Sequence[Shape] | None = None,
    dtypes: Sequence[torch.dtype] | None = None,
    closure: bool | None = None,
    create_graph: bool | None = None,
) -> Subject:
    """Return what trial steps tell about an optimizer.

    Args:
        factory: Builds the optimizer, `factory(params, **overrides)`.
        device: Of all tensors.
        build_from: What the factory takes: parameters, pairs of name and parameter, or a module.
        prepare: Called with every optimizer that is built.
        shapes: Tried instead of the usual ones.
        dtypes: Tried instead of all.
        closure: Whether a step needs a closure; None to find out.
        create_graph: Whether gradients must be part of a graph; None to find out.

    Raises:
        CannotBeChecked: If no parameters of any shape can be stepped on.
    """
    subject = Subject(factory, device=torch.device(device), build_from=build_from, prepare=prepare)
    tried = tuple(shapes) if shapes else SHAPES
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        subject = _with_needs(subject, tried, dtypes or DTYPES, closure, create_graph)
        subject = _with_shapes(subject, tried if shapes else (*tried, *MORE_SHAPES))
        subject = _with_dtypes(subject, dtypes or DTYPES)
        subject = _with_waiting(subject)
        subject = dataclasses.replace(subject, random=_draws_random_numbers(subject))
        subject = _with_precision(subject)
        subject = dataclasses.replace(subject, coupled=_coupling(subject))
        return dataclasses.replace(
            subject,
            elementwise=_acts_on_each_element(subject),
            group_counts=_counts_of_groups(subject),
        )


def _with_needs(
    subject: Subject,
    shapes: Sequence[Shape],
    dtypes: Sequence[torch.dtype],
    closure: bool | None,
    create_graph: bool | None,
) -> Subject:
    """Find a way of taking two steps on parameters of some shape."""
    first: Refusal | None = None
    said: dict[tuple[bool, bool], str] = {}  # by the steps with gradients enabled
    sets = [[shape] for shape in shapes]
    ways = [
        (needs_closure, needs_graph, needs_no_grad)
        for needs_no_grad, needs_graph, needs_closure in itertools.product((False, True), repeat=3)
        if closure in (None, needs_closure) and create_graph in (None, needs_graph)
    ]
    if isinstance(built := _build_once(subject, [*sets, list(LINEAR_MODEL)]), Refusal):
        raise CannotBeChecked(built.said)
    subject = _described(subject, built)
    if subject.step_inputs == "samples":
        return subject
    for dtype in (dtype for dtype in dtypes if dtype in (torch.float64, torch.float32)):
        for needs_closure, needs_graph, needs_no_grad in ways:
            trial = dataclasses.replace(
                subject,
                closure=needs_closure,
                create_graph=needs_graph,
                needs_no_grad=said[needs_closure, needs_graph] if needs_no_grad else "",
                dtype=dtype,
            )
            for each in sets:
                try:
                    _steps(trial, each, dtype)
                except Refused as refused:
                    first = first or refused.args[0]
                    said.setdefault((needs_closure, needs_graph), refused.args[0].said)
                else:
                    return trial
    assert first is not None
    raise CannotBeChecked(f"a step raised {first.said}")


def _build_once(subject: Subject, sets: Sequence[Sequence[Shape]]) -> Optimizer | Refusal:
    """Return an optimizer of the first set of shapes that it accepts, or the first refusal."""
    first = None
    for shapes in sets:
        harness = OptimizerHarness(dataclasses.replace(subject, shapes=tuple(shapes)))
        try:
            with deadline(TRIAL):
                optimizer = harness.build(harness.weights())
        except (Exception, SystemExit) as error:  # noqa: BLE001 - the code under test may raise anything
            first = first or Refusal(True, f"its constructor raised {describe(error)}")
            continue
        except OutOfTime:
            return Refusal(False, f"its constructor did not return within {TRIAL:g} s")
        built: object = optimizer  # a factory may return anything
        if not isinstance(built, Optimizer):
            return Refusal(True, f"it is a {type(built).__name__}, not a torch.optim.Optimizer")
        return built
    assert first is not None
    return first


def _described(subject: Subject, optimizer: Optimizer) -> Subject:
    """Add what an instance tells."""
    defaults = dict(optimizer.defaults)
    settings = constructor_settings(subject.factory)
    if takes_any_keyword(subject.factory):
        settings = defaults | settings
    subject = dataclasses.replace(
        subject,
        settings=settings,
        defaults=defaults,
        train_mode=callable(getattr(optimizer, "train", None)),
        step_inputs=declared_step_inputs(optimizer),
    )
    if subject.step_inputs != "samples":
        return subject
    subject = dataclasses.replace(subject, shapes=LINEAR_MODEL)
    size = samples_of_a_batch(OptimizerHarness(subject).weights())
    if defaults["num_samples"] < 2 * size:
        raise CannotBeChecked(
            f"num_samples={defaults['num_samples']}: must be {2 * size} or above, since a linear "
            f"model is tried on at least two batches of {size}"
        )
    return subject


def _with_shapes(subject: Subject, shapes: Sequence[Shape]) -> Subject:
    """Find out on which shapes it steps. Claims use those of `SHAPES`, or all if there is none."""
    if subject.step_inputs == "samples":
        return subject
    refused: dict[Shape, Refusal] = {}
    for shape in shapes:
        try:
            _steps(subject, [shape], subject.dtype)
        except Refused as error:
            refused[shape] = error.args[0]
    accepted = tuple(shape for shape in shapes if shape not in refused)
    used = tuple(shape for shape in accepted if shape not in MORE_SHAPES) or accepted
    if not used:
        raise CannotBeChecked(f"a step raised {next(iter(refused.values())).said}")
    while len(used) > 1:  # some step on each shape alone and not on all of them
        try:
            _steps(subject, used, subject.dtype)
            break
        except Refused as error:
            refused[used[-1]] = error.args[0]
            used = used[:-1]
    return dataclasses.replace(subject, shapes=used, refused_shapes=refused)


def _with_dtypes(subject: Subject, dtypes: Sequence[torch.dtype]) -> Subject:
    refused: dict[torch.dtype, Refusal] = {}
    for dtype in dtypes:
        try:
            _steps(subject, subject.shapes, dtype)
        except Refused as error:
            refused[dtype] = error.args[0]
    accepted = tuple(dtype for dtype in dtypes if dtype not in refused)
    if subject.dtype not in accepted:
        raise CannotBeChecked(f"a step raised {refused[subject.dtype].said}")
    return dataclasses.replace(subject, dtypes=accepted, refused_dtypes=refused)


def _with_waiting(subject: Subject) -> Subject:
    """Count the first steps that move no weight."""
    harness = OptimizerHarness(subject)
    weights = harness.weights()
    optimizer = harness.build(weights)
    before = copies(weights)
    for number in range(PATIENCE):
        harness.run(optimizer, weights, [number])
        if furthest(weights, before) > 0:
            return dataclasses.replace(subject, waiting=number)
    raise CannotBeChecked(f"no weight moved in {PATIENCE} steps")


def _draws_random_numbers(subject: Subject) -> bool:
    """Return whether steps use torch's generator, or other seeds give another run."""
    harness = OptimizerHarness(subject)
    weights = harness.weights()
    optimizer = harness.build(weights)
    before = _random_state(subject)
    harness.run(optimizer, weights, range(harness.after(3)))
    if not torch.equal(_random_state(subject), before):
        return True
    one, other, again = (_seeded_run(subject, seed) for seed in (1, 2, 1))
    return furthest(one, other) > 0 and furthest(one, again) == 0


def _random_state(subject: Subject) -> Tensor:
    """Return the state of the generators that a step could use."""
    state = torch.get_rng_state()
    if subject.device.type != "cuda":
        return state
    return torch.cat([state, torch.cuda.get_rng_state(subject.device)])


def _seeded_run(subject: Subject, seed: int) -> list[Tensor]:
    harness = OptimizerHarness(subject)
    torch.manual_seed(seed)
    random.seed(seed)
    return harness.trained(3)[0]


def _with_precision(subject: Subject) -> Subject:
    """Compare in float32 what computes in float32 whatever the weights."""
    if subject.dtype == torch.float64 and not _computes_in_float32(subject):
        return subject
    return dataclasses.replace(subject, dtype=torch.float32, tolerance=FLOAT32)


def _computes_in_float32(subject: Subject) -> bool:
    """Return whether a step on float64 weights moves them by numbers of float32.

    Either the moves or the weights that result are then float32 numbers, up to the rounding of the
    sum; of true float64 numbers next to none is. Moves that are all of one length, as those of a
    sign, tell nothing.
    """
    if torch.float32 not in subject.dtypes:
        return False
    harness = OptimizerHarness(subject)
    weights = harness.weights()
    optimizer = harness.build(weights)
    harness.run(optimizer, weights, range(subject.waiting))
    seen = 0
    for number in range(subject.waiting, harness.after(2)):
        before = copies(weights)
        harness.run(optimizer, weights, [number])
        now = torch.cat([weight.detach().flatten() for weight in weights])
        old = torch.cat([weight.flatten() for weight in before])
        moved = now - old
        lengths = moved.abs().unique()
        if len(lengths) < 5:
            return False
        rounding = 4e-16 * old.abs().clamp(min=1.0)
        lr = optimizer.param_groups[0].get("lr")
        scales = [1.0, float(lr)] if isinstance(lr, float | Tensor) and float(lr) > 0 else [1.0]
        coarse = (now.float().double() == now).clone()
        for scale in scales:  # the rate may be multiplied to the direction in float64
            direction = moved / scale
            coarse |= (direction.float().double() - direction).abs() <= rounding / scale
        seen += bool(coarse.all())
    return seen == 2


def _coupling(subject: Subject) -> str:
    """Return the parameters' dependence on one another in words; empty if there is none.

    It takes two parameters that feel each other's gradients: one that is felt by the others and
    feels none is a mistake, and left to the claims.
    """
    if subject.step_inputs == "samples":
        return ""
    feels = dict.fromkeys(itertools.permutations(range(3), 2), False)
    # Always the same gradients let a rule grow that estimates a distance or a rate for all.
    for steady in (True, False):
        try:
            usual, *others = (_ends(subject, changed, steady) for changed in (None, 0, 1, 2))
        except Exception:  # noqa: BLE001 - the code under test may raise anything
            return ""
        for one, other in feels:
            moved = distance(others[other][one], usual[one])
            feels[one, other] |= moved > 10 * subject.tolerance
    if any(feels[a, b] and feels[b, a] for a, b in itertools.combinations(range(3), 2)):
        return "another gradient of one moves the others by another distance"
    return ""


def _ends(subject: Subject, changed: int | None, steady: bool) -> list[Tensor]:
    """Return three weights after some steps, one of them with other and larger gradients.

    Args:
        subject: The optimizer.
        changed: The one; None for none.
        steady: Whether every step has the same gradients.
    """
    three = (subject.shapes[0],) * 3
    harness = OptimizerHarness(dataclasses.replace(subject, shapes=three))
    weights = harness.weights()
    optimizer = harness.build(weights)
    for number in range(harness.after(6)):
        grads = [gradient(w, 0 if steady else number, place) for place, w in enumerate(weights)]
        if changed is not None:
            other = grads[changed] if steady else gradient(weights[changed], number, 3)
            grads[changed] = 100 * other
        harness.step(optimizer, number, weights, grads)
    return weights


def _acts_on_each_element(subject: Subject) -> bool:
    """Return whether the gradient of one entry moves no other entry of its tensor."""
    shape = max(subject.shapes, key=lambda each: torch.Size(each).numel())
    harness = OptimizerHarness(dataclasses.replace(subject, shapes=(shape,)))
    ends = []
    for factor in (1.0, 100.0):
        weights = harness.weights()
        optimizer = harness.build(weights)
        for number in range(harness.after(3)):
            grad = gradient(weights[0], number, 0)
            grad.view(-1)[0] *= factor
            harness.step(optimizer, number, weights, [grad])
        ends.append(weights[0].detach().flatten()[1:])
    return distance(*ends) <= subject.tolerance


def _counts_of_groups(subject: Subject) -> tuple[str, ...]:
    """Return the names of numbers in the groups that change from step to step."""
    harness = OptimizerHarness(subject)
    weights = harness.weights()
    optimizer = harness.build(weights)
    before = _numbers(optimizer)
    harness.run(optimizer, weights, range(harness.after(3)))
    named = constructor_settings(subject.factory)
    return tuple(
        name
        for name, value in _numbers(optimizer).items()
        if value != before.get(name) and name not in named
    )


def _numbers(optimizer: Optimizer) -> dict[str, float]:
    """Return the numbers in the first group."""
    return {
        name: float(value)
        for name, value in optimizer.param_groups[0].items()
        if isinstance(value, int | float) or (isinstance(value, Tensor) and value.dim() == 0)
    }


def _steps(subject: Subject, shapes: Sequence[Shape], dtype: torch.dtype) -> list[Tensor]:
    """Take two steps and return the weights.

    Raises:
        Refused: If anything raises, or a weight changes its type or is not finite.
    """
    harness = OptimizerHarness(dataclasses.replace(subject, shapes=tuple(shapes)))
    weights = harness.weights(dtype=dtype)
    before = copies(weights)
    try:
        with deadline(TRIAL):
            optimizer = harness.build(weights)
            harness.run(optimizer, weights, range(2))
    except (Exception, SystemExit) as error:  # noqa: BLE001 - the code under test may raise anything
        _refuse(error, moved=furthest(weights, before) > 0)
    except OutOfTime:
        raise Refused(Refusal(False, f"OutOfTime: no end within {TRIAL:g} s")) from None
    return weights


def _refuse(error: BaseException, *, moved: bool) -> NoReturn:
    raise Refused(Refusal(not moved and deliberate(error), describe(error))) from error


def is_refusal(error: BaseException) -> bool:
    """Return whether an exception refuses an argument, on purpose or by its type."""
    return deliberate(error) or isinstance(error, TypeError | ValueError)


def deliberate(error: BaseException) -> bool:
    """Return whether an exception was raised on purpose: by a `raise` or an `assert`.

    One that a tensor operation raised, inside torch, is an accident. torch.optim's own are not.
    """
    frames = traceback.extract_tb(error.__traceback__)
    if not frames:
        return False
    path = Path(frames[-1].filename).as_posix()
    inside = "/torch/" in path and "/torch/optim/" not in path
    return not inside and (frames[-1].line or "").startswith(("raise", "assert"))
