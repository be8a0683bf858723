"""Claims about training on a GPU: CUDA graphs, state from the CPU, and overflows under a scaler.

A scaler works on a CPU too, so that its claim applies to every device.
"""

import contextlib
import io
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torch.optim import Optimizer

from catsdogs.contract.claims import (
    NotApplicable,
    claim,
    closeness,
    require,
    require_scalable,
    require_setting,
)
from catsdogs.contract.flags import require_accepted
from catsdogs.contract.harness import OptimizerHarness, copies, furthest, gradient, origin
from catsdogs.optim.state_size import named_tensors

STEPS = 3
SCALE = 1024.0  # of a loss; a power of 2, so that scaling rounds nothing


@claim("With capturable=True, a step replayed from a CUDA graph equals an eager step.", "use")
def replays_from_a_cuda_graph(harness: OptimizerHarness) -> str:
    _require_cuda(harness)
    require_setting(harness, "capturable")
    _require_plain_steps(harness)
    require_accepted(harness, harness.weights(), capturable=True)
    weights, plain = harness.weights(), harness.weights()
    optimizer, eager = (harness.build(each, capturable=True) for each in (weights, plain))
    first, last = harness.after(STEPS), harness.after(2 * STEPS)
    harness.run(eager, plain, range(last))
    with torch.cuda.device(harness.subject.device):
        # Steps before the capture make the state, on another stream, as torch's notes demand.
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            harness.run(optimizer, weights, range(first))
        torch.cuda.current_stream().wait_stream(side)
        before = copies(weights)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            optimizer.step()
        require(furthest(weights, before) == 0, "weights moved while the step was captured")
        for number in range(first, last):
            for place, weight in enumerate(weights):
                assert weight.grad is not None
                weight.grad.copy_(gradient(weight, number, place))  # the graph reads this memory
            graph.replay()
    gap = furthest(weights, plain)
    seen = f"{first} eager steps and {last - first} replayed ones"
    require(gap <= harness.tolerance, f"weights differ by {gap:.1e} after {seen}")
    return f"equal {closeness(gap)} after {seen}"


@claim("A state that was loaded onto the CPU continues on the GPU.", "state")
def continues_on_the_gpu_from_a_cpu_checkpoint(harness: OptimizerHarness) -> str:
    _require_cuda(harness)
    direct, _ = _resumed(harness, harness.subject.device)
    weights, optimizer = _resumed(harness, torch.device("cpu"))
    gap = furthest(weights, direct)
    require(gap <= harness.tolerance, f"weights differ by {gap:.1e} after {STEPS} steps")
    # A count of steps may stay on the CPU, as torch's does.
    left = [
        name
        for weight in weights
        for name, tensor in named_tensors(optimizer.state.get(weight, {}))
        if tensor.dim() > 0 and tensor.device != weight.device
    ]
    require(not left, f"state on the CPU after {STEPS} steps: {', '.join(sorted(set(left)))}")
    return f"equal {closeness(gap)} after {STEPS} + {STEPS} steps"


@claim("A step that a gradient scaler skips after an overflow leaves no trace.", "use")
def forgets_a_step_that_overflowed(harness: OptimizerHarness) -> str:
    require_scalable(harness)
    steps = range(harness.after(STEPS))
    weights, plain = (harness.weights(dtype=torch.float32) for _ in range(2))
    _run_scaled(harness, plain, steps, overflows=())
    with _uninitialised_memory_is_nan():
        _run_scaled(harness, weights, steps, overflows=(0, len(steps) - 1))
    gap = furthest(weights, plain)
    seen = f"{len(steps)} steps, two more overflowed before step 1 and step {len(steps)}"
    require(gap <= harness.tolerance, f"weights differ by {gap:.1e} after {seen}")
    return f"equal {closeness(gap)} after {seen}"


def _require_cuda(harness: OptimizerHarness) -> None:
    if harness.subject.device.type != "cuda":
        raise NotApplicable("needs device=cuda")


def _require_plain_steps(harness: OptimizerHarness) -> None:
    """Raise `NotApplicable` if a step needs more than gradients, which a graph does not repeat."""
    subject = harness.subject
    given = subject.closure or subject.create_graph or subject.needs_no_grad
    if given or subject.step_inputs or subject.random:
        needs = subject.needs or subject.step_inputs or "random numbers"
        raise NotApplicable(f"its steps need {needs}, which a CUDA graph does not repeat")


def _resumed(harness: OptimizerHarness, device: torch.device) -> tuple[list[Tensor], Optimizer]:
    """Return weights whose training was interrupted, with the state read onto a device."""
    saved, optimizer = harness.trained(STEPS)
    file = io.BytesIO()
    torch.save(optimizer.state_dict(), file)
    file.seek(0)
    weights = [weight.requires_grad_() for weight in copies(saved)]
    loaded = harness.build(weights)
    loaded.load_state_dict(torch.load(file, map_location=device, weights_only=True))
    harness.run(loaded, weights, range(harness.after(STEPS), harness.after(2 * STEPS)))
    return weights, loaded


def _run_scaled(
    harness: OptimizerHarness, weights: Sequence[Tensor], steps: range, overflows: Sequence[int]
) -> None:
    """Take steps under a gradient scaler, with an overflow before some of them."""
    device = harness.subject.device.type
    optimizer = harness.build(weights)
    scaler = torch.amp.GradScaler(device, init_scale=SCALE, growth_interval=1000)
    scaler.scale(torch.zeros((), device=device))  # the scaler creates its scale at its first use
    for number in steps:
        for overflow in (True, False) if number in overflows else (False,):
            for place, weight in enumerate(weights):
                weight.grad = gradient(weight, number, place)
            inputs = origin(optimizer, number)
            scale = torch.inf if overflow else scaler.get_scale()
            for weight in weights:
                weight.grad = None if weight.grad is None else weight.grad * scale
            if harness.subject.random:
                torch.manual_seed(number)
            scaler.step(optimizer, **inputs)
            scaler.update()


@contextlib.contextmanager
def _uninitialised_memory_is_nan() -> Iterator[None]:
    """Switch on the mode in which torch.empty fills its tensor with nan."""
    was = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(was, warn_only=warn_only)
