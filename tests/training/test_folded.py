"""The backbone of the one pass computes what torchvision's layers compute."""

import pytest
import torch

from catsdogs.training.backbone import Backbone, find_weights
from catsdogs.training.folded import FoldedBackbone

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
    # Another order of the same sums: as far from the exact result as the plain network is.
    assert (features - exact).norm() < 4 * (plain - exact).norm() < 4e-6 * exact.norm()


def test_the_pixels_it_is_given_stay_as_they_are() -> None:
    pixels = torch.randn(1, 3, 256, 256)
    before = pixels.clone()
    FoldedBackbone(find_weights("random"), CPU)(pixels)
    assert torch.equal(pixels, before)
