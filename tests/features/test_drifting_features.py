"""Features of each epoch: equal to a plain loop in train mode, shared, and never partial."""

import dataclasses
import logging
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torchvision.models import resnet18

from catsdogs.data import augmentation
from catsdogs.data.augmentation import apply_views, draw_view
from catsdogs.data.images import decode, normalise
from catsdogs.data.manifest import SPLITS, Manifest, make_manifest
from catsdogs.data.order import epoch_permutation
from catsdogs.features import drifting_pass
from catsdogs.features.backbone import Backbone, BackboneWeights, StateDict, find_weights
from catsdogs.features.drifting_features import ViewFeatures
from catsdogs.features.drifting_pass import ViewPass
from tests.support.images import PER_CLASS

CPU = torch.device("cpu")
DRIFTING = ("running_mean", "running_var", "num_batches_tracked")


class SmallBackbone(Backbone):
    """One convolution and one BatchNorm instead of ResNet-18: fast, and its statistics drift."""

    def __init__(self, state: StateDict) -> None:
        nn.Module.__init__(self)
        layers = {
            "pool": nn.AdaptiveAvgPool2d(8),
            "mix": nn.Conv2d(3, 512, 1, bias=False),
            "bn1": nn.BatchNorm2d(512),
        }
        self.layers = nn.Sequential(OrderedDict(layers))
        self.layers.load_state_dict(state)
        self.requires_grad_(False)
        self.eval()


@pytest.fixture(scope="module")
def weights() -> BackboneWeights:
    return find_weights("random")


@pytest.fixture
def small_weights() -> BackboneWeights:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        norm = nn.BatchNorm2d(512)
        state = {"mix.weight": torch.randn(512, 3, 1, 1)}
        state |= {f"bn1.{name}": tensor for name, tensor in norm.state_dict().items()}
    return BackboneWeights("file", "a small stand-in", "0" * 64, state)


@pytest.fixture
def manifest(images: Path) -> Manifest:
    return make_manifest(images, PER_CLASS)


@pytest.fixture
def passes(manifest: Manifest, small_weights: BackboneWeights) -> ViewPass:
    return ViewPass(manifest, small_weights, 3, 4, "float32", CPU, 0, SmallBackbone)


def forbidden(state: StateDict) -> Backbone:
    raise AssertionError("the features of this epoch were computed before")


def stored(features: ViewFeatures, epoch: int) -> np.ndarray:
    """Return an epoch's features in the manifest's order."""
    splits = features(epoch)
    rows = [splits[split].batch(torch.arange(len(splits[split])))[0] for split in SPLITS]
    return torch.cat(rows).numpy()


def seen(manifest: Manifest, rows: list[int], seed: int, epoch: int) -> Tensor:
    used = manifest.used
    pixels = torch.stack([decode(manifest.root / used[row].path) for row in rows])
    drawn = [draw_view(seed, epoch, used[row].sha256) for row in rows]
    return normalise(apply_views(pixels, drawn))


@pytest.mark.slow
def test_an_epoch_is_what_a_plain_loop_over_torchvision_in_train_mode_computes(
    manifest: Manifest, weights: BackboneWeights
) -> None:
    features = ViewFeatures(ViewPass(manifest, weights, 3, 4, "float32", CPU, 0), epochs=2)
    network = resnet18(weights=None)
    network.load_state_dict(weights.state)
    maps: list[Tensor] = []
    network.layer4.register_forward_hook(lambda module, given, output: maps.append(output))
    for epoch in (1, 2):
        expected = torch.zeros(18, 512, 8, 8)
        network.train()
        with torch.no_grad():
            for rows in epoch_permutation(10, 3, epoch).split(4):
                network(seen(manifest, rows.tolist(), 3, epoch))
                expected[rows] = maps.pop()
            network.eval()
            network(seen(manifest, list(range(10, 18)), 3, epoch))
            expected[10:] = maps.pop()
        assert np.array_equal(stored(features, epoch), expected.numpy())


def test_in_bfloat16_an_epoch_differs_by_less_than_a_hundredth_and_statistics_stay_float32(
    manifest: Manifest,
) -> None:
    exact = ViewPass(manifest, find_weights("embedded"), 3, 4, "float32", CPU, 0)
    shorter = dataclasses.replace(exact, precision="bfloat16")
    numbers = [stored(ViewFeatures(each, epochs=1), 1) for each in (exact, shorter)]
    distance = np.linalg.norm(numbers[0] - numbers[1]) / np.linalg.norm(numbers[0])
    assert 1e-3 < distance < 1e-2
    moved = ViewFeatures(shorter, epochs=1).statistics(1)
    assert {tensor.dtype for tensor in moved.values()} == {torch.float32, torch.int64}


def test_statistics_drift_from_epoch_to_epoch_and_evaluation_does_not_change_them(
    passes: ViewPass, small_weights: BackboneWeights
) -> None:
    features = ViewFeatures(passes, epochs=2)
    mean, batches = torch.zeros(512), 0
    for epoch in (1, 2):
        features(epoch)
        for rows in epoch_permutation(10, 3, epoch).split(4):
            pixels = seen(passes.manifest, rows.tolist(), 3, epoch)
            mixed = torch.nn.functional.conv2d(
                torch.nn.functional.adaptive_avg_pool2d(pixels, 8),
                small_weights.state["mix.weight"],
            )
            mean = 0.9 * mean + 0.1 * mixed.mean(dim=(0, 2, 3))
            batches += 1
        after = features._statistics[epoch]
        torch.testing.assert_close(after["bn1.running_mean"], mean, atol=1e-5, rtol=1e-5)
        assert int(after["bn1.num_batches_tracked"]) == batches


