"""The chaos test in short: real processes, really killed."""

from pathlib import Path

import pytest

from tests.support.processes import run_chaos

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_four_kills_of_real_processes_change_no_bit(tmp_path: Path) -> None:
    saved = tmp_path / "chaos.md"
    said = run_chaos("--only", "custom_momentum", "--kills", "4", "--save", str(saved))
    kills = said.split("kills", 1)[0].split()[-1]
    assert int(kills) >= 1
    assert f"{kills} of {kills} kills recovered bit for bit" in said
    assert f"{kills} of {kills} kills recovered bit for bit" in saved.read_text()
