"""Checkpoints: atomic, plain values only, and sufficient to resume a run."""

from pathlib import Path

import pytest
import torch
from torch.optim.lr_scheduler import StepLR

from catsdogs.errors import UserError
from catsdogs.optim import Adam
from catsdogs.training.checkpoint import TrainState, load_checkpoint, save_checkpoint
from catsdogs.training.heads import LinearHead, seeded_head


def new_state() -> TrainState:
    head = seeded_head("linear", 0)
    optimizer = Adam(head.parameters(), lr=0.01)
    return TrainState(head, optimizer, StepLR(optimizer, 2))


def train(train_state: TrainState, steps: int) -> None:
    for _ in range(steps):
        train_state.optimizer.zero_grad()
        train_state.head(torch.randn(2, 512, 8, 8)).sum().backward()
        train_state.optimizer.step()
        assert train_state.scheduler is not None
        train_state.scheduler.step()


def test_a_checkpoint_continues_to_the_same_bits_with_schedule_and_random_numbers(
    tmp_path: Path,
) -> None:
    train_state, other = new_state(), new_state()
    train(train_state, 3)
    save_checkpoint(tmp_path / "last.pt", train_state, {"epoch": 3})
    train(train_state, 4)
    content = load_checkpoint(tmp_path / "last.pt")
    assert content["epoch"] == 3
    other.restore(content)
    train(other, 4)
    assert isinstance(train_state.head, LinearHead)
    assert isinstance(other.head, LinearHead)
    assert torch.equal(train_state.head.weight, other.head.weight)
    rates = [each.optimizer.param_groups[0]["lr"] for each in (train_state, other)]
    assert rates[0] == rates[1] == pytest.approx(0.01 * 0.1**3)


def test_a_failed_write_leaves_the_old_checkpoint_and_no_partial_file(tmp_path: Path) -> None:
    train_state = new_state()
    save_checkpoint(tmp_path / "last.pt", train_state, {"epoch": 1})
    with pytest.raises(Exception, match="pickle"):
        save_checkpoint(tmp_path / "last.pt", train_state, {"epoch": lambda: None})
    assert load_checkpoint(tmp_path / "last.pt")["epoch"] == 1
    assert [file.name for file in tmp_path.iterdir()] == ["last.pt"]


def test_a_file_that_is_not_a_checkpoint_is_refused_in_one_line(tmp_path: Path) -> None:
    torch.save({"weights": torch.zeros(1)}, tmp_path / "other.pt")
    (tmp_path / "damaged.pt").write_bytes(b"PK")
    for name, message in (
        ("other.pt", "not a checkpoint of catsdogs"),
        ("damaged.pt", "not a readable checkpoint"),
        ("absent.pt", "not a readable checkpoint"),
    ):
        with pytest.raises(UserError, match=message):
            load_checkpoint(tmp_path / name)
