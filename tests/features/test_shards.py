"""Rows on disk: what is written in any order is read in any order, and never half of it."""

from pathlib import Path

import numpy as np
import pytest

from catsdogs.features import shards
from catsdogs.features.shards import RowFiles, ScatteredWriter

VALUES = np.random.default_rng(0).normal(size=(10, 2, 3)).astype(np.float32)


@pytest.fixture(autouse=True)
def four_in_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "SEGMENT", 4)


def new_files(folder: Path) -> RowFiles:
    folder.mkdir(exist_ok=True)
    return RowFiles(folder, 10, (2, 3), "float32")


def test_rows_come_back_in_the_order_asked_for_whoever_wrote_them(tmp_path: Path) -> None:
    one, other = new_files(tmp_path / "one"), new_files(tmp_path / "other")
    for segment in (2, 0, 1):
        one.write(segment, VALUES[one.rows_of(segment)])
    writer = ScatteredWriter(other)
    order = np.random.default_rng(1).permutation(10)
    for rows in np.array_split(order, 3):
        writer.write(rows, VALUES[rows])
    writer.finish()
    rows = np.array([9, 0, 4, 3, 4])
    for files in (one, other):
        assert np.array_equal(files[rows], VALUES[rows])
        assert files.missing(files.segments) == []
    assert {f.name: f.read_bytes() for f in one.folder.iterdir()} == {
        f.name: f.read_bytes() for f in other.folder.iterdir()
    }


def test_a_file_is_what_numpy_reads(tmp_path: Path) -> None:
    files = new_files(tmp_path)
    files.write(2, VALUES[8:])
    (file,) = tmp_path.iterdir()
    assert np.array_equal(np.load(file), VALUES[8:])
    assert files.absent() == [0, 1]


def test_a_row_that_is_none_and_a_file_that_was_cut_are_errors(tmp_path: Path) -> None:
    files = new_files(tmp_path)
    for segment in files.segments:
        files.write(segment, VALUES[files.rows_of(segment)])
    for row in (-1, 10):
        with pytest.raises((IndexError, KeyError)):
            files[np.array([row])]
    first = min(tmp_path.iterdir())
    first.write_bytes(first.read_bytes()[:-1])
    with pytest.raises(OSError, match="row 3 cannot be read"):
        files[np.array([3])]


def test_nothing_can_be_read_before_the_scattered_rows_are_finished(tmp_path: Path) -> None:
    files = new_files(tmp_path)
    ScatteredWriter(files).write(np.arange(10), VALUES)
    assert files.absent() == [0, 1, 2]
