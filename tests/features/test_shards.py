"""Shards: rows written in any order are read in any order, and a partial file never is."""

from pathlib import Path

import numpy as np
import pytest

from catsdogs.features import shards as module
from catsdogs.features.shards import ScatteredWriter, Shards

VALUES = np.random.default_rng(0).normal(size=(10, 2, 3)).astype(np.float32)


@pytest.fixture(autouse=True)
def four_rows_per_shard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ROWS_PER_SHARD", 4)


def new_shards(folder: Path) -> Shards:
    folder.mkdir(exist_ok=True)
    return Shards(folder, 10, (2, 3), "float32")


def test_rows_come_back_in_the_order_asked_for_by_whichever_writer(tmp_path: Path) -> None:
    one, other = new_shards(tmp_path / "one"), new_shards(tmp_path / "other")
    for shard in (2, 0, 1):
        one.write(shard, VALUES[one.rows_of(shard)])
    writer = ScatteredWriter(other)
    order = np.random.default_rng(1).permutation(10)
    for rows in np.array_split(order, 3):
        writer.write(rows, VALUES[rows])
    writer.finish()
    rows = np.array([9, 0, 4, 3, 4])
    for shards in (one, other):
        assert np.array_equal(shards[rows], VALUES[rows])
        assert shards.missing(shards.numbers) == []
    assert {f.name: f.read_bytes() for f in one.folder.iterdir()} == {
        f.name: f.read_bytes() for f in other.folder.iterdir()
    }


def test_numpy_reads_a_shard(tmp_path: Path) -> None:
    shards = new_shards(tmp_path)
    shards.write(2, VALUES[8:])
    (file,) = tmp_path.iterdir()
    assert np.array_equal(np.load(file), VALUES[8:])
    assert shards.absent() == [0, 1]


def test_a_row_number_out_of_range_and_a_truncated_file_are_errors(tmp_path: Path) -> None:
    shards = new_shards(tmp_path)
    for shard in shards.numbers:
        shards.write(shard, VALUES[shards.rows_of(shard)])
    for row in (-1, 10):
        with pytest.raises((IndexError, KeyError)):
            shards[np.array([row])]
    first = min(tmp_path.iterdir())
    first.write_bytes(first.read_bytes()[:-1])
    with pytest.raises(OSError, match="row 3 cannot be read"):
        shards[np.array([3])]


def test_scattered_rows_cannot_be_read_before_they_are_finished(tmp_path: Path) -> None:
    shards = new_shards(tmp_path)
    ScatteredWriter(shards).write(np.arange(10), VALUES)
    assert shards.absent() == [0, 1, 2]
