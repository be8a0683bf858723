"""Pretraining on the zoo: a function of its plan, interrupted or not, and its weights file."""

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor
from torchvision.models import resnet18

from catsdogs.features.backbone import Backbone, find_weights
from catsdogs.pretraining import pretrain as module
from catsdogs.pretraining.pretrain import (
    Pretraining,
    pretrain,
    progressive_resolutions,
)
from catsdogs.pretraining.weights_file import Pretrained, enlarge_features, write_weights
from catsdogs.pretraining.zoo import draw_creature
from catsdogs.pretraining.zoo_set import draw_zoo

CPU = torch.device("cpu")
PLAN = Pretraining(
    pictures=8, held_out=4, size=40, resolutions=(32, 40), seed=3, batch_size=4, peak_rate=1e-3
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder in which a pretraining has finished."""
    path = tmp_path_factory.mktemp("pretraining")
    pretrain(PLAN, path, CPU)
    return path


@pytest.fixture(scope="module")
def pretrained(folder: Path) -> Pretrained:
    return pretrain(PLAN, folder, CPU)


@pytest.fixture(scope="module")
def written(folder: Path, pretrained: Pretrained) -> Path:
    path = folder / "out" / "weights.safetensors"
    write_weights(pretrained, path)
    return path


def forget(folder: Path) -> None:
    """Remove the state of the training, but not the drawn zoo."""
    (folder / f"pretraining-{PLAN.key}" / "state.pt").unlink()


def assert_same(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    assert one.keys() == other.keys()
    for name, value in one.items():
        assert torch.equal(value, other[name]), name


@pytest.mark.slow
def test_an_interrupted_training_ends_with_the_weights_of_an_uninterrupted_one(
    folder: Path, pretrained: Pretrained, monkeypatch: pytest.MonkeyPatch
) -> None:
    forget(folder)
    trained: list[int] = []
    train_epoch = module._train_epoch

    def train_unless_interrupted(*arguments: Any) -> float:
        epoch = arguments[4]
        if trained == [0] and not resumed:
            raise KeyboardInterrupt
        trained.append(epoch)
        return train_epoch(*arguments)

    monkeypatch.setattr(module, "_train_epoch", train_unless_interrupted)
    resumed = False
    with pytest.raises(KeyboardInterrupt):
        pretrain(PLAN, folder, CPU)
    resumed = True
    again = pretrain(PLAN, folder, CPU)
    assert trained == [0, 1]
    assert_same(again.state, pretrained.state)


def test_every_weight_was_trained(pretrained: Pretrained) -> None:
    torch.manual_seed(PLAN.seed)
    initial = resnet18(weights=None, num_classes=22).state_dict()
    for name, value in pretrained.state.items():
        assert not torch.equal(value, initial[name]), name


def test_another_plan_has_another_key() -> None:
    assert dataclasses.replace(PLAN, seed=4).key != PLAN.key
    assert dataclasses.replace(PLAN, resolutions=(32, 32)).key != PLAN.key


def test_the_array_has_the_images_and_labels_of_the_zoo(folder: Path) -> None:
    zoo = draw_zoo(folder, 12, 40, seed=3)
    assert zoo.sha256 == hashlib.sha256(zoo.pixels.tobytes()).hexdigest()
    for index in (0, 7, 11):
        image, labels = draw_creature(index, seed=3, size=40)
        assert np.array_equal(zoo.pixels[index], np.asarray(image))
        assert zoo.labels[index].tolist() == list(labels)


def test_the_file_holds_float16_under_torchvisions_names(
    written: Path, pretrained: Pretrained
) -> None:
    names = {name: t for name, t in resnet18().state_dict().items() if name[:3] != "fc."}
    tensors = load_file(written)
    assert tensors.keys() == names.keys()
    for name, value in tensors.items():
        is_count = name.endswith("num_batches_tracked")
        assert value.dtype == (torch.int64 if is_count else torch.float16), name
        assert value.shape == names[name].shape
        assert torch.equal(value, pretrained.state[name].to(value.dtype))
    assert written.stat().st_size <= 23_000_000


def test_the_facts_have_the_sha256_of_the_file_and_are_in_its_header(written: Path) -> None:
    facts = json.loads(written.with_suffix(".json").read_text(encoding="utf-8"))
    assert facts.pop("sha256") == hashlib.sha256(written.read_bytes()).hexdigest()
    with safe_open(written, framework="pt") as file:
        assert {name: json.loads(text) for name, text in file.metadata().items()} == facts
    assert [epoch["resolution"] for epoch in facts["epochs"]] == [32, 40]
    assert facts["accuracies"].keys() == {"ears", "nose", "eyes", "markings", "head"}


def test_resolutions_rise_from_the_first_stage_to_the_last() -> None:
    resolutions = progressive_resolutions(12)
    assert len(resolutions) == 12
    assert list(resolutions) == sorted(resolutions)
    assert (resolutions[0], resolutions[-1]) == (64, 128)


def test_a_second_round_follows_the_first_with_its_own_warm_up() -> None:
    resolutions = progressive_resolutions(10, 5)
    assert resolutions[:10] == progressive_resolutions(10)
    assert resolutions[10:] == (128, 128, 128, 160, 160)
    plan = dataclasses.replace(PLAN, resolutions=resolutions, further=5, peak_rate=2.0)
    rates = [module._rate(plan, epochs) for epochs in (0.5, 1, 10, 10.25, 10.5, 15)]
    assert rates == pytest.approx([1, 2, 0, 0.5, 1, 0])


def test_enlarged_features_are_the_same_times_the_factor() -> None:
    state = find_weights("random").state
    pixels = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        before, after = (Backbone(s)(pixels) for s in (state, enlarge_features(state, 2.0)))
    assert torch.equal(after, 2 * before)
