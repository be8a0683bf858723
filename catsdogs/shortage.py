"""What a machine refuses a command, told in one line: space, permission, memory, processes."""

import errno

OF_A_FILE = {
    errno.ENOSPC: "no space is left on its disk; make room, or choose another folder",
    errno.EDQUOT: "your quota on its disk is used up; make room, or choose another folder",
    errno.EROFS: "its disk is read-only; choose another folder",
    errno.EACCES: "permission denied; change its permissions, or choose another",
    errno.EPERM: "permission denied; change its permissions, or choose another",
    errno.ENAMETOOLONG: "the name is too long; choose a shorter one",
    errno.ELOOP: "a link leads back to itself; choose another path",
    errno.EIO: "its disk reports an error; choose another folder",
}
OF_ALL = {
    errno.EMFILE: "too many files are open; raise the limit (ulimit -n)",
    errno.ENFILE: "too many files are open on this machine; close some programs",
    errno.EAGAIN: "no more processes can be started; use fewer data.workers",
    errno.ENOMEM: "the memory is used up; use a smaller batch_size or fewer data.workers",
}
MEMORY = "out of memory; use a smaller batch_size or val_batch_size, or another device"


def shortage(error: BaseException) -> str | None:
    """Return what the machine lacked and the way out; None if that is not what the error tells.

    An error that hides the one of the system, as torch's writer does, is asked for that one.
    """
    # torch is known by its words: a report is made without it.
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return MEMORY
    if isinstance(error, RuntimeError):
        if "can't allocate memory" in str(error):
            return MEMORY
        if "DataLoader worker" in str(error) and "killed by signal" in str(error):
            return "data.workers: a process that decodes pictures was killed; use data.workers=0"
    if isinstance(error, OSError) and error.errno in OF_A_FILE:
        return f"{error.filename or 'a file'}: {OF_A_FILE[error.errno]}"
    if isinstance(error, OSError) and error.errno in OF_ALL:
        return OF_ALL[error.errno]
    hidden = error.__cause__ or error.__context__
    return shortage(hidden) if isinstance(error, RuntimeError) and hidden else None
