"""Folded backbone: the same features as torchvision's layers, up to rounding."""

import pytest
import torch

from catsdogs.data.images import decode, normalise
from catsdogs.data.sources import draw_folder
from catsdogs.features import folded_backbone
from catsdogs.features.backbone import Backbone, find_weights
from catsdogs.features.folded_backbone import FoldedBackbone

CPU = torch.device("cpu")


@pytest.mark.parametrize("choice", ["embedded", "random"])
@pytest.mark.parametrize("blocked", [True, False], ids=["blocked", "channels last"])
def test_its_features_are_those_of_the_backbone_to_rounding(
    choice: str, blocked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: blocked)
    weights = find_weights(choice)
    pixels = torch.randn(3, 3, 256, 256, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        exact = Backbone(weights.state).double()(pixels.double())
        plain = Backbone(weights.state)(pixels)
    features = FoldedBackbone(weights, CPU)(pixels)
    assert features.shape == (3, 512, 8, 8)
    assert features.is_contiguous()
    # Another order of the same sums: about as far from the exact result as the plain network.
    assert (features - exact).norm() < 4 * (plain - exact).norm() < 4e-6 * exact.norm()


@pytest.mark.parametrize("blocked", [True, False], ids=["blocked", "channels last"])
def test_in_bfloat16_the_features_of_images_differ_by_less_than_a_hundredth(
    blocked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if blocked and not folded_backbone._has_blocked(torch.bfloat16):
        pytest.skip("this processor's oneDNN has no bfloat16")
    weights = find_weights("embedded")
    pixels = normalise(
        torch.stack([decode(file) for file in draw_folder(2, seed=0).rglob("*.jpg")])
    )
    exact = FoldedBackbone(weights, CPU)(pixels)
    monkeypatch.setattr(folded_backbone, "_has_blocked", lambda dtype: blocked)
    features = FoldedBackbone(weights, CPU, "bfloat16")(pixels)
    assert features.dtype == torch.float32
    assert features.is_contiguous()
    # Computed in bfloat16 (8 bits), not only rounded to it at the end.
    assert 1e-3 * exact.norm() < (features - exact).norm() < 1e-2 * exact.norm()


def test_its_input_is_not_changed() -> None:
    pixels = torch.randn(1, 3, 256, 256)
    before = pixels.clone()
    FoldedBackbone(find_weights("random"), CPU)(pixels)
    assert torch.equal(pixels, before)
