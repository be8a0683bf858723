"""Decoding of images in threads, ahead of the batch that the backbone computes.

For predictions: every unreadable file gets a status and the others their pixels, and a program that
calls `predict` starts no processes. A feature store decodes in processes instead, `data.workers` of
them (features/shard_cache.py): more decode at the same time, and one unreadable image is an error.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from torch import Tensor

from catsdogs.data.images import decode
from catsdogs.io.text import one_line

AHEAD = 3  # batches decoded or being decoded beyond the one in use


def decoded_batches(
    files: Sequence[Path], batch_size: int, threads: int
) -> Iterator[list[Tensor | str]]:
    """Yield the files' pixels in batches, in order.

    Args:
        files: The images.
        batch_size: Of all batches but the last, which may be smaller.
        threads: Number of threads that decode.

    Yields:
        For each file of a batch its pixels, uint8 of shape (3, 256, 256), or the reason why it has
        none, on one line.
    """
    # Pillow releases the interpreter lock while it decodes.
    pool = ThreadPoolExecutor(threads)
    ahead: deque[list[Future[Tensor | str]]] = deque()
    try:
        for start in range(0, len(files), batch_size):
            ahead.append([pool.submit(_read, f) for f in files[start : start + batch_size]])
            if len(ahead) > AHEAD:
                yield [future.result() for future in ahead.popleft()]
        while ahead:
            yield [future.result() for future in ahead.popleft()]
    finally:
        pool.shutdown(cancel_futures=True)


def _read(file: Path) -> Tensor | str:
    try:
        return decode(file)
    except FileNotFoundError:
        return "no such file"
    # Pillow's decoders raise many types for a damaged file; the status names the type.
    except Exception as error:  # noqa: BLE001
        return one_line(" ".join(f"{type(error).__name__}: {error}".split()))
