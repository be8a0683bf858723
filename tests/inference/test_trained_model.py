"""Trained models: the backbone of a checkpoint is found, or the error says how to get it."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from catsdogs.data.images import normalise
from catsdogs.errors import UserError
from catsdogs.features.backbone import Backbone, find_weights
from catsdogs.inference.classifier import load
from catsdogs.inference.trained_model import read_trained_model
from catsdogs.training.heads import ConvHead, seeded_head
from tests.support.sample_checkpoint import write_checkpoint


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file of weights."""
    path: Path = tmp_path_factory.mktemp("weights") / "weights.pth"
    torch.save(find_weights("random", seed=7).state, path)
    return path


@pytest.mark.parametrize("choice", ["random", "embedded"])
def test_the_head_and_the_weights_are_those_of_training(tmp_path: Path, choice: str) -> None:
    model = read_trained_model(write_checkpoint(tmp_path / "best.pt", weights=choice))
    expected = find_weights(choice).state
    assert all(torch.equal(model.weights.state[name], expected[name]) for name in expected)
    head = seeded_head("conv", 0).state_dict()
    assert all(torch.equal(value, head[name]) for name, value in model.head.state_dict().items())


def test_moved_weights_are_found_where_the_setting_says(tmp_path: Path, weights: Path) -> None:
    place = shutil.copy(weights, tmp_path / "old.pth")
    checkpoint = write_checkpoint(tmp_path / "best.pt", weights=str(place))
    Path(place).rename(tmp_path / "new.pth")
    with pytest.raises(UserError, match="old.pth: no such file; .* as weights=PATH"):
        read_trained_model(checkpoint)
    with pytest.raises(UserError, match="weights=gone.pth: no such file"):
        read_trained_model(checkpoint, "gone.pth")
    found = read_trained_model(checkpoint, str(tmp_path / "new.pth"))
    assert found.weights.sha256 == found.facts["weights"]["sha256"]


def test_a_weights_file_that_changed_since_training_is_refused(
    tmp_path: Path, weights: Path
) -> None:
    place = shutil.copy(weights, tmp_path / "weights.pth")
    checkpoint = write_checkpoint(tmp_path / "best.pt", weights=str(place))
    torch.save(find_weights("random", seed=8).state, place)
    with pytest.raises(UserError, match=r"not the backbone of this checkpoint.*state dict weights"):
        read_trained_model(checkpoint)


@pytest.mark.parametrize(
    ("source", "remedy"),
    [
        ("random", "use torch .* and torchvision .*, which drew them"),
        ("embedded", "use catsdogs .*, which contains them"),
        ("imagenet", "give weights=PATH"),
    ],
)
def test_other_weights_of_the_same_name_are_refused_with_a_remedy(
    tmp_path: Path, source: str, remedy: str
) -> None:
    recorded = {"source": source, "description": "other weights", "sha256": "0" * 64}
    checkpoint = write_checkpoint(tmp_path / "best.pt")
    content = torch.load(checkpoint, weights_only=True)
    torch.save(content | {"weights": recorded}, checkpoint)
    with pytest.raises(UserError, match=f"trained with other weights .*{remedy}"):
        read_trained_model(checkpoint)


def test_the_batch_norm_statistics_of_the_evaluated_epoch_are_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("catsdogs.inference.classifier.BATCH", 2)
    state = find_weights("random").state
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (2, 3, 256, 256), dtype=torch.uint8, generator=generator)
    drifted = Backbone(state)
    with drifted.drifting(), torch.no_grad():
        drifted(normalise(pixels))
    checkpoint = write_checkpoint(tmp_path / "best.pt", statistics=drifted.statistics())
    head = seeded_head("conv", 0)
    assert isinstance(head, ConvHead)
    with torch.no_grad():
        expected = head.layered(drifted(normalise(pixels)))
    logits = load(checkpoint, device="cpu").logits(pixels)
    assert logits.numpy() == pytest.approx(expected.numpy(), abs=1e-5)
    frozen = load(write_checkpoint(tmp_path / "frozen.pt"), device="cpu").logits(pixels)
    assert (frozen - expected).abs().min() > 1e-3


@pytest.mark.parametrize(
    ("replaced", "message"),
    [
        (
            {"pixels": "grey"},
            "trained on images that were prepared differently .grey; this version: exif-rgb",
        ),
        ({"config": {}}, "not written by catsdogs.train .KeyError: 'model'"),
        ({"config": None}, "not written by catsdogs.train .TypeError"),
        ({"head": {"weight": torch.zeros(1)}}, "not written by .*RuntimeError: Error.* in loading"),
        ({"format": 1}, "best.pt: .*format"),
    ],
    ids=str,
)
def test_a_checkpoint_that_cannot_work_is_refused_in_one_line(
    tmp_path: Path, replaced: dict[str, Any], message: str
) -> None:
    checkpoint = write_checkpoint(tmp_path / "best.pt")
    torch.save(torch.load(checkpoint, weights_only=True) | replaced, checkpoint)
    with pytest.raises(UserError, match=message) as caught:
        read_trained_model(checkpoint)
    assert "\n" not in str(caught.value)


def test_a_folder_in_place_of_a_checkpoint_is_refused_with_the_file_to_give(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"is a folder; give .*best.pt"):
        read_trained_model(tmp_path)
