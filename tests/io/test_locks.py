"""Locks: held by one process at a time, and no endless wait where a file system has none."""

import errno
import fcntl
import logging
import os
from pathlib import Path

import pytest
from filelock import FileLock, Timeout

from catsdogs.io.locks import file_lock


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
@pytest.mark.parametrize("harmless", [0, fcntl.LOCK_UN], ids=["all fail", "unlocking succeeds"])
@pytest.mark.parametrize("waiting_for", ["computes", None])
def test_where_locks_do_not_work_it_says_so_and_goes_on(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    number: int,
    harmless: int,
    waiting_for: str | None,
) -> None:
    def refuse(descriptor: int, operation: int) -> None:
        if operation != harmless:
            raise OSError(number, os.strerror(number))

    if (number, harmless) == (errno.ENOSYS, fcntl.LOCK_UN):
        pytest.skip("a system call that does not exist never succeeds")
    monkeypatch.setattr("fcntl.flock", refuse)
    path = tmp_path / "x.lock"
    path.touch()  # as an earlier process leaves it
    with file_lock(path, waiting_for=waiting_for):
        pass
    (line,) = caplog.messages
    assert line.startswith(
        f"{tmp_path}: file locks do not work here ({os.strerror(number)}); going"
    )


def test_a_lock_that_another_holds_is_refused_or_waited_for_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "x.lock"
    other = FileLock(path)
    other.acquire()
    with pytest.raises(Timeout), file_lock(path, waiting_for=None):
        pass
    assert not caplog.messages

    def release_with_the_warning(record: logging.LogRecord) -> bool:
        other.release(force=True)
        return True

    caplog.handler.addFilter(release_with_the_warning)
    with file_lock(path, waiting_for="computes the same"):
        pass
    caplog.handler.removeFilter(release_with_the_warning)
    assert caplog.messages == [f"waiting for another process that computes the same ({path})"]
