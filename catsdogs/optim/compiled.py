"""The updates of a step, applied one after the other or compiled into one graph."""

import ctypes
import functools
import inspect
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
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


def apply_compiled(
    rule: Callable[..., None], updates: list[ParamUpdate], varying: tuple[str, ...]
) -> Iterator[ParamUpdate]:
    """Apply the update rule to all parameters in one compiled graph, then yield the updates.

    Args:
        rule: The update function.
        updates: One for each parameter, all with the same names of arguments.
        varying: Names of the arguments that are floats and change from step to step.
    """
    if updates:
        names = tuple(name for name in updates[0].arguments if name not in varying)
        values: list[Any] = []
        numbers: list[float] = []
        for param, grad, maximize, arguments, _ in updates:
            values += [param, grad, maximize, *(arguments[name] for name in names)]
            numbers += [arguments[name] for name in varying]
        tensor = torch.tensor(numbers, dtype=torch.float64)
        on_cpu = all(update.param.is_cpu for update in updates)
        compile_rule(rule, names, varying)(values, tensor if on_cpu else tensor.unbind())
    yield from updates


@functools.cache
def compile_rule(
    rule: Callable[..., None], names: tuple[str, ...], varying: tuple[str, ...]
) -> Callable[[list[Any], Tensor | tuple[Tensor, ...]], None]:
    """Return a function that applies `rule` to all parameters of a step, compiled.

    Its inputs are flat lists, which keep the compiled guards cheap. A Python number is a constant
    to the compiler, which compiles again when it changes; an element of a tensor is an input. So
    the varying numbers are passed as tensors; the rules take either.

    One tensor for all of them is the fastest on the CPU. For parameters on another device each
    number is a separate CPU tensor without dimensions, which a kernel takes by value: of a larger
    one it would get the address, which is not on its device.

    Args:
        rule: The update function.
        names: Its arguments after parameter and gradient, without the varying ones.
        varying: Names of the varying ones.

    Returns:
        A function of a list with parameter, gradient, maximize and the named arguments of each
        update, and of the varying numbers, update by update: a float64 tensor with all of them, or
        a tuple of float64 tensors with one each.
    """
    width = 3 + len(names)

    def apply_flat(values: list[Any], numbers: Tensor | tuple[Tensor, ...]) -> None:
        number = iter(numbers)
        for start in range(0, len(values), width):
            param, grad, maximize, *others = values[start : start + width]
            arguments = dict(zip(names, others, strict=True))
            arguments |= {name: next(number) for name in varying}
            rule(param, -grad if maximize else grad, **arguments)

    # Without isolation, rules share one limit of recompilations, since they share this function.
    newer = "isolate_recompiles" in inspect.signature(torch.compile).parameters
    isolated: dict[str, Any] = {"isolate_recompiles": True} if newer else {}
    return torch.compile(
        apply_flat,
        fullgraph=True,  # beyond the limit, raise instead of running uncompiled
        # Waking a second thread for a bias takes longer than updating it.
        options={"cpp.min_chunk_size": 65_536},
        **isolated,
    )


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
