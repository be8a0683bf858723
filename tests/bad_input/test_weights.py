"""The hostile file of the catalogue of bad input is hostile."""

from pathlib import Path

import pytest
import torch

from tests.bad_input.weight_cases import Code


def test_the_code_in_the_file_runs_when_torch_is_asked_to_run_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"a": Code()}, "code.pt")
    torch.load("code.pt", weights_only=False)
    assert Path("ran").exists()
