"""Trainable heads: the monograph's three convolutions, and the equivalent single linear layer."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from catsdogs.compute.distributed import ProcessGroup
from catsdogs.features.backbone import CHANNELS, SIDE


class ConvHead(nn.Module):
    """Three convolutions without activations, from features (n, 512, 8, 8) to logits (n,).

    It has 2,103,811 trainable parameters in six tensors. A positive logit means cat.

    Without activations, the three layers equal one 512x8x8 kernel and a bias. `forward` composes
    this kernel from the six tensors once per batch instead of convolving every image; autograd
    returns the gradients of the same six tensors. `layered` is the network as the monograph has
    it, the reference for the tests.
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(CHANNELS, 256, kernel_size=4)
        self.conv2 = nn.Conv2d(256, 1, kernel_size=5)
        self.conv3 = nn.Conv2d(1, 1, kernel_size=1)

    def forward(self, features: Tensor) -> Tensor:
        """Return the logits, shape (n,), computed with the composed kernel."""
        return logits_of(features, *self.compose())

    def compose(self) -> tuple[Tensor, Tensor]:
        """Return the equivalent single layer: a kernel (1, 512, 8, 8) and a bias (1,)."""
        scale = self.conv3.weight.flatten()
        # Two successive valid convolutions equal one with the full convolution of their kernels.
        kernel = functional.conv_transpose2d(self.conv2.weight, self.conv1.weight) * scale
        assert self.conv1.bias is not None
        assert self.conv2.bias is not None
        assert self.conv3.bias is not None
        inner = self.conv2.weight.sum(dim=(2, 3)).flatten() @ self.conv1.bias + self.conv2.bias
        return kernel, inner * scale + self.conv3.bias

    def layered(self, features: Tensor) -> Tensor:
        """Return the same logits, computed layer by layer for every image."""
        logits: Tensor = self.conv3(self.conv2(self.conv1(features)))
        return logits.flatten()  # not squeeze(), which turns a batch of one into a scalar


class LinearHead(nn.Linear):
    """One linear layer, from features (n, 512, 8, 8) to logits (n,).

    It represents the same functions as `ConvHead` with the composed kernel as its parameter, so
    the cost is convex. It has 32,769 trainable parameters.
    """

    def __init__(self) -> None:
        super().__init__(CHANNELS * SIDE * SIDE, 1)

    def forward(self, features: Tensor) -> Tensor:
        """Return the logits, shape (n,)."""
        return super().forward(features.flatten(1)).flatten()

    def compose(self) -> tuple[Tensor, Tensor]:
        """Return the kernel, shape (1, 32768), and the bias (1,)."""
        return self.weight, self.bias


class SharedHead(nn.Module):
    """A head for data-parallel training: every process computes the logits of its own images.

    `backward` sums the gradient of the composed kernel over the processes, and from it computes the
    gradients of the head's tensors. A step thus exchanges 131 kB instead of the 8.4 MB of all six
    gradients.

    Args:
        head: The same in every process, and so are its gradients after `backward`.
        process_group: The processes. All must call `backward`, each on its part of the batch's sum.
    """

    def __init__(self, head: "ConvHead | LinearHead", process_group: ProcessGroup) -> None:
        super().__init__()
        self.head = head
        self._process_group = process_group

    def forward(self, features: Tensor) -> Tensor:
        """Return the logits of this process's images, shape (n,) with n of 0 or more."""
        kernel, bias = self.head.compose()
        if torch.is_grad_enabled():
            # One tensor, so that a step has a single exchange.
            together = torch.cat([kernel.flatten(), bias])
            together.register_hook(
                lambda gradient: self._process_group.all_reduce(gradient.clone())
            )
            kernel, bias = together[:-1], together[-1:]
        return logits_of(features, kernel, bias)


def logits_of(features: Tensor, kernel: Tensor, bias: Tensor) -> Tensor:
    """Return the logits of a kernel and a bias, shape (n,): one weighted sum per image."""
    return features.flatten(1) @ kernel.flatten() + bias


HEADS: dict[str, type[ConvHead] | type[LinearHead]] = {"conv": ConvHead, "linear": LinearHead}


def seeded_head(name: str, seed: int) -> ConvHead | LinearHead:
    """Return a head with torch's default initialisation; torch's global generator is unchanged.

    Args:
        name: A key of `HEADS`.
        seed: Decides the initial weights.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return HEADS[name]()
