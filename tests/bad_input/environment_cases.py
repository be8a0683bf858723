"""Machines without space, permission, a home, a device or memory: cases of the catalogue."""

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.support.catalogue import LONG_NAME, Case, Make


def failing(name: str, error: Callable[[], Exception]) -> Make:
    """Replace the function of a dotted name by one that raises."""

    def make(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(*_: Any, **__: Any) -> None:
            raise error()

        monkeypatch.setattr(name, fail)

    return make


def environment(**values: str | None) -> Make:
    def make(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        for name, value in values.items():
            if value is None:
                monkeypatch.delenv(name, raising=False)
            else:
                monkeypatch.setenv(name, value)

    return make


def without_a_home(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Become a user without an entry in the password database, as containers have."""
    environment(HOME=None, CATSDOGS_CACHE=None, XDG_CACHE_HOME=None)(folder, monkeypatch)
    monkeypatch.setattr("pwd.getpwuid", lambda number: {}[number])


def without_cuda(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)


def a_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "a_file").touch()


def a_cache_in_a_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    a_file(folder, monkeypatch)
    monkeypatch.setenv("CATSDOGS_CACHE", str(folder / "a_file" / "cache"))


def a_folder_that_is_gone(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "gone").mkdir()
    monkeypatch.chdir(folder / "gone")
    (folder / "gone").rmdir()


def refused(number: int) -> Callable[[], OSError]:
    return lambda: OSError(number, os.strerror(number))


CASES = [
    Case("a deleted working directory", make=a_folder_that_is_gone),
    Case("an output folder inside a file", ["output_dir=a_file/runs"], make=a_file),
    Case("an output folder with too long a name", [f"output_dir={LONG_NAME}"]),
    Case("an output folder in the home of an unknown user", ["output_dir='~no_such_user/runs'"]),
    Case("a cache inside a file", make=a_cache_in_a_file),
    Case(
        "a cache in the home of an unknown user",
        make=environment(CATSDOGS_CACHE="~no_such_user/cache"),
        images=True,
    ),
    Case("no home and no CATSDOGS_CACHE", make=without_a_home),
    Case("a read-only folder", make=failing("tempfile.TemporaryFile", refused(errno.EROFS))),
    Case(
        "a folder without write permission",
        make=failing("tempfile.TemporaryFile", refused(errno.EACCES)),
    ),
    Case(
        "a full disk under the manifests",
        make=failing("pathlib.Path.write_text", refused(errno.ENOSPC)),
        images=True,
    ),
    Case(
        "a full disk under the features",
        make=failing("catsdogs.features.shards._write", refused(errno.ENOSPC)),
        images=True,
    ),
    Case(
        "an exceeded quota",
        make=failing("catsdogs.features.shards._write", refused(errno.EDQUOT)),
        images=True,
    ),
    Case(
        "a failing disk",
        make=failing("catsdogs.features.shards._write", refused(errno.EIO)),
        images=True,
    ),
    Case(
        "too many open files",
        make=failing("catsdogs.features.shard_cache.DataLoader", refused(errno.EMFILE)),
        images=True,
    ),
    Case(
        "too many processes",
        make=failing("catsdogs.features.shard_cache.DataLoader", refused(errno.EAGAIN)),
        images=True,
    ),
    Case(
        "a killed worker process",
        make=failing(
            "catsdogs.data.images.decode",
            lambda: RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed."),
        ),
        images=True,
    ),
    Case("a GPU on a machine without one", ["device=cuda"], make=without_cuda),
    Case("a GPU with a number too high", ["device=cuda:99"], make=without_cuda),
    Case(
        "MPS on a machine without it",
        ["device=mps"],
        make=lambda folder, monkeypatch: monkeypatch.setattr(
            "torch.backends.mps.is_available", lambda: False
        ),
    ),
    Case(
        "a GPU out of memory",
        make=failing(
            "catsdogs.features.folded_backbone.FoldedBackbone.__call__",
            lambda: torch.OutOfMemoryError("CUDA out of memory. Tried to\nallocate"),
        ),
        images=True,
    ),
    Case(
        "no memory for a NumPy array",
        make=failing("catsdogs.features.feature_store.normalise", MemoryError),
        images=True,
    ),
    Case(
        "no memory for a tensor",
        make=failing(
            "catsdogs.features.feature_store.normalise",
            lambda: RuntimeError(
                "[enforce fail at alloc_cpu.cpp:121] DefaultCPUAllocator: can't allocate memory: "
                "you tried to allocate 8 bytes."
            ),
        ),
        images=True,
    ),
    Case(
        "an output folder of check inside a file",
        ["optimizer=native_sgd", "output_dir=a_file/x"],
        "check",
        make=a_file,
    ),
    Case(
        "an output folder of diamonds inside a file",
        ["output_dir=a_file/x"],
        "diamonds",
        make=a_file,
    ),
    Case(
        "an output folder of compare inside a file",
        ["contenders=[native_sgd]", "seeds=[0]", "output_dir=a_file/x"],
        "compare",
        make=a_file,
        images=True,
    ),
]
