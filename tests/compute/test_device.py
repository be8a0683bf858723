"""Memory allocation, decoding processes and precision of a device."""

import os
import subprocess
import sys
import textwrap

import pytest
import torch

from catsdogs.compute.device import count_decoders, require_precision
from catsdogs.errors import UserError

SCRIPT = """
    import ctypes
    import torch
    from catsdogs.compute.device import tune_malloc

    class Memory(ctypes.Structure):
        names = "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost"
        _fields_ = [(name, ctypes.c_size_t) for name in names.split()]

    mallinfo = getattr(ctypes.CDLL(None), "mallinfo2", None)
    if mallinfo is None:
        raise SystemExit("no mallinfo2")
    mallinfo.restype = Memory
    if {tuned}:
        tune_malloc()
    before = mallinfo()
    block = torch.ones(1 << 21)
    mapped = mallinfo().hblks - before.hblks
    del block
    # Not the difference to before: the block may start in memory that was free.
    print(mapped, mallinfo().fordblks >= 8 << 20)
"""


def allocations(*, tuned: bool) -> str:
    code = textwrap.dedent(SCRIPT).format(tuned=tuned)
    done = subprocess.run([sys.executable, "-c", code], text=True, capture_output=True)
    if done.returncode:
        pytest.skip(f"needs glibc: {done.stderr.strip()}")
    return done.stdout.strip()


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs glibc")
def test_a_block_as_large_as_the_heads_gradient_is_reused_and_not_mapped_anew() -> None:
    assert allocations(tuned=False) == "1 False"
    assert allocations(tuned=True) == "0 True"


@pytest.mark.parametrize(
    ("cores", "processes", "beside", "expected"),
    [
        (2, 1, "cpu", 1),
        (64, 1, "cpu", 1),
        (1, 1, "cuda", 1),
        (8, 1, "cuda", 7),
        (64, 1, "cuda", 16),
        (64, 8, "cuda", 7),
        (8, 1, None, 7),
        (1, 1, None, 1),
    ],
)
def test_decoders_use_the_cores_that_the_backbone_leaves(
    cores: int,
    processes: int,
    beside: str | None,
    expected: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)), raising=False)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", str(processes))
    device = None if beside is None else torch.device(beside)
    assert count_decoders("auto", device) == expected
    assert count_decoders(0, device) == 0
    assert count_decoders(3, device) == 3


def test_float16_is_supported_on_cuda_only() -> None:
    require_precision("float16", torch.device("cuda"))
    require_precision("bfloat16", torch.device("cpu"))
    for device in ("cpu", "mps"):
        with pytest.raises(UserError, match=f"model.precision=float16: .* is {device}; use"):
            require_precision("float16", torch.device(device))
