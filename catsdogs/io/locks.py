"""Locks between processes, on file systems that have them."""

import contextlib
import errno
import logging
import os
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

# Some network file systems answer so, and containers that forbid the system call.
NO_LOCKS = {errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL, errno.EIO}
log = logging.getLogger(__name__)


@contextlib.contextmanager
def file_lock(path: Path, *, waiting_for: str | None) -> Iterator[None]:
    """Hold the lock at `path`; where locks do not work, log a warning and go on without.

    Args:
        path: The lock's file.
        waiting_for: What the process that holds the lock does, for a warning before the wait for
            it; None to raise an error instead of waiting.

    Raises:
        filelock.Timeout: If another process holds the lock and `waiting_for` is None.
    """
    lock = FileLock(path)
    try:
        _require_locks(path, wait=False)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            # Without locks a library may wait for a process that does not exist.
            _require_locks(path, wait=True)
            if waiting_for is None:
                raise
            log.warning("waiting for another process that %s (%s)", waiting_for, path)
            lock.acquire()
    except OSError as error:
        if isinstance(error, Timeout) or error.errno not in NO_LOCKS:
            raise
        log.warning(
            "%s: file locks do not work here (%s); going on without, so do not run two commands "
            "that use this folder at the same time",
            path.parent,
            os.strerror(error.errno),
        )
    try:
        yield
    finally:
        # A file system that cannot unlock does so when the file is closed.
        with contextlib.suppress(OSError):
            lock.release()


def _require_locks(path: Path, *, wait: bool) -> None:
    """Raise the system's error if it has no locks for this file.

    Args:
        path: The lock's file.
        wait: Whether a lock that another process holds may be asked for; or else only that nothing
            is locked, which disturbs no other process.
    """
    try:
        import fcntl
    except ImportError:  # Windows, whose file systems have locks
        return
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB if wait else fcntl.LOCK_UN)
    except OSError as error:
        if error.errno in NO_LOCKS:
            raise
    finally:
        os.close(descriptor)
