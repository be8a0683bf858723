"""The backbone as it is fastest in one pass: BatchNorm folded into the convolutions.

A BatchNorm in eval mode is a scale and a shift of each channel, which the convolution before it can
do with its own weights. On a CPU with oneDNN the tensors stay in its blocked layout from the first
convolution to the last, where the plain network reorders weights and pixels for each of the twenty.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torchvision.models.resnet import BasicBlock

from catsdogs.features.backbone import Backbone, BackboneWeights
from catsdogs.settings import Precision

# Names the arithmetic; a feature store is keyed by it, since another order rounds otherwise.
ARITHMETIC = "resnet18-layer4-folded"


class Convolution(NamedTuple):
    """A convolution with the BatchNorm after it in its weight and bias."""

    weight: Tensor
    bias: Tensor
    stride: tuple[int, ...]
    padding: tuple[int, ...]

    def __call__(self, maps: Tensor) -> Tensor:
        """Convolve (n, channels, height, width)."""
        return functional.conv2d(
            maps, self.weight, self.bias, stride=self.stride, padding=self.padding
        )


class Block(NamedTuple):
    """Two convolutions and the way around them; without a convolution it is the input itself."""

    first: Convolution
    second: Convolution
    around: Convolution | None

    def __call__(self, maps: Tensor) -> Tensor:
        """Return the block's output; its input stays as it is."""
        inner = self.second(self.first(maps).relu_())
        return inner.add_(maps if self.around is None else self.around(maps)).relu_()


class FoldedBackbone:
    """The function of `Backbone`, to rounding: pixels (n, 3, 256, 256) to (n, 512, 8, 8).

    For inference only: no gradient passes through it. Pixels and features are float32; in a shorter
    precision the folded weights and everything between are rounded to it.
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
        """Map normalised pixels to features."""
        maps = self._stem(self._lay_out(pixels)).relu_()
        maps = functional.max_pool2d(maps, kernel_size=3, stride=2, padding=1)
        for block in self._blocks:
            maps = block(maps)
        if self._blocked:
            return maps.to_dense(torch.float32)
        return maps.float().contiguous()

    def _fold_block(self, block: BasicBlock) -> Block:
        around = None if block.downsample is None else self._fold(*block.downsample)
        return Block(self._fold(block.conv1, block.bn1), self._fold(block.conv2, block.bn2), around)

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
    """Tell whether oneDNN convolves its blocked layout in this type on this processor."""
    if not torch.backends.mkldnn.is_available():
        return False
    return dtype == torch.float32 or bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
