"""Errors of the classes that a user names: one sentence with the class, the file and the line."""

import contextlib
from collections.abc import Iterator

import torch

from catsdogs.errors import UserError
from catsdogs.io.failure import described

# What says its own reason, or is the machine's.
NOT_ITS_FAULT = (UserError, OSError, MemoryError, torch.OutOfMemoryError)


@contextlib.contextmanager
def blaming(setting: str, whose: object, method: str) -> Iterator[None]:
    """Turn an exception of a method of an optimizer or a scheduler into a `UserError`.

    Not an exception of this project's own classes, which is a bug, nor one of the machine, such as
    a lack of memory.

    Args:
        setting: `optimizer` or `scheduler`.
        whose: The object.
        method: That is called in the block.

    Raises:
        UserError: With the class, what it raised, and the file and line.
    """
    try:
        yield
    except NOT_ITS_FAULT:
        raise
    except Exception as error:
        kind = type(whose)
        if kind.__module__.startswith("catsdogs.") or "can't allocate memory" in str(error):
            raise
        raise UserError(
            f"{setting}: {kind.__module__}.{kind.__qualname__} failed in its {method}: "
            f"{described(error)}; correct the class"
        ) from error
