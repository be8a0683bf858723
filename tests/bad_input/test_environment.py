"""What the machine lacks: space, permission, a home, a device, memory."""

import errno
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from catsdogs import train
from tests.support.catalogue import Case, Make, judge


def failing(name: str, error: Callable[[], Exception]) -> Make:
    """Let what is named raise an error when it is called."""

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
    """A user without a line in the table of users, as containers run."""
    environment(HOME=None, CATSDOGS_CACHE=None, XDG_CACHE_HOME=None)(folder, monkeypatch)
    monkeypatch.setattr("pwd.getpwuid", lambda number: {}[number])


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
    Case(
        "a working directory that is gone",
        "the working directory is gone; change to another",
        make=a_folder_that_is_gone,
    ),
    Case(
        "an output folder within a file",
        "output_dir=a_file/runs: cannot write to this folder (Not a directory); choose another",
        ["output_dir=a_file/runs"],
        make=a_file,
    ),
    Case(
        "an output folder of which the name is too long",
        "...: the name is too long; choose a shorter one",
        [f"output_dir={'a' * 300}"],
    ),
    Case(
        "an output folder of a user who does not exist",
        "output_dir=~no_such_user/runs: there is no such home; write it out",
        ["output_dir='~no_such_user/runs'"],
    ),
    Case(
        "a cache within a file",
        "CATSDOGS_CACHE=.../a_file/cache/drawn: cannot write to this folder (Not a directory); choose another",
        make=a_cache_in_a_file,
    ),
    Case(
        "a cache of a user who does not exist",
        "CATSDOGS_CACHE=~no_such_user/cache: there is no such home; write it out",
        make=environment(CATSDOGS_CACHE="~no_such_user/cache"),
        images=True,
    ),
    Case(
        "no home and no cache named",
        "CATSDOGS_CACHE: this user has no home to keep a cache in; set it to a folder",
        make=without_a_home,
    ),
    Case(
        "a folder that is read-only",
        "output_dir=outputs: cannot write to this folder (Read-only file system); choose another",
        make=failing("tempfile.TemporaryFile", refused(errno.EROFS)),
    ),
    Case(
        "a folder of someone else",
        "output_dir=outputs: cannot write to this folder (Permission denied); choose another",
        make=failing("tempfile.TemporaryFile", refused(errno.EACCES)),
    ),
    Case(
        "no space for the list of pictures",
        ".../cache/manifests/....csv: no space is left on its disk; make room, or choose another folder",
        make=failing("pathlib.Path.write_text", refused(errno.ENOSPC)),
        images=True,
    ),
    Case(
        "no space for the features",
        ".../cache/features/...: no space is left on its disk; make room, or choose another folder",
        make=failing("catsdogs.features.shards._write", refused(errno.ENOSPC)),
        images=True,
    ),
    Case(
        "a quota that is used up",
        ".../cache/features/...: your quota on its disk is used up; make room, or choose another folder",
        make=failing("catsdogs.features.shards._write", refused(errno.EDQUOT)),
        images=True,
    ),
    Case(
        "a disk that fails",
        ".../cache/features/...: its disk reports an error; choose another folder",
        make=failing("catsdogs.features.shards._write", refused(errno.EIO)),
        images=True,
    ),
    Case(
        "too many open files",
        "too many files are open; raise the limit (ulimit -n)",
        make=failing("catsdogs.features.shard_cache.DataLoader", refused(errno.EMFILE)),
        images=True,
    ),
    Case(
        "no more processes",
        "no more processes can be started; use fewer data.workers",
        make=failing("catsdogs.features.shard_cache.DataLoader", refused(errno.EAGAIN)),
        images=True,
    ),
    Case(
        "a decoding process that was killed",
        "data.workers: a process that decodes pictures was killed; use data.workers=0",
        make=failing(
            "catsdogs.data.images.decode",
            lambda: RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed."),
        ),
        images=True,
    ),
    Case(
        "a GPU that is not there",
        "device=cuda: this machine shows 0 CUDA devices; use device=cpu or device=auto",
        ["device=cuda"],
        make=lambda folder, monkeypatch: monkeypatch.setattr("torch.cuda.device_count", lambda: 0),
    ),
    Case(
        "a GPU with a number too high",
        "device=cuda:99: this machine shows 0 CUDA devices; use device=cpu or device=auto",
        ["device=cuda:99"],
    ),
    Case(
        "MPS elsewhere than on a Mac",
        "device=mps: this machine has no MPS; use device=cpu or device=auto",
        ["device=mps"],
        make=lambda folder, monkeypatch: monkeypatch.setattr(
            "torch.backends.mps.is_available", lambda: False
        ),
    ),
    Case(
        "a GPU without memory",
        "out of memory; use a smaller batch_size or val_batch_size, or another device",
        make=failing(
            "catsdogs.features.folded_backbone.FoldedBackbone.__call__",
            lambda: torch.OutOfMemoryError("CUDA out of memory. Tried to\nallocate"),
        ),
        images=True,
    ),
    Case(
        "no memory for an array",
        "out of memory; use a smaller batch_size or val_batch_size, or another device",
        make=failing("catsdogs.features.feature_store.normalise", MemoryError),
        images=True,
    ),
    Case(
        "no memory for a tensor",
        "out of memory; use a smaller batch_size or val_batch_size, or another device",
        make=failing(
            "catsdogs.features.feature_store.normalise",
            lambda: RuntimeError(
                "[enforce fail at alloc_cpu.cpp:121] DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes."
            ),
        ),
        images=True,
    ),
    Case(
        "an output folder of checks within a file",
        "output_dir=a_file/x: cannot write to this folder (Not a directory); choose another",
        ["optimizer=native_sgd", "output_dir=a_file/x"],
        "check",
        make=a_file,
    ),
    Case(
        "an output folder of diamonds within a file",
        "output_dir=a_file/x: cannot write to this folder (Not a directory); choose another",
        ["output_dir=a_file/x"],
        "diamonds",
        make=a_file,
    ),
    Case(
        "an output folder of a comparison within a file",
        "output_dir=a_file/x: cannot write to this folder (Not a directory); choose another",
        ["contenders=[native_sgd]", "seeds=[0]", "output_dir=a_file/x"],
        "compare",
        make=a_file,
        images=True,
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_what_the_machine_refuses_is_told_in_one_line(
    case: Case,
    run: Callable[..., int],
    small: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    judge(case, run, small, tmp_path, monkeypatch, capfd)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Return a function that mounts a disk with the options given; a user who may not skips."""
    mounted: list[Path] = []

    def mount(options: str) -> Path:
        folder = tmp_path / f"disk{len(mounted)}"
        folder.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", options, "none", str(folder)]
        try:
            subprocess.run(command, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            pytest.skip("only a user who may mount a disk can fill one")
        mounted.append(folder)
        return folder

    yield mount
    for folder in mounted:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_disk_that_is_full_in_the_middle_of_a_run_is_told_with_the_file(
    disk: Callable[[str], Path],
    run_train: Callable[..., int],
    small: list[str],
    capfd: pytest.CaptureFixture[str],
) -> None:
    full = disk("size=1m")
    assert run_train(*small, f"output_dir={full}") == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith(f"error: {full}/custom_adam-seed0-")
    assert line.endswith(
        "/best.pt: no space is left on its disk; make room, or choose another folder"
    )
    assert not list(full.rglob("*.pt")), "half a checkpoint"


def test_a_disk_that_is_read_only_is_told_before_anything_is_done(
    disk: Callable[[str], Path],
    run_train: Callable[..., int],
    small: list[str],
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    fixed = disk("ro")
    for setting, arguments in (
        ("output_dir=outputs", small),
        (f"CATSDOGS_CACHE={fixed}/cache/manifests", [*small, f"output_dir={tmp_path}"]),
    ):
        monkeypatch.setenv("CATSDOGS_CACHE", str(fixed / "cache"))
        monkeypatch.chdir(fixed)
        monkeypatch.setattr("sys.argv", ["catsdogs", *arguments])
        with pytest.raises(SystemExit) as stop:
            train.main()
        assert stop.value.code == 2
        assert capfd.readouterr().err == (
            f"error: {setting}: cannot write to this folder (Read-only file system); "
            "choose another\n"
        )
        monkeypatch.chdir(tmp_path)
