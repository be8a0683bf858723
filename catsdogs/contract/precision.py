"""Claims about types, extreme values and memory: half precision, counts, nan, large tensors."""

import copy
import itertools
import math
import pickle
import weakref
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from catsdogs.contract.claims import (
    NotApplicable,
    claim,
    describe,
    require,
    require_separable,
)
from catsdogs.contract.harness import OptimizerHarness, copies, distance, furthest, gradient
from catsdogs.contract.schedules import finite
from catsdogs.contract.state_dict import (
    resumes_from_a_file,
    resumes_with_the_same_state,
    saves_state_and_groups,
    through_a_file,
)
from catsdogs.contract.subject import Shape
from catsdogs.optim.state_size import named_tensors

# A number of steps that the type can hold, and whose successor it cannot.
HALF = {torch.bfloat16: 300, torch.float16: 2100}
MOVES, VISIBLE = 5, 1 / 32  # steps, and a move of eight times the precision of bfloat16
# Their squares are 0 and 1e24 in float32; the optimizers of torch survive both.
TINY, HUGE = 1e-30, 1e12
BOUND = 4  # given to a hyperparameter that may bound a history
# A matrix of each of these shapes. Memory per byte of the weight is the same for both if it is
# proportional, also with a matrix of rows x rows and one of columns x columns. It is 16 times as
# large if it grows with the square of the size. Some rules do more for larger matrices.
SMALL, LARGE, GROWTH = (8, 6), (32, 24), 8.0


@claim("Weights of every float type are stepped on in that type, or refused with a reason.", "use")
def takes_every_float_type(harness: OptimizerHarness) -> str:
    subject = harness.subject
    said = []
    if subject.dtype == torch.float32 and torch.float64 in subject.dtypes:
        said.append("float64: weights move by float32 numbers")
    said += [
        f"{_name(dtype)}: weights are not finite after {harness.after(3)} steps"
        for dtype in HALF
        if dtype in subject.dtypes and not finite(harness.trained(3, dtype=dtype)[0])
    ]
    refused = subject.refused_dtypes.items()
    said += [f"{_name(dtype)}: {each.said}" for dtype, each in refused if not each.deliberate]
    require(not said, "; ".join(said))
    taken = f"takes {', '.join(map(_name, subject.dtypes))}"
    return "; ".join([taken, *(f"refuses {_name(dtype)}: {each.said}" for dtype, each in refused)])


@claim("Weights of every float type keep it, if possible in one optimizer, and move alike.", "use")
def keeps_the_type_of_weights(harness: OptimizerHarness) -> str:
    types = harness.subject.dtypes
    models = [harness.weights(dtype=dtype) for dtype in types]
    steps = range(harness.after(3))
    together = harness.step_inputs != "samples" and not harness.subject.coupled
    if together:
        weights = [model[0] for model in models]
        harness.run(harness.build(weights), weights, steps, places=[0] * len(weights))
    else:
        for model in models:
            harness.run(harness.build(model), model, steps)
    for (weight, *_), dtype in zip(models, types, strict=True):
        require(weight.dtype == dtype, f"{dtype} became {weight.dtype}")
        # bfloat16 has 8 bits of precision, so a step may round to 0.
        gap = distance(weight, models[0][0])
        coarse = dtype in HALF and (harness.subject.random or not finite([weight]))
        require(coarse or gap < 0.1, f"{dtype} differs by {gap:.1e} from {types[0]}")
    names = ", ".join(map(_name, types))
    return f"{names}, {'mixed in one optimizer' if together else 'one optimizer each'}"


@claim("Small weights of bfloat16 and float16 move where those of a wider type do.", "update")
def moves_weights_of_half_precision(harness: OptimizerHarness) -> str:
    types, steps = _half_types(harness), harness.after(MOVES)
    visible = _moves(harness, harness.dtype).abs() > VISIBLE
    if not bool(visible.any()):
        raise NotApplicable(f"it moves no weight by {VISIBLE:.0%} of its size in {steps} steps")
    seen = []
    for dtype in types:
        share = float((_moves(harness, dtype)[visible] != 0).double().mean())
        told = f"{share:.0%} of {int(visible.sum())} weights move in {_name(dtype)}"
        require(share > 0.5, f"{told}, all in {_name(harness.dtype)}, in {steps} steps")
        seen.append(told)
    return "; ".join(seen)


def _moves(harness: OptimizerHarness, dtype: torch.dtype) -> Tensor:
    """Return by how much of its size each of some small weights moves in the first steps."""
    weights = [(w.detach() / 64).requires_grad_() for w in harness.weights(dtype=dtype)]
    before = copies(weights)
    harness.run(harness.build(weights), weights, range(harness.after(MOVES)))
    pairs = zip(weights, before, strict=True)
    return torch.cat([((w.detach() - old) / old).double().flatten() for w, old in pairs])


