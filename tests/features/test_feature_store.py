"""Feature store: computed once, found again, recomputed where damaged, one writer at a time."""

import dataclasses
import json
import logging
import os
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from filelock import FileLock
from torch import Tensor

from catsdogs.compute.distributed import ProcessGroup
from catsdogs.data.images import decode, normalise
from catsdogs.data.manifest import Manifest, make_manifest
from catsdogs.errors import UserError
from catsdogs.features import feature_store, shard_cache, shards
from catsdogs.features.backbone import Backbone, BackboneWeights, find_weights
from catsdogs.features.feature_store import (
    Features,
    FeatureStore,
    MakeBackbone,
    Pass,
    open_feature_store,
    store_key,
)
from tests.support.images import PER_CLASS

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def weights() -> BackboneWeights:
    return find_weights("random")


@pytest.fixture
def manifest(images: Path) -> Manifest:
    return make_manifest(images, PER_CLASS)


def average(pixels: Tensor) -> Tensor:
    """Stand in for the backbone: fast, and different for different images."""
    means = torch.nn.functional.adaptive_avg_pool2d(pixels, 8).mean(dim=1, keepdim=True)
    return means.expand(-1, 512, -1, -1)


def quick(*_: object) -> Pass:
    return average


def forbidden(*_: object) -> Pass:
    raise AssertionError("a warm store must not touch the backbone")


def open_quick(
    manifest: Manifest,
    weights: BackboneWeights,
    make: MakeBackbone = quick,
) -> FeatureStore:
    return open_feature_store(manifest, weights, device=CPU, workers=0, make_backbone=make)


def rows_of(features: Features) -> npt.NDArray[Any]:
    return np.asarray(features.values[np.arange(len(features))])


def only_file(path: Path) -> Path:
    (file,) = path.glob("*.npy")
    return file


def test_its_rows_are_the_backbone_of_each_image_in_manifest_order(
    manifest: Manifest, weights: BackboneWeights
) -> None:
    store = open_feature_store(manifest, weights, device=CPU, workers=1)
    image = [p for p in manifest.images if p.split == "val"][1]
    with torch.no_grad():
        one = Backbone(weights.state)(normalise(decode(manifest.root / image.path)[None]))[0]
    features, labels = store.splits["val"].batch(torch.tensor([1]))
    torch.testing.assert_close(features[0], one, atol=1e-5, rtol=1e-4)
    assert store.splits["val"].paths[1] == image.path
    assert labels.tolist() == [image.label]


def test_a_warm_store_is_found_without_the_backbone(
    manifest: Manifest, weights: BackboneWeights
) -> None:
    cold = open_quick(manifest, weights)
    warm = open_quick(manifest, weights, forbidden)
    assert (cold.built, warm.built) == (True, False)
    for split, features in cold.splits.items():
        assert np.array_equal(rows_of(features), rows_of(warm.splits[split]))
        assert torch.equal(features.labels, warm.splits[split].labels)


