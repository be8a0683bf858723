"""The updates of a step, applied one after the other or compiled into one graph."""

import ctypes
import functools
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import types
import warnings
from collections.abc import Callable, Hashable, Iterator
from pathlib import Path
from types import NoneType
from typing import Any, NamedTuple

import torch
from torch import Tensor

# To try a compiler: a program with the headers and flags that torch's own programs need.
PROGRAM = """\
#include <Python.h>
#include <cmath>
#ifdef _OPENMP
#include <omp.h>
#endif
extern "C" double root(double x) { return std::sqrt(x); }
"""
FLAGS = ["-shared", "-fPIC", f"-I{sysconfig.get_path('include')}"]
if sys.platform != "darwin":  # Apple's compiler takes OpenMP in its own way, which torch knows
    FLAGS.append("-fopenmp")
SECONDS = 60  # a compiler that takes longer is waiting for something
PLAIN = {bool, int, float, str, NoneType}  # types of constants that a graph depends on

Graph = Callable[[list[Any], Tensor], None]


class ParamUpdate(NamedTuple):
    """One parameter's part of a step.

    Attributes:
        param: The parameter.
        grad: Its gradient.
        maximize: Whether the update rule gets the negated gradient.
        arguments: What the rule takes besides.
        state: Entries of the parameter's state that hold once the rule has run.
    """

    param: Tensor
    grad: Tensor
    maximize: bool
    arguments: dict[str, Any]
    state: dict[str, Any]


def apply_each(rule: Callable[..., None], updates: list[ParamUpdate]) -> Iterator[ParamUpdate]:
    """Apply the update rule to one parameter after the other, yielding each finished update."""
    for update in updates:
        rule(update.param, -update.grad if update.maximize else update.grad, **update.arguments)
        yield update


