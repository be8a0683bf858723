"""The built wheel, installed away from the source tree and without the network."""

import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

ROOT = Path(__file__).parents[2]


def outside(*command: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a program that does not find the source tree, and return what it did."""
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)


def run(*command: str | Path, cwd: Path) -> str:
    """Run a program that must succeed, and return what it prints."""
    result = outside(*command, cwd=cwd)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def install_wheel(folder: Path) -> Path:
    """Install the wheel in a new environment and return its folder of programs.

    A .pth file makes the dependencies of this environment importable there, but not the project
    itself: Python does not follow the .pth file of an editable install found that way.
    """
    quiet = ("--quiet", "--disable-pip-version-check", "--no-index", "--no-deps")
    build = (sys.executable, "-m", "pip", "wheel", *quiet, "--no-build-isolation")
    run(*build, "--wheel-dir", folder, ROOT, cwd=folder)
    venv.create(folder / "venv", with_pip=False)
    python = folder / "venv" / "bin" / "python"
    (wheel,) = folder.glob("catsdogs-*.whl")
    run(sys.executable, "-m", "pip", "--python", python, "install", *quiet, wheel, cwd=folder)
    site = run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=folder)
    (Path(site.strip()) / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder / "venv" / "bin"
