"""Claim about torch.compile of the step.

Only the tracing is tried, with the backend `eager`: code is generated from what was traced in any
case, and takes a C++ compiler and tens of seconds.
"""

import contextlib
import inspect
import logging
from collections.abc import Iterator
from typing import Any

import torch

from catsdogs.contract.claims import NotApplicable, claim, closeness, describe, require
from catsdogs.contract.deadline import OutOfTime, deadline
from catsdogs.contract.flags import COUNT
from catsdogs.contract.harness import OptimizerHarness, copies, furthest

STEPS = 3  # by then, numbers that change have become inputs of the compiled code
PATIENCE = 3.0  # seconds of the processor


@claim("A step compiled by torch.compile equals the eager step, or is refused.", "use")
def steps_alike_when_compiled(harness: OptimizerHarness) -> str:
    shapes = harness.shapes if harness.step_inputs == "samples" else harness.shapes[:1]
    weights, plain = harness.weights(shapes), harness.weights(shapes)
    optimizer, eager = harness.build(weights), harness.build(plain)
    start = copies(weights)
    first, last = harness.subject.waiting, harness.after(STEPS)
    harness.run(eager, plain, range(last))
    harness.run(optimizer, weights, range(first))
    before = copies(weights)
    patched: Any = optimizer
    try:
        with deadline(PATIENCE), _compiler_as_before():
            try:
                patched.step = torch.compile(optimizer.step, backend="eager", **_isolated())
                harness.run(optimizer, weights, [first])
            except Exception as error:  # noqa: BLE001 - the code under test may raise anything
                require(furthest(weights, before) == 0, f"weights moved, then {describe(error)}")
                return f"refused: {describe(error)}"
            harness.run(optimizer, weights, range(first + 1, last))
    except OutOfTime:
        raise NotApplicable(f"tracing takes more than {PATIENCE:g} s of the processor") from None
    gap = furthest(weights, plain)
    # Compiled, torch's own optimizers count steps in float32.
    allowed = harness.tolerance + COUNT * furthest(plain, start)
    require(gap <= allowed, f"weights differ by {gap:.1e} after {STEPS} compiled steps")
    return f"equal {closeness(gap)} after {STEPS} compiled steps"


def _isolated() -> dict[str, Any]:
    """Return the option that keeps recompilations off the limit of other compiled functions."""
    newer = "isolate_recompiles" in inspect.signature(torch.compile).parameters
    return {"isolate_recompiles": True} if newer else {}


@contextlib.contextmanager
def _compiler_as_before() -> Iterator[None]:
    """Silence the compiler inside, and forget what was compiled there.

    `torch.compiler.reset` would discard what the caller has compiled too.
    """
    # Not at the top: it takes a second to import, and torch does so when an optimizer is built.
    from torch._C._dynamo.eval_frame import reset_code
    from torch._dynamo import convert_frame

    codes = convert_frame.input_codes
    known = len(codes.seen)
    level = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(level)
        for reference in codes.seen[known:]:
            if (code := reference()) is not None:
                reset_code(code)
                codes.seen_ids.discard(id(code))
        del codes.seen[known:]
