"""The chaos test in short: real processes, really killed."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_four_kills_of_real_processes_change_no_bit(tmp_path: Path) -> None:
    saved = tmp_path / "chaos.md"
    arguments = ["--only", "custom_momentum", "--kills", "4", "--save", str(saved)]
    done = subprocess.run(
        [sys.executable, "-m", "scripts.chaos", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    kills = done.stdout.split("kills", 1)[0].split()[-1]
    assert int(kills) >= 1
    assert f"{kills} of {kills} kills recovered bit for bit" in done.stdout
    assert f"{kills} of {kills} kills recovered bit for bit" in saved.read_text()
