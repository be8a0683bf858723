"""Atomic files and folders, and the cache directory."""

import errno
import os
from pathlib import Path

import pytest

from catsdogs.errors import UserError
from catsdogs.io.files import (
    atomic_directory,
    atomic_file,
    atomic_write_text,
    cache_directory,
    make_directory,
    probe_directory,
    quarantine,
    sync,
)
from tests.support.faults import failing


def test_a_file_keeps_its_old_content_when_writing_fails(tmp_path: Path) -> None:
    atomic_write_text(tmp_path / "a.txt", "old")
    with pytest.raises(RuntimeError), atomic_file(tmp_path / "a.txt") as partial:
        partial.write_text("half")
        raise RuntimeError
    assert (tmp_path / "a.txt").read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_folder_keeps_its_old_content_when_filling_fails(tmp_path: Path) -> None:
    with atomic_directory(tmp_path / "a") as partial:
        (partial / "old").touch()
    with pytest.raises(RuntimeError), atomic_directory(tmp_path / "a") as partial:
        (partial / "new").touch()
        raise RuntimeError
    assert [file.name for file in (tmp_path / "a").iterdir()] == ["old"]
    with atomic_directory(tmp_path / "a") as partial:
        (partial / "new").touch()
    assert [file.name for file in (tmp_path / "a").iterdir()] == ["new"]
    assert len(list(tmp_path.iterdir())) == 1


def test_a_probe_leaves_nothing_behind_and_keeps_existing_folders(tmp_path: Path) -> None:
    probe_directory(tmp_path / "a" / "b", "output_dir")
    assert not list(tmp_path.iterdir())
    (tmp_path / "c").mkdir()
    probe_directory(tmp_path / "c", "output_dir")
    assert [path.name for path in tmp_path.iterdir()] == ["c"]


def test_a_folder_that_cannot_be_written_is_named_with_its_setting(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"output_dir=.*file/below: cannot write.*choose another"):
        make_directory(tmp_path / "file" / "below", "output_dir")


def test_the_cache_follows_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CATSDOGS_CACHE", "/somewhere/else")
    assert cache_directory() == Path("/somewhere/else")
    monkeypatch.delenv("CATSDOGS_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/the/users")
    assert cache_directory() == Path("/the/users/catsdogs")


def test_a_quarantined_file_keeps_its_content_and_replaces_no_other(tmp_path: Path) -> None:
    for content in ("one", "two"):
        (tmp_path / "a").write_text(content)
        quarantine(tmp_path / "a")
    found = {file.name: file.read_text() for file in tmp_path.iterdir()}
    assert found == {"a.damaged": "one", "a.damaged-2": "two"}


def test_a_file_is_written_though_its_folder_cannot_be_synced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", failing(errno.EINVAL))
    atomic_write_text(tmp_path / "a.txt", "new")
    assert (tmp_path / "a.txt").read_text() == "new"


def test_a_disk_that_fails_to_sync_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", failing(errno.EIO))
    with pytest.raises(OSError, match="Input/output error"):
        sync(tmp_path)


def test_an_error_is_that_of_the_write_though_the_temporary_file_cannot_be_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "unlink", failing(errno.EBUSY))
    atomic_write_text(tmp_path / "a.txt", "new")
    with pytest.raises(RuntimeError, match="of the writer"), atomic_file(tmp_path / "a.txt"):
        raise RuntimeError("of the writer")
    assert (tmp_path / "a.txt").read_text() == "new"
