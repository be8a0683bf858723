"""Checkpoints: whole or not there, plain values only, and everything that continues a run."""

from pathlib import Path

import pytest
import torch
from torch import nn

from catsdogs.errors import UserError
from catsdogs.optim import Adam
from catsdogs.training.checkpoint import load_checkpoint, save_checkpoint


def trained() -> tuple[nn.Linear, Adam]:
    torch.manual_seed(0)
    head = nn.Linear(3, 1)
    optimizer = Adam(head.parameters(), lr=0.01)
    for _ in range(3):
        head(torch.randn(2, 3)).sum().backward()
        optimizer.step()
    return head, optimizer


def test_a_checkpoint_continues_to_the_same_bits(tmp_path: Path) -> None:
    head, optimizer = trained()
    save_checkpoint(tmp_path / "last.pt", head, optimizer, {"epoch": 3})
    content = load_checkpoint(tmp_path / "last.pt")
    other = nn.Linear(3, 1)
    other.load_state_dict(content["head"])
    resumed = Adam(other.parameters())
    resumed.load_state_dict(content["optimizer"])
    for one, its_optimizer in ((head, optimizer), (other, resumed)):
        one.zero_grad()
        one(torch.ones(2, 3)).sum().backward()
        its_optimizer.step()
    assert torch.equal(head.weight, other.weight)
    assert content["epoch"] == 3


def test_a_failed_write_leaves_the_old_checkpoint_and_no_part_of_the_new(tmp_path: Path) -> None:
    head, optimizer = trained()
    save_checkpoint(tmp_path / "last.pt", head, optimizer, {"epoch": 1})
    with pytest.raises(Exception, match="pickle"):
        save_checkpoint(tmp_path / "last.pt", head, optimizer, {"epoch": lambda: None})
    assert load_checkpoint(tmp_path / "last.pt")["epoch"] == 1
    assert [file.name for file in tmp_path.iterdir()] == ["last.pt"]


def test_a_file_that_is_no_checkpoint_is_refused_in_one_line(tmp_path: Path) -> None:
    torch.save({"weights": torch.zeros(1)}, tmp_path / "other.pt")
    (tmp_path / "damaged.pt").write_bytes(b"PK")
    for name, message in (
        ("other.pt", "not a checkpoint of catsdogs"),
        ("damaged.pt", "not a readable checkpoint"),
        ("absent.pt", "not a readable checkpoint"),
    ):
        with pytest.raises(UserError, match=message):
            load_checkpoint(tmp_path / name)
