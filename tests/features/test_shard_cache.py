"""Pixel cache: images are decoded once for all epochs and seeds, stored and checked."""

import dataclasses
import logging
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from torch import Tensor

from catsdogs.data import images
from catsdogs.data.images import decode
from catsdogs.data.manifest import Manifest, make_manifest
from catsdogs.errors import UserError
from catsdogs.features import shard_cache, shards
from catsdogs.features.drifting_features import ViewFeatures
from catsdogs.features.drifting_pass import ViewPass
from catsdogs.features.shard_cache import Pixels
from catsdogs.features.shards import Shards
from tests.features.test_drifting_features import forbidden, passes, small_weights, stored
from tests.support.images import PER_CLASS

__all__ = ["passes", "small_weights"]  # fixtures


@pytest.fixture
def manifest(images: Path) -> Manifest:
    return make_manifest(images, PER_CLASS)


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Yield a list that the names of decoded files are appended to."""
    names: list[str] = []

    def decode_and_record(file: Path, sha256: str) -> Tensor:
        names.append(file.name)
        return decode(file, sha256)

    monkeypatch.setattr(images, "decode", decode_and_record)
    yield names


@pytest.fixture
def by_eights(monkeypatch: pytest.MonkeyPatch) -> None:
    """Decode four images at a time, and store eight in a shard."""
    monkeypatch.setattr(shard_cache, "BATCH", 4)
    for module in (shard_cache, shards):
        monkeypatch.setattr(module, "ROWS_PER_SHARD", 8)


@pytest.mark.parametrize("workers", [0, 2])
def test_its_rows_are_the_images_in_manifest_order(manifest: Manifest, workers: int) -> None:
    expected = [decode(manifest.root / image.path).numpy() for image in manifest.used]
    rows = Pixels(manifest, workers).rows[np.arange(18)]
    assert rows.dtype == np.uint8
    assert np.array_equal(rows, np.stack(expected))


def test_an_image_is_decoded_once_for_all_epochs_and_seeds(
    passes: ViewPass, decoded: list[str]
) -> None:
    for seed in (3, 4):
        features = ViewFeatures(dataclasses.replace(passes, seed=seed), epochs=2)
        for epoch in (1, 2):
            features(epoch)
    assert len(decoded) == len(set(decoded)) == 18


def test_a_run_whose_epochs_are_stored_needs_no_pixels_and_a_stream_needs_them(
    passes: ViewPass, decoded: list[str]
) -> None:
    fresh = ViewFeatures(passes, epochs=1)
    assert fresh.pixels_to_store == 18
    fresh(1)
    assert fresh.pixels_to_store == 0
    for file in passes.pixels.rows.folder.glob("*.npy"):
        file.unlink()
    decoded.clear()
    warm = ViewFeatures(dataclasses.replace(passes, make_backbone=forbidden), epochs=1)
    assert warm.pixels_to_store == 0
    stored(warm, 1)
    assert not decoded
    streamed = ViewFeatures(dataclasses.replace(passes), epochs=1)
    streamed.stream()
    assert streamed.pixels_to_store == 18


def test_interrupted_decoding_resumes_after_the_stored_shards(
    manifest: Manifest, by_eights: None, decoded: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Pixels(manifest, 0).rows[np.arange(18)]
    for file in Pixels(manifest, 0).rows.folder.iterdir():
        file.unlink()

    def interrupted(file: Path, sha256: str) -> Tensor:
        if len(decoded) == 13:
            raise KeyboardInterrupt
        decoded.append(file.name)
        return decode(file, sha256)

    decoded.clear()
    with monkeypatch.context() as patched:
        patched.setattr(images, "decode", interrupted)
        with pytest.raises(KeyboardInterrupt):
            _ = Pixels(manifest, 0).rows
    decoded.clear()
    assert Pixels(manifest, 0).missing == 10
    assert np.array_equal(Pixels(manifest, 0).rows[np.arange(18)], whole)
    assert len(decoded) == 10


@pytest.mark.parametrize("workers", [0, 1])
def test_an_image_replaced_after_it_was_checked_is_not_stored_as_the_one_that_was(
    images: Path, tmp_path: Path, workers: int
) -> None:
    root = shutil.copytree(images, tmp_path / "root")
    manifest = make_manifest(root, PER_CLASS)
    replaced = root / "cat.4.jpg"
    before = replaced.stat()
    content = replaced.read_bytes()
    replaced.write_bytes((root / "dog.0.jpg").read_bytes().ljust(len(content), b"\0"))
    os.utime(replaced, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(
        UserError, match=r"data\.root=.*: an image changed .*cat\.4\.jpg: it is not"
    ):
        _ = Pixels(manifest, workers).rows
    # Although the file has the size and time that it had, the same command now sees another one.
    again = make_manifest(root, PER_CLASS, duplicates="keep")
    assert again.sha256 != manifest.sha256
    assert Pixels(again, workers).rows[np.arange(18)].shape[0] == 18


def test_a_store_that_is_open_can_be_deleted(
    manifest: Manifest, by_eights: None, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = Pixels(manifest, 0).rows
    whole = rows[np.arange(18)]
    rows.open_files()
    shutil.rmtree(cache)
    assert np.array_equal(rows[np.arange(18)], whole)
    monkeypatch.setattr(shards, "MOST_OPEN", 1)
    rows = Pixels(manifest, 0).rows
    assert np.array_equal(rows[np.arange(18)], whole), "one file open at a time"
    shutil.rmtree(cache)
    with pytest.raises(
        UserError, match=r"cache/pixels/.*: deleted while it was in use; run the sa"
    ):
        rows[np.arange(18)]


def test_a_cache_that_is_deleted_while_it_is_filled_is_made_again(
    manifest: Manifest, by_eights: None, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Pixels(manifest, 0).rows[np.arange(18)]
    shutil.rmtree(cache)
    write = Shards.write

    def write_elsewhere(self: Shards, shard: int, values: np.ndarray) -> None:
        if shard == 1:
            shutil.rmtree(cache)
        write(self, shard, values)

    monkeypatch.setattr(Shards, "write", write_elsewhere)
    rows = Pixels(manifest, 0).rows
    with pytest.raises(UserError, match="deleted while it was in use"):
        rows[np.arange(18)]  # the first shard
    monkeypatch.undo()
    monkeypatch.setenv("CATSDOGS_CACHE", str(cache))
    monkeypatch.setattr(shard_cache, "ROWS_PER_SHARD", 8)
    monkeypatch.setattr(shards, "ROWS_PER_SHARD", 8)
    assert np.array_equal(Pixels(manifest, 0).rows[np.arange(18)], whole)


def test_a_damaged_shard_is_decoded_again_with_a_warning(
    manifest: Manifest, by_eights: None, decoded: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    rows = Pixels(manifest, 0).rows
    whole = rows[np.arange(18)]
    damaged = sorted(rows.folder.glob("*.npy"))[1]
    content = bytearray(damaged.read_bytes())
    content[-1000] ^= 1
    damaged.write_bytes(content)
    decoded.clear()
    with caplog.at_level(logging.WARNING):
        assert np.array_equal(Pixels(manifest, 0).rows[np.arange(18)], whole)
    assert len(decoded) == 8
    assert f"{damaged}.damaged was damaged" in caplog.text


def test_the_key_depends_on_everything_that_determines_the_pixels_but_not_on_the_folder(
    manifest: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = Pixels(manifest, 0).key
    elsewhere = dataclasses.replace(manifest, root=manifest.root / "elsewhere")
    assert Pixels(elsewhere, 3).key == key
    fewer = make_manifest(manifest.root, {"train": 4, "val": 2, "test": 2})
    others = [Pixels(fewer, 0).key]
    for name, value in (("PIPELINE", "another"), ("ROWS_PER_SHARD", 8)):
        with monkeypatch.context() as patched:
            patched.setattr(shard_cache, name, value)
            others.append(Pixels(manifest, 0).key)
    monkeypatch.setattr("PIL.__version__", "0.1")
    others.append(Pixels(manifest, 0).key)
    assert all(other != key for other in others)