@claim(
    "Training of bfloat16 weights, resumed from a file, gives the same bits.",
    "state",
    causes=(resumes_from_a_file,),
)
def resumes_in_bfloat16(harness: OptimizerHarness) -> str:
    if torch.bfloat16 not in harness.subject.dtypes:
        raise NotApplicable("it does not step on bfloat16")
    gap, changed = _resumed(harness)
    if gap > 0:
        once, again = (harness.trained(10, dtype=torch.bfloat16)[0] for _ in range(2))
        if furthest(once, again) > 0:
            raise NotApplicable("its steps on bfloat16 weights draw random numbers")
    require(gap == 0, "; ".join([f"weights differ by {gap:.1e} after 5 + 5 steps", *changed]))
    return "; ".join(["5 + 5 steps equal 10 steps", *changed])


def _resumed(harness: OptimizerHarness) -> tuple[float, list[str]]:
    """Return how far resumed training ends from uninterrupted training, and a state that changed.

    The second is a list of at most one sentence, about an entry that loading gave another type.
    """
    weights, optimizer = harness.trained(5, dtype=torch.bfloat16)
    try:
        saved = through_a_file(optimizer.state_dict())
    except pickle.UnpicklingError as error:  # in every type, as other claims say
        raise NotApplicable(f"its file cannot be read: {describe(error)}") from None
    resumed = [weight.requires_grad_() for weight in copies(weights)]
    other = harness.build(resumed)
    other.load_state_dict(copy.deepcopy(saved))
    loaded = dict(named_tensors(other.state_dict()))
    changed = [
        f"loading made {name} {_name(loaded[name].dtype)}, saved as {_name(tensor.dtype)}"
        for name, tensor in named_tensors(saved)
        if name in loaded and loaded[name].dtype != tensor.dtype
    ]
    steps = range(harness.after(5), harness.after(10))
    harness.run(optimizer, weights, steps)
    harness.run(other, resumed, steps)
    return furthest(resumed, weights), changed[:1]


@claim(
    "Step counts of bfloat16 and float16 models exceed what these types can count to.",
    "state",
    causes=(saves_state_and_groups, resumes_with_the_same_state),
)
def counts_every_step_of_half_precision_models(harness: OptimizerHarness) -> str:
    names: set[str] = set()
    for dtype, many in ((dtype, HALF[dtype]) for dtype in _half_types(harness)):
        weights, optimizer = harness.trained(2, dtype=dtype)
        history = [_numbers(optimizer)]
        for number in range(harness.after(2), harness.after(4)):
            harness.run(optimizer, weights, [number])
            history.append(_numbers(optimizer))
        counts = [
            key
            for key, first in history[0].items()
            if [numbers.get(key) for numbers in history[1:]] == [first + 1, first + 2]
            and math.isfinite(first)
        ]
        if not counts:
            raise NotApplicable("it counts no steps in its state or groups")
        names |= {name for _, name in counts}
        if not any(isinstance(_dicts(optimizer)[at][name], Tensor) for at, name in counts):
            return f"Python numbers count: {', '.join(sorted(names))}"
        _set(optimizer, counts, many)
        try:
            saved = through_a_file(optimizer.state_dict())
            other = harness.build(weights)
            other.load_state_dict(saved)
            for each in (optimizer, other):
                harness.run(each, weights, [harness.after(4)])
        except Exception as error:  # noqa: BLE001 - the code under test may raise anything
            raise NotApplicable(f"it cannot be set to step {many}: {describe(error)}") from None
        for each, origin in ((optimizer, ""), (other, ", loaded from a state dict")):
            _require_counted(each, counts, many, f"{_name(dtype)} weights{origin}")
    counted = ", ".join(f"{_name(dtype)} from {many}" for dtype, many in HALF.items())
    return f"{', '.join(sorted(names))} counted on: {counted}, also after loading"


Key = tuple[int, str]  # an index of `_dicts`, and a key of the dict there


def _dicts(optimizer: Optimizer) -> list[dict[str, Any]]:
    """Return the state of each parameter, and the groups."""
    params = [param for group in optimizer.param_groups for param in group["params"]]
    states = [optimizer.state.get(param) for param in params]
    return [each if isinstance(each, dict) else {} for each in (*states, *optimizer.param_groups)]


def _numbers(optimizer: Optimizer) -> dict[Key, float]:
    """Return the numbers in state and groups, a tensor of equal entries among them."""
    found = {}
    for index, each in enumerate(_dicts(optimizer)):
        for name, value in each.items():
            if isinstance(value, int | float):
                found[index, name] = float(value)
            elif isinstance(value, Tensor) and value.numel() and not value.is_complex():
                entries = value.detach().double().flatten()
                if bool((entries == entries[0]).all()):
                    found[index, name] = float(entries[0])
    return found


