"""The C++ compiler that torch.compile needs for the CPU, tried before anything depends on it."""

import ctypes
import functools
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

# The headers and the flags are those that torch's own programs need.
PROGRAM = """\
#include <Python.h>
#include <cmath>
#ifdef _OPENMP
#include <omp.h>
#endif
extern "C" double root(double x) { return std::sqrt(x); }
"""
FLAGS = ["-shared", "-fPIC", f"-I{sysconfig.get_path('include')}"]
if sys.platform != "darwin":  # Apple's takes OpenMP in ways of its own, which torch knows
    FLAGS.append("-fopenmp")
SECONDS = 60  # a compiler that has not answered by then waits for something


def require_compiler() -> None:
    """Refuse to compile where torch.compile would find no compiler, or one that does not work.

    The compiler is tried once per process: it must turn a few lines into a library that loads.

    Raises:
        RuntimeError: In one line, instead of the compiler's trace at the first step.
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
    """Build a library and load it; only success is remembered."""
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
    """Return what went wrong in one line: the first error that the compiler names."""
    if isinstance(error, subprocess.CalledProcessError):
        said = error.stderr.splitlines()
        named = [line for line in said if "error" in line] or said
        return " ".join(named[0].split()) if named else f"exit status {error.returncode}"
    if isinstance(error, subprocess.TimeoutExpired):
        return f"no answer in {SECONDS} s"
    return " ".join(str(error).split())
