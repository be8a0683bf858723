"""A trained classifier as one module, from the pixels of a decoded picture to its logit."""

import torch
from torch import Tensor, nn

from catsdogs.data.images import MEAN, STD
from catsdogs.features.backbone import Backbone
from catsdogs.inference.trained import Trained
from catsdogs.training.heads import ConvHead, LinearHead


class PixelClassifier(nn.Module):
    """uint8 pixels (n, 3, 256, 256) to logits (n,), the normalisation included.

    The monograph's head is in it as the one linear map that it is: 0.1 MB instead of 8.4.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, trained: Trained) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(MEAN).view(3, 1, 1))
        self.register_buffer("std", torch.tensor(STD).view(3, 1, 1))
        self.backbone = Backbone(trained.weights.state)
        self.head = _as_linear(trained.head)
        self.requires_grad_(False).eval()

    def forward(self, pixels: Tensor) -> Tensor:
        """Return a logit for each picture; above 0 says cat."""
        # Not `normalise`, whose constants are made anew in every call and written in place.
        normalised = (pixels.float() / 255 - self.mean) / self.std
        logits: Tensor = self.head(self.backbone(normalised))
        return logits


def _as_linear(head: ConvHead | LinearHead) -> LinearHead:
    if isinstance(head, LinearHead):
        return head
    linear = LinearHead()
    kernel, bias = head.compose()
    linear.load_state_dict({"weight": kernel.flatten(1), "bias": bias})
    return linear