def _set(optimizer: Optimizer, keys: Sequence[Key], number: int) -> None:
    dicts = _dicts(optimizer)
    for index, name in keys:
        value = dicts[index][name]
        dicts[index][name] = (
            value.fill_(number) if isinstance(value, Tensor) else type(value)(number)
        )


def _require_counted(optimizer: Optimizer, keys: Sequence[Key], before: int, what: str) -> None:
    dicts, numbers = _dicts(optimizer), _numbers(optimizer)
    for index, name in keys:
        value, now = dicts[index].get(name), numbers.get((index, name), before + 1)
        kind = f", a tensor of {_name(value.dtype)}," if isinstance(value, Tensor) else ""
        require(now == before + 1, f"{what}: {name}{kind} is {now:g} one step after {before}")


@claim("A nan in the gradient of one parameter reaches no other parameter.", "update")
def keeps_nan_in_its_parameter(harness: OptimizerHarness) -> str:
    require_separable(harness)
    shapes = (harness.shapes * 3)[:3]
    weights, plain = harness.weights(shapes), harness.weights(shapes)
    optimizer, other = harness.build(weights), harness.build(plain)
    first, last = harness.after(2), harness.after(5)
    harness.run(optimizer, weights, range(first))
    before = copies(weights)
    for number in range(first, last):
        grads = [gradient(weight, number, place) for place, weight in enumerate(weights)]
        if number == first:
            grads[1].fill_(torch.nan)
        try:
            harness.step(optimizer, number, weights, grads)
        except Exception as error:  # noqa: BLE001 - the code under test may raise anything
            raise NotApplicable(f"it stops at a nan: {describe(error)}") from None
        if furthest(weights, before) == 0:
            return "a step with a nan in a gradient is skipped"
    harness.run(other, plain, range(last))
    for place in (0, 2):
        gap = distance(weights[place], plain[place])
        told = f"tensor {place} differs by {gap:.1e} at step {last}"
        require(gap <= harness.tolerance, f"{told} after a nan for tensor 1 at step {first + 1}")
    return f"3 tensors, {last} steps, a nan for tensor 1 at step {first + 1}"


@claim("Weights stay finite where rows and columns of a gradient are zero.", "update")
def survives_rows_of_zero_gradient(harness: OptimizerHarness) -> str:
    weights = harness.weights()
    optimizer = harness.build(weights)
    steps = range(harness.after(6))
    for number in steps:
        grads = [gradient(weight, number, place) for place, weight in enumerate(weights)]
        for grad in grads if number % 4 < 3 else ():
            for dim in range(grad.dim()):
                grad.select(dim, 0).zero_()
        harness.step(optimizer, number, weights, grads)
        for place, weight in enumerate(weights):
            told = f"tensor {place} of shape {tuple(weight.shape)}"
            require(finite([weight]), f"{told} is not finite after step {number + 1}")
    return f"{len(steps)} steps, the first row and column of most gradients zero"


@claim(
    "Weights stay finite with gradients of 1e-30.",
    "update",
    causes=(survives_rows_of_zero_gradient,),
)
def survives_tiny_gradients(harness: OptimizerHarness) -> str:
    return _stays_finite(harness, TINY)


@claim("Weights stay finite with gradients of 1e12, or as large as the state can hold.", "use")
def survives_huge_gradients(harness: OptimizerHarness) -> str:
    _, optimizer = harness.trained(1)
    held = [tensor.dtype for _, tensor in named_tensors(optimizer.state_dict())]
    limits = [torch.finfo(dtype).max / 64 for dtype in held if dtype.is_floating_point]
    return _stays_finite(harness, min([HUGE, *limits]))


def _stays_finite(harness: OptimizerHarness, scale: float) -> str:
    steps = range(harness.after(4))
    types = [each for each in (torch.float64, torch.float32) if each in harness.subject.dtypes]
    for dtype in types:
        weights = harness.weights(dtype=dtype)
        optimizer = harness.build(weights)
        for number in steps:
            harness.run(optimizer, weights, [number], scale=scale)
            told = f"after step {number + 1} on gradients of {scale:g}"
            require(finite(weights), f"{_name(dtype)} weights are not finite {told}")
    return f"{len(steps)} steps on gradients of {scale:g} in {' and '.join(map(_name, types))}"


