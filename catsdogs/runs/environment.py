"""Versions, hardware and commit of a run, for its record."""

import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

from catsdogs._version import __version__

PACKAGES = ("torch", "torchvision", "numpy", "pillow", "hydra-core", "tensorboard")


def versions(*also: str) -> dict[str, str]:
    """Return the versions of Python and of the packages that affect a run's numbers.

    Args:
        also: Further packages to include.
    """
    found = {"python": platform.python_version(), "catsdogs": __version__}
    for package in (*PACKAGES, *also):
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found


def hardware() -> dict[str, Any]:
    """Return the system, the processor, the number of cores and the bytes of memory."""
    return {
        "system": platform.platform(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
    }


def git_state() -> dict[str, Any] | None:
    """Return the source tree's commit and whether it has local changes; None when installed."""
    tree = Path(__file__).resolve().parents[2]
    if not (tree / ".git").exists():
        return None
    try:
        commit, status = (
            subprocess.run(
                ["git", "-C", str(tree), *arguments],
                capture_output=True,
                text=True,
                check=True,
                timeout=10,
            ).stdout.strip()
            for arguments in (("rev-parse", "HEAD"), ("status", "--porcelain"))
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return {"commit": commit, "changed": bool(status)}


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
