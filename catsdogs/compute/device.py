"""Device, precision, determinism and memory allocation of a process."""

import ctypes
import os
import sys
from typing import Literal

import torch

from catsdogs.errors import UserError

MOST_DECODERS = 16


def choose_device(choice: str) -> torch.device:
    """Return the device for `device=`; under torchrun each process gets its own CUDA device.

    Args:
        choice: `auto` (CUDA if available, else the CPU), `cpu`, `cuda`, `cuda:N` or `mps`.

    Raises:
        UserError: If the machine does not have the device.
    """
    if choice == "auto":
        choice = "cuda" if torch.cuda.is_available() else "cpu"
    if choice == "cuda" and "LOCAL_RANK" in os.environ:
        choice = f"cuda:{os.environ['LOCAL_RANK']}"
    device = torch.device(choice)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UserError(
            f"device={choice}: this machine has {torch.cuda.device_count()} CUDA devices; "
            "use device=cpu or device=auto"
        )
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise UserError(
            f"device={choice}: this machine has no MPS device; use device=cpu or device=auto"
        )
    return device


def require_precision(precision: str, device: torch.device) -> None:
    """Check that a device supports the precision of the backbone.

    Raises:
        UserError: For float16 on any device but CUDA.
    """
    if precision == "float16" and device.type != "cuda":
        raise UserError(
            f"model.precision=float16: supported on CUDA only, but the device is {device.type}; "
            "use model.precision=bfloat16 or float32"
        )


def count_decoders(choice: int | Literal["auto"], beside: torch.device | None) -> int:
    """Return the number of processes that decode images.

    Args:
        choice: `data.workers`. `auto` is 1 beside a backbone on the CPU, which itself uses all
            cores, and otherwise all cores but one, at most 16, divided among torchrun's processes.
        beside: Device of the backbone that computes at the same time; None without one.
    """
    if choice != "auto":
        return choice
    if beside is not None and beside.type == "cpu":
        return 1
    share = (usable_cores() - 1) // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    return max(1, min(share, MOST_DECODERS))


def usable_cores() -> int:
    """Return the number of cores that this process may use.

    A container or a batch system may allow fewer than the machine has.
    """
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity is not None else os.cpu_count() or 1


def disable_tf32() -> None:
    """Disable TF32 in cuDNN, so that float32 convolutions keep full precision."""
    torch.backends.cudnn.allow_tf32 = False


def describe_device(device: torch.device) -> str:
    """Return the device with its name or its number of threads, for records."""
    if device.type == "cuda":
        return f"{device} ({torch.cuda.get_device_name(device)})"
    return f"{device} ({torch.get_num_threads()} threads)"


def set_determinism(on: bool) -> None:
    """Enable or disable torch's deterministic algorithms."""
    # cuBLAS reads it at its start; without it torch refuses deterministic matrix products.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(on)
    # Filling new memory only guards against bugs, and costs time.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = not on


def tune_malloc() -> None:
    """Make malloc reuse freed blocks of up to 16 MiB instead of returning them to the system.

    By default glibc requests every large block anew, and the system fills it with zeros page by
    page. For the head's gradient, 8 MB in each training step, that is some 5,000 page faults and
    half of the time. Larger blocks, such as those of a backbone pass, keep the default: if reused,
    they fragment the memory by gigabytes. Does nothing without glibc.
    """
    if not sys.platform.startswith("linux"):
        return
    trim_threshold, mmap_threshold = -1, -3  # from malloc.h
    set_option = getattr(ctypes.CDLL(None), "mallopt", None)
    if set_option is not None:
        set_option(mmap_threshold, 16 << 20)  # bytes
        set_option(trim_threshold, 128 << 20)
