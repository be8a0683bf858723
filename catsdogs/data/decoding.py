"""Pictures decoded by threads while the backbone is at the batch before."""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from torch import Tensor

from catsdogs.data.images import decode

AHEAD = 3  # batches decoded or being decoded beyond the one in use


def decoded_batches(
    files: Sequence[Path], batch_size: int, threads: int
) -> Iterator[list[Tensor | str]]:
    """Yield for each file, batch by batch in order, its pixels or why there are none.

    Pixels are uint8 of shape (3, 256, 256).
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
        # A pipe that nobody writes to would be waited for without end.
        if file.exists() and not file.is_file():
            return "not a file"
        return decode(file)
    except FileNotFoundError:
        return "there is no such file"
    # Pillow's decoders raise many types for a damaged file; the status keeps which.
    except Exception as error:  # noqa: BLE001
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        return reason.encode("utf-8", "backslashreplace").decode()  # it may hold the file's name
