"""Frozen backbone and its weights: embedded, random, from a file or from torchvision's cache."""

import json
import urllib.error
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import torch
from torchvision.models import ResNet18_Weights, resnet18

from catsdogs.errors import UserError
from catsdogs.features import backbone
from catsdogs.features.backbone import Backbone, find_weights


def test_an_image_becomes_512_maps_of_8_by_8_equal_to_torchvision_layers() -> None:
    state = find_weights("random").state
    pixels = torch.randn(2, 3, 256, 256, generator=torch.Generator().manual_seed(0))
    network = resnet18(weights=None).eval()
    network.load_state_dict(state)
    expected: list[torch.Tensor] = []
    network.layer4.register_forward_hook(lambda module, given, output: expected.append(output))
    with torch.no_grad():
        network(pixels)
        features = Backbone(state)(pixels)
    assert features.shape == (2, 512, 8, 8)
    assert torch.equal(features, expected[0])


def test_train_mode_changes_no_buffer_and_no_parameter_requires_a_gradient() -> None:
    backbone = Backbone(find_weights("random").state)
    before = {name: buffer.clone() for name, buffer in backbone.named_buffers()}
    backbone.train()
    backbone(torch.randn(2, 3, 256, 256))
    assert all(torch.equal(before[name], buffer) for name, buffer in backbone.named_buffers())
    assert not any(module.training for module in backbone.modules())
    assert not any(parameter.requires_grad for parameter in backbone.parameters())


def test_random_weights_follow_their_seed_and_leave_the_global_generator_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    first, again, other = (
        find_weights("random"),
        find_weights("random"),
        find_weights("random", seed=1),
    )
    assert torch.equal(torch.rand(1), expected)
    assert torch.equal(first.state["conv1.weight"], again.state["conv1.weight"])
    assert not torch.equal(first.state["conv1.weight"], other.state["conv1.weight"])
    assert first.sha256 == again.sha256 != other.sha256


def test_a_float16_state_dict_without_fc_is_read_as_float32(tmp_path: Path) -> None:
    state = find_weights("random").state
    half = {k: v.half() if v.is_floating_point() else v for k, v in state.items() if k[:3] != "fc."}
    torch.save(half, tmp_path / "half.pth")
    weights = find_weights(str(tmp_path / "half.pth"))
    assert weights.source == "file"
    assert weights.state["conv1.weight"].dtype == torch.float32
    assert torch.equal(weights.state["conv1.weight"], state["conv1.weight"].half().float())
    Backbone(weights.state)


class Bomb:
    """A pickle that would write a file when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.path,))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"conv1.weight": torch.zeros(1)}, "not a ResNet-18: conv1.weight has shape"),
        ({}, "not a ResNet-18: conv1.weight is missing"),
        (resnet18(weights=None).state_dict() | {"extra": torch.zeros(1)}, "extra is unknown"),
        ([1, 2], "not a state dict"),
    ],
)
def test_a_file_that_is_not_a_resnet18_is_refused_by_name(
    tmp_path: Path, content: Any, message: str
) -> None:
    torch.save(content, tmp_path / "weights.pth")
    with pytest.raises(UserError, match=f"model.weights=.*weights.pth: .*{message}"):
        find_weights(str(tmp_path / "weights.pth"))


def test_a_file_with_code_in_it_is_refused_and_the_code_does_not_run(tmp_path: Path) -> None:
    torch.save({"conv1.weight": Bomb(tmp_path / "ran")}, tmp_path / "bomb.pth")
    with pytest.raises(UserError, match="more than tensors") as caught:
        find_weights(str(tmp_path / "bomb.pth"))
    assert not (tmp_path / "ran").exists()
    assert "weights_only" not in str(caught.value)  # torch's message advises to run the code


@pytest.mark.parametrize("content", [b"", b"not weights", b"PK\x03\x04 half a zip file"])
def test_a_damaged_file_is_refused_in_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "weights.pth").write_bytes(content)
    with pytest.raises(UserError, match="not a readable PyTorch state dict") as caught:
        find_weights(str(tmp_path / "weights.pth"))
    assert "\n" not in str(caught.value)


def test_imagenet_weights_are_read_from_the_torch_hub_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    cached = tmp_path / "hub" / "checkpoints" / "resnet18-f37072fd.pth"
    cached.parent.mkdir(parents=True)
    torch.save(find_weights("random", seed=3).state, cached)
    weights = find_weights("imagenet")
    assert weights.source == "imagenet"
    assert torch.equal(
        weights.state["conv1.weight"], find_weights("random", seed=3).state["conv1.weight"]
    )


def test_offline_the_message_names_the_file_to_place_and_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def offline(*_: Any, **__: Any) -> None:
        raise urllib.error.URLError("no network")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("torch.hub.download_url_to_file", offline)
    expected = str(tmp_path / "hub" / "checkpoints" / "resnet18-f37072fd.pth")
    with pytest.raises(UserError, match="no network") as caught:
        find_weights("imagenet")
    assert expected in str(caught.value)
    assert ResNet18_Weights.IMAGENET1K_V1.url in str(caught.value)


def test_the_embedded_weights_are_those_of_their_facts_and_fit_in_the_wheel() -> None:
    folder = files("catsdogs.weights")
    weights = find_weights("embedded")
    assert weights.source == "embedded"
    assert weights.sha256 == json.loads((folder / "embedded.json").read_text())["sha256"]
    assert len((folder / "embedded.safetensors").read_bytes()) <= 23_000_000
    Backbone(weights.state)


def test_damaged_embedded_weights_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = files("catsdogs.weights")
    content = bytearray((folder / "embedded.safetensors").read_bytes())
    content[-1] ^= 1
    (tmp_path / "embedded.safetensors").write_bytes(content)
    (tmp_path / "embedded.json").write_text((folder / "embedded.json").read_text())
    monkeypatch.setattr("catsdogs.features.backbone.files", lambda package: tmp_path)
    with pytest.raises(UserError, match="model.weights=embedded: .* is damaged"):
        find_weights("embedded")


def test_weights_replaced_between_their_hash_and_their_use_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "w.pth"
    torch.save(find_weights("random").state, path)
    read = backbone._read

    def replace(path: Path) -> dict[str, torch.Tensor]:
        torch.save(find_weights("random", seed=1).state, path)
        return read(path)

    monkeypatch.setattr(backbone, "_read", replace)
    with pytest.raises(UserError, match="changed while it was read; run the command again"):
        find_weights(str(path))