class Graphs:
    """The compiled steps of one optimizer.

    Hyperparameters that change are inputs of a graph. A step needs another graph if other
    parameters have a gradient, or if shapes, strides, types, devices, constants, or the arguments
    that are None differ. An optimizer gets `torch._dynamo.config.recompile_limit` graphs, 8 by
    default. Steps that need more, or that the compiler refuses, run uncompiled; the first one
    warns. Optimizers share graphs, but not the limit. A copy starts without graphs.

    Args:
        name: Name of the optimizer, for the warning.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._graphs: dict[Hashable, Graph | None] = {}
        self._warned = False

    def __reduce__(self) -> tuple[type["Graphs"], tuple[str]]:
        return type(self), (self._name,)

    def apply(
        self, rule: Callable[..., None], updates: list[ParamUpdate], varying: tuple[str, ...]
    ) -> Iterator[ParamUpdate]:
        """Apply the update rule to all parameters at once, then yield the updates.

        Args:
            rule: The update function.
            updates: One for each parameter, all with the same names of arguments.
            varying: Names of the arguments that are inputs of a graph: numbers, or None.
        """
        if updates and not self._apply_compiled(rule, updates, varying):
            yield from apply_each(rule, updates)
        else:
            yield from updates

    def _apply_compiled(
        self, rule: Callable[..., None], updates: list[ParamUpdate], varying: tuple[str, ...]
    ) -> bool:
        """Apply the updates in one graph. Return False, with nothing changed, if there is none."""
        constants = tuple(name for name in updates[0].arguments if name not in varying)
        values, numbers, layout = flatten(updates, constants, varying)
        if layout not in self._graphs:
            limit = torch._dynamo.config.recompile_limit
            if len(self._graphs) >= limit:
                self._warn(
                    f"its steps need more than {limit} graphs, and further ones run uncompiled; "
                    "keep shapes and constants, or raise torch._dynamo.config.recompile_limit"
                )
                return False
            tensors = [value for value in values if isinstance(value, Tensor)]
            forms = tuple([(tensor.stride(), tensor.dtype, tensor.device) for tensor in tensors])
            self._graphs[layout] = compile_rule(rule, constants, varying, (layout, forms))
        graph = self._graphs[layout]
        if graph is None:
            return False
        try:
            graph(values, numbers)
        except (
            torch._dynamo.exc.TorchDynamoException,
            torch._dynamo.exc.FailOnRecompileLimitHit,
        ) as error:  # raised while compiling, so before the graph has run
            self._graphs[layout] = None
            reason = str(error.__cause__ or error).strip().splitlines()[0]
            self._warn(f"its step cannot be compiled and runs uncompiled: {reason}")
            return False
        return True

    def _warn(self, reason: str) -> None:
        if not self._warned:
            self._warned = True
            warnings.warn(f"{self._name}.compile: {reason}", stacklevel=2)


def flatten(
    updates: list[ParamUpdate], constants: tuple[str, ...], varying: tuple[str, ...]
) -> tuple[list[Any], Tensor, Hashable]:
    """Return the updates as inputs of a compiled function, and what that function depends on.

    Flat lists keep the compiled guards cheap. A Python number is a constant to the compiler, which
    compiles again when it changes; an element of a tensor is an input. So the varying numbers are
    passed in one tensor; the rules take either.

    Args:
        updates: One for each parameter.
        constants: Names of the arguments that are not varying.
        varying: Names of the arguments that are numbers, or None.

    Returns:
        For each update its parameter, gradient, maximize, names of the varying arguments that are
        None, and the constant arguments; then the varying numbers of all updates in float64; and
        the layout, a key.
    """
    values: list[Any] = []
    numbers: list[float] = []
    layout: list[Any] = [constants]
    for param, grad, maximize, arguments, _ in updates:
        fixed = [arguments[name] for name in constants]
        given = [arguments[name] for name in varying]
        absent = tuple([name for name in varying if arguments[name] is None])
        values += (param, grad, maximize, absent, *fixed)
        numbers += [number for number in given if number is not None] if absent else given
        layout += (param.shape, param.stride(), param.dtype, param.device, maximize, absent)
        # Gradient and state mostly look like the parameter; if not, torch compiles a variant.
        layout += [value if type(value) in PLAIN else type(value) for value in fixed]
    return values, torch.tensor(numbers, dtype=torch.float64, device="cpu"), tuple(layout)


@functools.cache  # torch itself keeps compiled code until the process ends
def compile_rule(
    rule: Callable[..., None],
    constants: tuple[str, ...],
    varying: tuple[str, ...],
    layout: Hashable,  # one function for each
) -> Graph:
    """Return a function of what `flatten` returns that applies `rule` to all parameters.

    It is compiled at its first call.
    """
    width = 4 + len(constants)

    def apply_flat(values: list[Any], numbers: Tensor) -> None:
        number = iter(numbers.unbind())
        for start in range(0, len(values), width):
            param, grad, maximize, absent, *fixed = values[start : start + width]
            arguments = dict(zip(constants, fixed, strict=True))
            arguments |= {name: None if name in absent else next(number) for name in varying}
            rule(param, -grad if maximize else grad, **arguments)

    # torch counts compiled variants by code object: with a copy, each function has its own limit.
    code = apply_flat.__code__.replace()
    return torch.compile(
        types.FunctionType(code, apply_flat.__globals__, closure=apply_flat.__closure__),
        fullgraph=True,  # raise instead of running uncompiled
        dynamic=False,
        # Waking a second thread for a bias takes longer than updating it.
        options={"cpp.min_chunk_size": 65_536},
    )


def add_scaled(tensor: Tensor, other: Tensor, scale: float | Tensor) -> Tensor:
    """Return `tensor.add(other, alpha=scale)`, in compiled rules too, where `scale` is a tensor."""
    if isinstance(scale, Tensor):
        # torch.compile would round the alpha of `add` to float32, and torch 2.11 would fail. Not so
        # for `add_`, and the copy costs nothing there.
        alpha: Any = scale
        return tensor.clone().add_(other, alpha=alpha)
    return tensor.add(other, alpha=scale)


def require_compiler() -> None:
    """Raise unless torch.compile can use a C++ compiler on this machine.

    The compiler is tried once per process: it must turn a few lines into a library that loads.

    Raises:
        RuntimeError: With the cause in one line, instead of the compiler's trace at the first step.
    """
    compiler = os.environ.get("CXX", "clang++" if sys.platform == "darwin" else "g++")
    way_out = "name another in the environment variable CXX, or leave compile off"
    if not compiler.strip() or shutil.which(shlex.split(compiler)[0]) is None:
        raise RuntimeError(
            f"compile needs a C++ compiler and {compiler} is not there: install it, {way_out}"
        )
    try:
        _build_and_load(compiler)
    except (OSError, subprocess.SubprocessError) as error:
        raise RuntimeError(
            f"compile needs a C++ compiler and {compiler} does not work ({_reason(error)}): "
            f"mend it, {way_out}"
        ) from error


@functools.cache
def _build_and_load(compiler: str) -> None:
    """Build a library and load it; only success is cached."""
    with tempfile.TemporaryDirectory() as folder:
        source, library = Path(folder, "root.cpp"), Path(folder, "root.so")
        source.write_text(PROGRAM)
        subprocess.run(
            [*shlex.split(compiler), *FLAGS, str(source), "-o", str(library)],
            capture_output=True,
            text=True,
            check=True,
            timeout=SECONDS,
        )
        ctypes.CDLL(str(library))


def _reason(error: OSError | subprocess.SubprocessError) -> str:
    """Return the cause in one line: the first error that the compiler names."""
    if isinstance(error, subprocess.CalledProcessError):
        said = error.stderr.splitlines()
        named = [line for line in said if "error" in line] or said
        return " ".join(named[0].split()) if named else f"exit status {error.returncode}"
    if isinstance(error, subprocess.TimeoutExpired):
        return f"no answer in {SECONDS} s"
    return " ".join(str(error).split())