@claim("State stops growing after the first steps, or where a hyperparameter bounds it.", "state")
def keeps_state_of_constant_size(harness: OptimizerHarness) -> str:
    sizes = _sizes(harness, harness.shapes, (8, 24, 40))
    after8, after24 = next(sizes), next(sizes)
    if after24 <= after8:
        return f"{after24} numbers in state dict and attributes"
    after40 = next(sizes)
    seen = f"{after8} numbers held after 8 steps, {after24} after 24, {after40} after 40"
    if after40 <= after24:  # a buffer that is made after some steps
        return seen
    for name, value in harness.settings.items():
        if type(value) is not int or value <= BOUND:
            continue
        try:
            early, late = _sizes(harness, harness.shapes[-1:], (8, 24), **{name: BOUND})
        except Exception:  # noqa: BLE001 - the code under test may raise anything
            continue
        if late <= early:
            return f"bounded by {name}: {late} numbers of one tensor with {name}={BOUND}"
    early, late = _sizes(harness, harness.shapes[-1:], (512, 528))
    require(late <= early, f"{seen}; it still grows after 512")
    return f"{seen}; not after 512"


def _sizes(
    harness: OptimizerHarness, shapes: Sequence[Shape], steps: Sequence[int], **overrides: Any
) -> Iterator[int]:
    """Yield how many numbers the state dict and the attributes hold after so many steps."""
    weights = harness.weights(shapes)
    optimizer = harness.build(weights, **overrides)
    for begin, end in itertools.pairwise((0, *map(harness.after, steps))):
        harness.run(optimizer, weights, range(begin, end))
        held = {name: value for name, value in vars(optimizer).items() if name != "state"}
        yield _size(optimizer.state_dict()) + _size(held)


def _size(value: Any) -> int:
    if isinstance(value, Tensor):
        return value.numel()
    if isinstance(value, dict):
        return sum(_size(item) for item in value.values())
    if isinstance(value, list | tuple | set | deque):
        return sum(_size(item) for item in value)
    return 1


@claim("The memory of a step grows in proportion to the size of a matrix.", "use")
def needs_memory_in_proportion_to_the_parameters(harness: OptimizerHarness) -> str:
    if not any(len(shape) == 2 for shape in harness.shapes) or harness.step_inputs == "samples":
        raise NotApplicable("it accepts no matrices of any size")
    small, large = (_memory(harness, shape) for shape in (SMALL, LARGE))
    seen = f"for a weight of {SMALL}, {small}; of {LARGE}, {large}"
    growth = large.peak / max(1.0, small.peak)
    require(growth <= GROWTH, f"{seen}; the largest tensor comes from {large.source}")
    return seen


@dataclass(frozen=True)
class _Memory:
    """What the first steps allocate beside a weight and its gradient, in bytes of the weight."""

    peak: float
    kept: float
    source: str  # operation that made the largest tensor

    def __str__(self) -> str:
        return f"{self.peak:.2f} times its bytes, {self.kept:.2f} of them kept"


def _memory(harness: OptimizerHarness, shape: Shape) -> _Memory:
    weights = harness.weights([shape])
    allocations = _Allocations()
    try:
        with allocations, torch.compiler.set_stance("force_eager"):
            optimizer = harness.build(weights)
        for number in range(harness.after(3)):
            weights[0].grad, grads = None, [gradient(weights[0], number, 0)]
            with allocations, torch.compiler.set_stance("force_eager"):
                harness.step(optimizer, number, weights, grads)
    except Exception as error:  # noqa: BLE001 - the code under test may raise anything
        raise NotApplicable(f"its memory cannot be observed: {describe(error)}") from None
    size = weights[0].nbytes
    return _Memory(allocations.peak / size - 1, allocations.live / size - 1, allocations.source)


class _Allocations(TorchDispatchMode):
    """Bytes of the tensors that operations create inside the mode, as long as they live.

    Attributes:
        live: Bytes alive now.
        peak: The largest number of bytes alive at one time.
        source: Operation that created the largest tensor.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.live = self.peak = self._largest = 0
        self.source = "none"
        self._known: dict[int, weakref.ref[Any]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        for tensor in _tensors((args, kwargs)):
            self._count(tensor.untyped_storage(), 0)
        result = func(*args, **(kwargs or {}))
        for tensor in _tensors(result):
            storage = tensor.untyped_storage()
            if self._count(storage, storage.nbytes()) > self._largest:
                self._largest, self.source = storage.nbytes(), str(func)
        return result

    def _count(self, storage: torch.UntypedStorage, size: int) -> int:
        """Count a storage unless it is known, and return how many bytes were added."""
        key = id(storage)
        if key in self._known:
            return 0

        def freed(_: Any) -> None:
            del self._known[key]
            self.live -= size

        self._known[key] = weakref.ref(storage, freed)
        self.live += size
        self.peak = max(self.peak, self.live)
        return size


def _tensors(tree: Any) -> Iterator[Tensor]:
    return (leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor))


def _half_types(harness: OptimizerHarness) -> list[torch.dtype]:
    types = [dtype for dtype in HALF if dtype in harness.subject.dtypes]
    if not types:
        raise NotApplicable("it steps on neither bfloat16 nor float16")
    return types


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
