"""Backbone for fast inference: BatchNorm folded into the convolutions.

A BatchNorm in eval mode scales and shifts each channel, which the preceding convolution can do with
its own weights. On a CPU with oneDNN the tensors stay in its blocked layout from the first
convolution to the last; the plain network reorders weights and pixels for each of its twenty.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torchvision.models.resnet import BasicBlock

from catsdogs.features.backbone import Backbone, BackboneWeights
from catsdogs.settings import Precision

# Part of a feature store's key: another order of the operations rounds differently.
ARITHMETIC = "resnet18-layer4-folded"


class Convolution(NamedTuple):
    """A convolution whose weight and bias include the BatchNorm after it."""

    weight: Tensor
    bias: Tensor
    stride: tuple[int, ...]
    padding: tuple[int, ...]

    def __call__(self, maps: Tensor) -> Tensor:
        """Convolve maps of shape (n, channels, height, width)."""
        return functional.conv2d(
            maps, self.weight, self.bias, stride=self.stride, padding=self.padding
        )


class Block(NamedTuple):
    """A residual block; its shortcut is the identity if it has no convolution."""

    first: Convolution
    second: Convolution
    shortcut: Convolution | None

    def __call__(self, maps: Tensor) -> Tensor:
        """Return the block's output; the input is not changed."""
        inner = self.second(self.first(maps).relu_())
        return inner.add_(maps if self.shortcut is None else self.shortcut(maps)).relu_()


class FoldedBackbone:
    """The same function as `Backbone` up to rounding: (n, 3, 256, 256) to (n, 512, 8, 8).

    For inference only: it computes no gradients. Pixels and features are float32; the folded
    weights and all activations in between have the given precision.
    """

    def __init__(
        self, weights: BackboneWeights, device: torch.device, precision: Precision = "float32"
    ) -> None:
        self._dtype: torch.dtype = getattr(torch, precision)
        self._blocked = device.type == "cpu" and _has_blocked(self._dtype)
        layers = Backbone(weights.state).to(device).layers
        convolution, norm, *_ = layers
        self._stem = self._fold(convolution, norm)
        blocks = (block for block in layers.modules() if isinstance(block, BasicBlock))
        self._blocks = [self._fold_block(block) for block in blocks]

    @torch.inference_mode()
    def __call__(self, pixels: Tensor) -> Tensor:
        """Map normalized pixels to features."""
        maps = self._stem(self._lay_out(pixels)).relu_()
        maps = functional.max_pool2d(maps, kernel_size=3, stride=2, padding=1)
        for block in self._blocks:
            maps = block(maps)
        if self._blocked:
            return maps.to_dense(torch.float32)
        return maps.float().contiguous()

    def _fold_block(self, block: BasicBlock) -> Block:
        return Block(
            self._fold(block.conv1, block.bn1),
            self._fold(block.conv2, block.bn2),
            None if block.downsample is None else self._fold(*block.downsample),
        )

    def _fold(self, convolution: nn.Module, norm: nn.Module) -> Convolution:
        assert isinstance(convolution, nn.Conv2d)
        assert isinstance(norm, nn.BatchNorm2d)
        folded = fuse_conv_bn_eval(convolution, norm)
        assert folded.bias is not None
        assert not isinstance(folded.padding, str)
        weight, bias = self._lay_out(folded.weight.detach()), folded.bias.detach()
        bias = bias.to_mkldnn(self._dtype) if self._blocked else bias.to(self._dtype)
        return Convolution(weight, bias, folded.stride, folded.padding)

    def _lay_out(self, tensor: Tensor) -> Tensor:
        if self._blocked:
            return tensor.to_mkldnn(self._dtype)
        return tensor.to(self._dtype, memory_format=torch.channels_last)


def _has_blocked(dtype: torch.dtype) -> bool:
    """Return whether oneDNN convolves its blocked layout in this type on this processor."""
    if not torch.backends.mkldnn.is_available():
        return False
    return dtype == torch.float32 or bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
