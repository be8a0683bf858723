"""The composed head equals the layered one: the same logits, the same six gradients."""

import pytest
import torch
from torch import Tensor

from catsdogs.training.heads import ConvHead, LinearHead, seeded_head


def conv_head(seed: int) -> ConvHead:
    head = seeded_head("conv", seed)
    assert isinstance(head, ConvHead)
    return head


def random_features(count: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(count, 512, 8, 8, generator=torch.Generator().manual_seed(1), dtype=dtype)


def gradients(head: ConvHead, logits: Tensor) -> list[Tensor]:
    labels = (torch.arange(len(logits)) % 2).to(logits.dtype)
    cost = torch.nn.functional.binary_cross_entropy_with_logits(logits, labels)
    return list(torch.autograd.grad(cost, list(head.parameters())))


def test_the_head_has_as_many_trainable_parameters_as_the_monograph_in_six_tensors() -> None:
    sizes = [parameter.numel() for parameter in ConvHead().parameters() if parameter.requires_grad]
    assert (len(sizes), sum(sizes)) == (6, 2_103_811)


def test_composed_and_layered_agree_to_1e_12_in_float64() -> None:
    head, features = conv_head(0).double(), random_features(5, torch.float64)
    composed, layered = head(features), head.layered(features)
    torch.testing.assert_close(composed, layered, atol=1e-12, rtol=0)
    pairs = zip(gradients(head, composed), gradients(head, layered), strict=True)
    for ours, reference in pairs:
        torch.testing.assert_close(ours, reference, atol=1e-12, rtol=1e-10)


def test_composed_and_layered_agree_in_float32_to_rounding() -> None:
    head, features = conv_head(0), random_features(32)
    composed, layered = head(features), head.layered(features)
    torch.testing.assert_close(composed, layered, atol=5e-6, rtol=0)
    for ours, reference in zip(gradients(head, composed), gradients(head, layered), strict=True):
        assert (ours - reference).norm() <= 1e-5 * reference.norm()


@pytest.mark.parametrize("count", [1, 2])
def test_one_logit_per_image_also_for_a_batch_of_one(count: int) -> None:
    head, features = conv_head(0), random_features(count)
    assert head(features).shape == head.layered(features).shape == (count,)


def test_the_seed_alone_decides_the_initial_weights() -> None:
    torch.manual_seed(1)
    first = conv_head(7)
    torch.manual_seed(2)
    again, other = conv_head(7), conv_head(8)
    assert torch.equal(first.conv1.weight, again.conv1.weight)
    assert not torch.equal(first.conv1.weight, other.conv1.weight)


def test_the_linear_head_with_the_composed_kernel_gives_the_same_logits() -> None:
    conv, linear = conv_head(0), LinearHead()
    kernel, bias = conv.compose()
    linear.load_state_dict({"weight": kernel.flatten(1), "bias": bias})
    features = random_features(3)
    assert linear(features).shape == (3,)
    torch.testing.assert_close(linear(features), conv.layered(features), atol=5e-6, rtol=0)
