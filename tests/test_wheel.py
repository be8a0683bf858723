"""The built wheel, installed away from the source tree, starts from an empty directory."""

import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def run(*command: str | Path, cwd: Path) -> str:
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
    answer = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    return answer.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the bin folder of a new environment that holds the wheel.

    Its dependencies are the present environment's: a .pth file makes them importable, and not the
    project itself, whose own .pth file is read in its own environment only.
    """
    folder = tmp_path_factory.mktemp("wheel")
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


@pytest.mark.slow
def test_the_console_script_and_the_module_start_with_the_wheel_own_conf(
    installed: Path, tmp_path: Path
) -> None:
    where = run(
        installed / "python", "-c", "import catsdogs; print(catsdogs.__file__)", cwd=tmp_path
    )
    assert Path(where).is_relative_to(installed.parent)
    assert "optimizer: custom_adam" in run(installed / "catsdogs-train", "--help", cwd=tmp_path)
    load = "from catsdogs.features.backbone import find_weights; find_weights('embedded')"
    run(installed / "python", "-c", load, cwd=tmp_path)
    assert "runs: ???" in run(installed / "catsdogs-report", "--help", cwd=tmp_path)
    assert "pictures: ???" in run(installed / "catsdogs-predict", "--help", cwd=tmp_path)
    empty_page = (
        "from catsdogs.inference.gallery import choose, gallery\n"
        "print(gallery(choose([]), [], [], lead='A lead'))"
    )
    assert "A lead" in run(installed / "python", "-c", empty_page, cwd=tmp_path)
    write = (
        "from catsdogs.reporting.document import Document\n"
        "from catsdogs.reporting.render import page\n"
        "print(page(Document('A title', '', ()), {}))"
    )
    assert "<h1>A title</h1>" in run(installed / "python", "-c", write, cwd=tmp_path)
    shown = run(installed / "python", "-m", "catsdogs.train", "--cfg", "job", cwd=tmp_path)
    assert "_target_: catsdogs.optim.Adam" in shown
    assert not list(tmp_path.iterdir())
