"""Source code behind a run's optimizer and scheduler, as far as it is the user's own."""

import ast
import functools
import hashlib
import importlib.metadata
import importlib.util
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from catsdogs.contract.subject import class_of
from catsdogs.io.failure import INSTALLED
from catsdogs.io.files import checksum
from catsdogs.io.text import one_line
from catsdogs.runs.environment import PACKAGES

OURS = "catsdogs"
OPTIMIZERS = "catsdogs.optim"  # the part of this project that a run's numbers are about
SCRIPT = "__main__"


def source_of(*builds: Callable[..., Any] | None) -> dict[str, str]:
    """Return what the code of classes or functions is identified by.

    Args:
        builds: Classes, functions or `functools.partial` of them; None is left out.

    Returns:
        By name: the SHA-256 of every file of the user's own that the code is in or imports, and the
        version of every package. Of a script or a notebook, which also has the call, only the text
        of the classes counts. Packages that a record has in its versions are left out.
    """
    found: dict[str, str] = {}
    for build in builds:
        if build is not None:
            code = class_of(build)
            code = getattr(code, "__func__", code)  # of a method
            found |= _source_of(code if inspect.isroutine(code) else _class(code))
    return found


def changed_source(before: Any, now: Mapping[str, str]) -> list[str]:
    """Return the names of the files and packages that differ.

    Args:
        before: Recorded; None, as in a run of version 0.1.0, differs from nothing.
        now: From `source_of`.
    """
    if not isinstance(before, dict):
        return []
    names = sorted(map(str, before.keys() | now.keys()))
    return [one_line(name) for name in names if before.get(name) != now.get(name)]


def _class(code: Any) -> type:
    return code if isinstance(code, type) else type(code)


@functools.cache
def _source_of(build: Any) -> dict[str, str]:
    found: dict[str, str] = {}
    seen: set[str] = set()
    for each in build.__mro__ if isinstance(build, type) else (build,):
        name = str(each.__module__)
        if name == SCRIPT:
            found |= _text_of(each)
        _add_module(name, found, seen)
    return found


def _text_of(build: Any) -> dict[str, str]:
    try:
        text = inspect.getsource(build)
    except (OSError, TypeError):
        return {}
    # The file name is not part of it: a notebook's cell has another one every time.
    return {str(getattr(build, "__qualname__", build)): hashlib.sha256(text.encode()).hexdigest()}


def _add_module(name: str, found: dict[str, str], seen: set[str]) -> None:
    """Add a module and what it imports, without its packages' own imports."""
    module = sys.modules.get(name)
    top = name.partition(".")[0]
    if name in seen or module is None or (top in sys.stdlib_module_names and name != SCRIPT):
        return
    seen.add(name)
    if top == OURS and not f"{name}.".startswith(f"{OPTIMIZERS}."):
        return
    file = Path(getattr(module, "__file__", None) or "")
    if not INSTALLED.isdisjoint(file.parts):
        if top not in (OURS, *PACKAGES):
            found |= _version_of(top)
        return
    if not file.is_file():
        return
    if name != SCRIPT:
        found[name] = checksum(file)
    for imported in _imports(module, file):
        _add_module(imported, found, seen)


def _imports(module: ModuleType, file: Path) -> Iterator[str]:
    """Yield the full name of everything that a module's file imports, at any depth of its code."""
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError):  # compiled, or edited since it was imported
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            source = "." * node.level + (node.module or "")
            if node.level:
                try:
                    source = importlib.util.resolve_name(source, module.__package__ or None)
                except ImportError:
                    continue
            yield source
            yield from (f"{source}.{alias.name}" for alias in node.names)


def _version_of(package: str) -> dict[str, str]:
    try:
        return {package: importlib.metadata.version(package)}
    except importlib.metadata.PackageNotFoundError:
        names = importlib.metadata.packages_distributions().get(package, [])
    return {name: importlib.metadata.version(name) for name in names}
