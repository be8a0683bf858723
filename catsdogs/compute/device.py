"""Where a run computes, how it holds memory, and whether two runs agree to the last bit."""

import ctypes
import os
import sys
from typing import Literal

import torch

from catsdogs.errors import UserError

MOST_DECODERS = 16


def choose_device(choice: str) -> torch.device:
    """Return the device named by the setting; `auto` takes CUDA if there is one, else the CPU.

    Each process that torchrun starts on a machine gets a CUDA device of its own.

    Raises:
        UserError: If the machine does not have it.
    """
    if choice == "auto":
        choice = "cuda" if torch.cuda.is_available() else "cpu"
    if choice == "cuda" and "LOCAL_RANK" in os.environ:
        choice = f"cuda:{os.environ['LOCAL_RANK']}"
    device = torch.device(choice)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UserError(
            f"device={choice}: this machine shows {torch.cuda.device_count()} CUDA devices; "
            "use device=cpu or device=auto"
        )
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise UserError(f"device={choice}: this machine has no MPS; use device=cpu or device=auto")
    return device


def require_precision(precision: str, device: torch.device) -> None:
    """Refuse an arithmetic of the backbone that a device does not have.

    Raises:
        UserError: For float16 anywhere but on CUDA.
    """
    if precision == "float16" and device.type != "cuda":
        raise UserError(
            f"model.precision=float16: only CUDA computes in it, and the device is {device.type}; "
            "use model.precision=bfloat16 or float32"
        )


def count_decoders(choice: int | Literal["auto"], beside: torch.device | None) -> int:
    """Return how many processes decode pictures.

    Args:
        choice: `data.workers`. `auto` is one beside a backbone on the CPU, which itself uses the
            cores, and otherwise all cores but one, at most 16, shared by torchrun's processes.
        beside: Where the backbone computes at the same time; None if none does.
    """
    if choice != "auto":
        return choice
    if beside is not None and beside.type == "cpu":
        return 1
    # A container or a batch system may give fewer cores than the machine has.
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity is not None else os.cpu_count() or 1
    share = (cores - 1) // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    return max(1, min(share, MOST_DECODERS))


def disable_tf32() -> None:
    """Let float32 be float32 on a GPU too, where cuDNN would round what it multiplies to TF32."""
    torch.backends.cudnn.allow_tf32 = False


def describe_device(device: torch.device) -> str:
    """Return the device with what its speed and its sums depend on."""
    if device.type == "cuda":
        return f"{device} ({torch.cuda.get_device_name(device)})"
    return f"{device} ({torch.get_num_threads()} threads)"


def set_determinism(on: bool) -> None:
    """Refuse operations whose result may differ between two runs on the same machine."""
    # cuBLAS reads this when it starts; without it deterministic products are refused.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(on)
    # Filling fresh memory guards against bugs only, and costs time.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = not on


def tune_malloc() -> None:
    """Let this process use freed memory again instead of giving it back to the system each time.

    glibc asks the system for every large block anew, which fills it with zeros page by page: with
    the head's gradient, 8 MB in each training step, some 5,000 page faults and half of the time.
    Larger blocks, as a pass through the backbone takes them, stay as they were: kept, they leave
    holes that add up to gigabytes. Does nothing where there is no glibc.
    """
    if not sys.platform.startswith("linux"):
        return
    trim_threshold, mmap_threshold = -1, -3  # of malloc.h
    set_option = getattr(ctypes.CDLL(None), "mallopt", None)
    if set_option is not None:
        set_option(mmap_threshold, 16 << 20)  # bytes
        set_option(trim_threshold, 128 << 20)