def test_the_key_follows_everything_that_decides_the_numbers(
    manifest: Manifest, weights: BackboneWeights, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = store_key(manifest, weights, "float32", CPU)
    others = [
        store_key(manifest, weights, "float16", CPU),
        store_key(manifest, find_weights("random", seed=1), "float32", CPU),
        store_key(manifest, weights, "float32", torch.device("cuda")),
        store_key(manifest, weights, "float32", CPU, "bfloat16"),
        store_key(
            make_manifest(manifest.root, {"train": 4, "val": 2, "test": 2}), weights, "float32", CPU
        ),
    ]
    monkeypatch.setattr(feature_store, "PIPELINE", "another pipeline")
    others.append(store_key(manifest, weights, "float32", CPU))
    assert all(other != key for other in others)


def test_float16_halves_the_file_and_batches_stay_float32(
    manifest: Manifest, weights: BackboneWeights
) -> None:
    full = open_quick(manifest, weights)
    half = open_feature_store(
        manifest, weights, dtype="float16", device=CPU, workers=0, make_backbone=quick
    )
    sizes = [only_file(store.path).stat().st_size - 128 for store in (full, half)]
    assert sizes[0] == 2 * sizes[1] == 18 * 512 * 8 * 8 * 4
    batch, _ = half.splits["train"].batch(torch.arange(3))
    assert batch.dtype == torch.float32
    torch.testing.assert_close(
        batch, full.splits["train"].batch(torch.arange(3))[0], atol=2e-3, rtol=1e-3
    )


def flip_a_bit(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-1000] ^= 1
    file.write_bytes(content)


def cut_short(file: Path) -> None:
    with file.open("r+b") as opened:
        opened.truncate(5000)


@pytest.fixture
def by_eights(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compute four images at a time, and store eight in a shard."""
    monkeypatch.setattr(shard_cache, "BATCH", 4)
    for module in (feature_store, shard_cache, shards):
        monkeypatch.setattr(module, "ROWS_PER_SHARD", 8)


@pytest.mark.parametrize("damage", [flip_a_bit, cut_short, Path.unlink])
def test_a_damaged_shard_is_quarantined_with_a_warning_and_alone_computed_again(
    manifest: Manifest,
    weights: BackboneWeights,
    by_eights: None,
    caplog: pytest.LogCaptureFixture,
    damage: Callable[[Path], None],
) -> None:
    store = open_quick(manifest, weights)
    whole = content_of(store.path)
    damaged = sorted(store.path.glob("*.npy"))[1]
    damage(damaged)
    counted = Counted()
    with caplog.at_level(logging.WARNING):
        again = open_quick(manifest, weights, lambda *_: counted)
    assert again.built
    assert counted.images == 8
    assert content_of(store.path) == whole
    if damage is not Path.unlink:
        assert f"{damaged}.damaged was damaged" in caplog.text
        assert damaged.with_name(f"{damaged.name}.damaged").exists()


def content_of(path: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in path.glob("*.npy")}


class Counted:
    """A backbone that counts its images, interrupted before the batch with number `cut`."""

    def __init__(self, cut: int = -1) -> None:
        self.left, self.images = cut, 0

    def __call__(self, pixels: Tensor) -> Tensor:
        if self.left == 0:
            raise KeyboardInterrupt
        self.left -= 1
        self.images += len(pixels)
        return average(pixels)


@pytest.mark.parametrize(("cut", "kept"), [(0, 0), (1, 0), (2, 8), (3, 8), (4, 16)])
def test_an_interrupted_pass_resumes_after_the_stored_shards(
    manifest: Manifest, weights: BackboneWeights, by_eights: None, cut: int, kept: int
) -> None:
    whole = open_quick(manifest, weights)
    expected = content_of(whole.path)
    shutil.rmtree(whole.path)
    with pytest.raises(KeyboardInterrupt):
        open_quick(manifest, weights, lambda *_: Counted(cut))
    counted = Counted()
    store = open_quick(manifest, weights, lambda *_: counted)
    assert store.built
    assert counted.images == len(manifest.used) - kept
    assert content_of(store.path) == expected
    assert not open_quick(manifest, weights, forbidden).built


def test_processes_with_separate_caches_compute_and_hold_different_rows_of_one_store(
    manifest: Manifest,
    weights: BackboneWeights,
    by_eights: None,
    cache: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = open_quick(manifest, weights)
    expected = content_of(whole.path)
    found: dict[str, bytes] = {}
    for rank in range(2):
        monkeypatch.setenv("CATSDOGS_CACHE", str(cache / str(rank)))
        store = open_feature_store(
            manifest,
            weights,
            device=CPU,
            workers=0,
            make_backbone=quick,
            process_group=ProcessGroup(rank, 2),
        )
        assert not found.keys() & content_of(store.path).keys()
        found |= content_of(store.path)
        everything = torch.arange(len(store.splits["train"]))
        mine = store.splits["train"].held(everything)
        assert mine.tolist() == ([*range(8)] if rank == 0 else [8, 9])
        batch, labels = store.splits["train"].batch(mine)
        assert torch.equal(batch, whole.splits["train"].batch(mine)[0])
        assert torch.equal(labels, whole.splits["train"].labels[mine])
    assert found == expected


def test_rows_kept_on_the_device_are_the_same(manifest: Manifest, weights: BackboneWeights) -> None:
    train = open_quick(manifest, weights).splits["train"]
    kept = train.on_device()
    rows = torch.tensor([7, 0, 3])
    for one, other in zip(train.batch(rows), kept.batch(rows), strict=True):
        assert torch.equal(one, other)
    mine = dataclasses.replace(train, mine=torch.arange(10) > 4).on_device()
    assert torch.equal(mine.batch(torch.tensor([9, 5]))[0], train.batch(torch.tensor([9, 5]))[0])


def test_an_image_that_vanished_since_the_manifest_is_named(
    images: Path, weights: BackboneWeights, tmp_path: Path
) -> None:
    root = tmp_path / "copy"
    root.mkdir()
    for file in images.iterdir():
        (root / file.name).write_bytes(file.read_bytes())
    manifest = make_manifest(root, PER_CLASS)
    (root / "cat.0.jpg").unlink()
    with pytest.raises(UserError, match=r"cat\.0\.jpg") as caught:
        open_feature_store(manifest, weights, device=CPU, workers=1, make_backbone=quick)
    assert "\n" not in str(caught.value)


def test_the_metadata_names_what_the_store_was_made_from(
    manifest: Manifest, weights: BackboneWeights
) -> None:
    store = open_quick(manifest, weights)
    metadata = json.loads((store.path / "store.json").read_text())
    assert metadata["key"] == store.key
    assert metadata["pictures"] == 18
    assert (store.path / "manifest.csv").read_text() == manifest.to_csv()


def test_the_lock_is_free_again_when_the_store_is_open(
    manifest: Manifest, weights: BackboneWeights, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []

    def keep(path: Path) -> FileLock:
        made.append(FileLock(path))
        return made[-1]

    monkeypatch.setattr("catsdogs.io.locks.FileLock", keep)
    open_quick(manifest, weights)
    assert [lock.is_locked for lock in made] == [False]


@pytest.mark.slow
def test_two_processes_that_open_the_same_store_compute_it_once(images: Path, cache: Path) -> None:
    script = textwrap.dedent(f"""
        from pathlib import Path
        import torch
        from catsdogs.data.manifest import make_manifest
        from catsdogs.features.backbone import find_weights
        from catsdogs.features.feature_store import open_feature_store
        manifest = make_manifest(Path({str(images)!r}), {PER_CLASS!r})
        weights, device = find_weights("random"), torch.device("cpu")
        store = open_feature_store(manifest, weights, device=device, workers=0)
        print("built" if store.built else "found")
    """)
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", script],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"CATSDOGS_CACHE": str(cache)},
        )
        for _ in range(2)
    ]
    outputs = [process.communicate(timeout=120) for process in processes]
    assert sorted(out.strip() for out, _ in outputs) == ["built", "found"], outputs