def test_the_untrained_head_is_evaluated_on_the_features_of_the_first_epoch(
    passes: ViewPass,
) -> None:
    features = ViewFeatures(passes, epochs=0)
    assert features(0) is features(1)
    assert features.computed == [1]


def test_a_second_contender_computes_nothing(passes: ViewPass) -> None:
    first = ViewFeatures(passes, epochs=2)
    numbers = [stored(first, epoch) for epoch in (1, 2)]
    again = ViewFeatures(dataclasses.replace(passes, make_backbone=forbidden), epochs=2)
    assert again.forecast.startswith("0 for 2 epochs")
    for epoch in (1, 2):
        assert np.array_equal(stored(again, epoch), numbers[epoch - 1])
    assert (first.computed, again.computed) == ([1, 2], [])


def test_a_longer_run_continues_after_the_stored_epochs(passes: ViewPass) -> None:
    ViewFeatures(passes, epochs=1)(1)
    longer = ViewFeatures(passes, epochs=2)
    assert longer.images_to_store == 18
    second = stored(longer, 2)
    assert longer.computed == [2]
    fresh = ViewFeatures(dataclasses.replace(passes, dtype="float16"), epochs=2)
    assert fresh.images_to_store == 36
    # Epoch 2 needs the statistics of epoch 1, and so its pass.
    np.testing.assert_allclose(stored(fresh, 2), second, atol=2e-3, rtol=1e-3)
    assert fresh.computed == [1, 2]


def test_features_and_keys_differ_by_seed_batch_size_and_epoch(
    passes: ViewPass,
) -> None:
    numbers = [stored(ViewFeatures(passes, epochs=2), epoch) for epoch in (1, 2)]
    changed = [dataclasses.replace(passes, seed=4), dataclasses.replace(passes, batch_size=5)]
    numbers += [stored(ViewFeatures(other, epochs=1), 1) for other in changed]
    for number, one in enumerate(numbers):
        assert not any(np.array_equal(one, other) for other in numbers[:number])
    keys = [other.key for other in (passes, *changed)]
    assert keys[0] != keys[1] != keys[2] != keys[0]


def test_the_key_follows_how_views_are_drawn(
    passes: ViewPass, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = passes.key
    monkeypatch.setattr(drifting_pass, "VIEWS", f"{augmentation.VIEWS}, changed")
    assert passes.key != key


def test_an_interrupted_pass_leaves_no_store(passes: ViewPass) -> None:
    class Interrupted(SmallBackbone):
        def forward(self, pixels: Tensor) -> Tensor:
            if not self.layers.training:  # after the last training batch
                raise KeyboardInterrupt
            return super().forward(pixels)

    broken = ViewFeatures(dataclasses.replace(passes, make_backbone=Interrupted), epochs=1)
    with pytest.raises(KeyboardInterrupt):
        broken(1)
    again = ViewFeatures(passes, epochs=1)
    assert again.missing == [1]
    assert not list(again._path(1).parent.glob("*/*.npy"))
    again(1)
    assert again.computed == [1]


@pytest.mark.parametrize("name", ["000000-*.npy", "statistics.safetensors"])
def test_a_damaged_store_is_computed_again_with_a_warning(
    passes: ViewPass, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    features = ViewFeatures(passes, epochs=1)
    whole = stored(features, 1)
    (file,) = features._path(1).glob(name)
    content = bytearray(file.read_bytes())
    content[-5] ^= 1
    file.write_bytes(content)
    again = ViewFeatures(passes, epochs=1)
    with caplog.at_level(logging.WARNING):
        assert np.array_equal(stored(again, 1), whole)
    assert again.computed == [1]
    assert "was damaged" in caplog.text


def test_a_stream_has_the_values_of_the_store_and_keeps_nothing(
    passes: ViewPass, cache: Path
) -> None:
    streamed = ViewFeatures(passes, epochs=3)
    assert streamed.stream()
    assert streamed.images_to_store == 18  # of 54
    folder = cache / "features"
    # Epoch 1 again at the end, as if it were the best.
    numbers = []
    for epoch in (0, 1, 2, 3, 1):
        numbers.append(stored(streamed, epoch))
        assert len(list(folder.rglob("*.npy"))) == 1
    assert streamed.computed == [1, 2, 3, 1]
    del streamed
    assert not list(folder.iterdir())
    kept = ViewFeatures(passes, epochs=3)
    for epoch, streamed_numbers in zip((0, 1, 2, 3, 1), numbers, strict=True):
        assert np.array_equal(stored(kept, epoch), streamed_numbers)


def test_drifting_ends_with_its_block_even_after_an_error(weights: BackboneWeights) -> None:
    backbone = Backbone(weights.state)
    before = backbone.statistics()
    assert before.keys() == {name for name in weights.state if name.split(".")[-1] in DRIFTING}
    with pytest.raises(ZeroDivisionError), backbone.drifting():
        raise ZeroDivisionError
    with torch.no_grad():
        backbone(torch.randn(2, 3, 256, 256))
    after = backbone.statistics()
    assert all(torch.equal(before[name], after[name]) for name in before)
