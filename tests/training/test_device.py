"""What a process asks of its memory."""

import subprocess
import sys
import textwrap

import pytest

SCRIPT = """
    import ctypes
    import torch
    from catsdogs.training.device import keep_freed_memory

    class Memory(ctypes.Structure):
        names = "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost"
        _fields_ = [(name, ctypes.c_size_t) for name in names.split()]

    told = getattr(ctypes.CDLL(None), "mallinfo2", None)
    if told is None:
        raise SystemExit("no mallinfo2")
    told.restype = Memory
    if {kept}:
        keep_freed_memory()
    before = told()
    block = torch.ones(1 << 21)
    mapped = told().hblks - before.hblks
    del block
    print(mapped, told().fordblks - before.fordblks >= 8 << 20)
"""


def told(*, kept: bool) -> str:
    code = textwrap.dedent(SCRIPT).format(kept=kept)
    done = subprocess.run([sys.executable, "-c", code], text=True, capture_output=True)
    if done.returncode:
        pytest.skip(f"only glibc tells what it does: {done.stderr.strip()}")
    return done.stdout.strip()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only glibc is told to")
def test_a_block_as_large_as_the_heads_gradient_is_kept_for_the_next_not_mapped_anew() -> None:
    assert told(kept=False) == "1 False"
    assert told(kept=True) == "0 True"
