"""Decoding ahead: every file yields its pixels or a reason, in order."""

import os
from pathlib import Path

import pytest
import torch

from catsdogs.data.decoding import decoded_batches
from catsdogs.data.images import decode
from tests.support.images import write_image


@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_batches_hold_the_pixels_of_the_files_in_order(tmp_path: Path, batch_size: int) -> None:
    files = [tmp_path / f"{number}.png" for number in range(11)]
    for number, file in enumerate(files):
        write_image(file, number)
    batches = list(decoded_batches(files, batch_size, threads=2))
    assert [len(batch) for batch in batches[:-1]] == [batch_size] * (len(batches) - 1)
    decoded = [pixels for batch in batches for pixels in batch]
    for file, pixels in zip(files, decoded, strict=True):
        assert isinstance(pixels, torch.Tensor)
        assert torch.equal(pixels, decode(file))


def test_a_folder_and_an_absent_file_get_their_reasons(tmp_path: Path) -> None:
    batches = decoded_batches([tmp_path, tmp_path / "absent.jpg"], 2, threads=1)
    assert list(batches) == [["OSError: not a regular file", "no such file"]]


def test_a_message_with_a_file_name_in_it_is_escaped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(file: Path) -> torch.Tensor:
        raise ValueError(f"cannot read {file.name}")

    monkeypatch.setattr("catsdogs.data.decoding.decode", fail)
    file = tmp_path / os.fsdecode(b"\xff\x1b.jpg")
    file.touch()
    assert list(decoded_batches([file], 1, threads=1)) == [
        [r"ValueError: cannot read \xff\x1b.jpg"]
    ]
