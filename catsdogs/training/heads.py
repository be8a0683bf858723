"""The heads: the monograph's three convolutions, which are one linear map, and that map alone."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from catsdogs.compute.distributed import ProcessGroup
from catsdogs.features.backbone import CHANNELS, SIDE


class ConvHead(nn.Module):
    """Three convolutions with nothing between them: features (n, 512, 8, 8) to logits (n,).

    2,103,811 trainable parameters in six tensors. A positive logit says cat.

    Because no activation stands between the layers, they equal one 512x8x8 kernel and a bias.
    `forward` composes that kernel from the six tensors once per batch instead of convolving every
    picture; through autograd the same six gradients result. `layered` is the network as the
    monograph wrote it, kept as the reference that tests compare with.
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(CHANNELS, 256, kernel_size=4)
        self.conv2 = nn.Conv2d(256, 1, kernel_size=5)
        self.conv3 = nn.Conv2d(1, 1, kernel_size=1)

    def forward(self, features: Tensor) -> Tensor:
        """Return one logit per picture, shape (n,), by the composed kernel."""
        return logits_of(features, *self.compose())

    def compose(self) -> tuple[Tensor, Tensor]:
        """Return the equal single layer: a kernel of shape (1, 512, 8, 8) and a bias (1,)."""
        scale = self.conv3.weight.flatten()
        # Two valid convolutions in a row are one, whose kernel is their full convolution.
        kernel = functional.conv_transpose2d(self.conv2.weight, self.conv1.weight) * scale
        assert self.conv1.bias is not None
        assert self.conv2.bias is not None
        assert self.conv3.bias is not None
        inner = self.conv2.weight.sum(dim=(2, 3)).flatten() @ self.conv1.bias + self.conv2.bias
        return kernel, inner * scale + self.conv3.bias

    def layered(self, features: Tensor) -> Tensor:
        """Return the same logits, convolving every picture three times."""
        logits: Tensor = self.conv3(self.conv2(self.conv1(features)))
        return logits.flatten()  # not squeeze(), which turns a batch of one into a scalar


class LinearHead(nn.Linear):
    """One linear map of all 32,768 features: features (n, 512, 8, 8) to logits (n,).

    The same functions as `ConvHead`, with its composed kernel as the parameter, so the cost is
    convex in it. 32,769 trainable parameters.
    """

    def __init__(self) -> None:
        super().__init__(CHANNELS * SIDE * SIDE, 1)

    def forward(self, features: Tensor) -> Tensor:
        """Return one logit per picture, shape (n,)."""
        return super().forward(features.flatten(1)).flatten()

    def compose(self) -> tuple[Tensor, Tensor]:
        """Return its kernel, shape (1, 32768), and its bias (1,)."""
        return self.weight, self.bias


class SharedHead(nn.Module):
    """A head whose batch is spread over processes: each answers its pictures, all learn from all.

    The gradient of the composed kernel is added up over the processes on its way back to the head's
    own tensors, so 131 kB cross the network in a step instead of the 8.4 MB of all six gradients.

    Args:
        head: Equal in every process; so are its gradients after each `backward`.
        process_group: The processes. All of them must call `backward`, with their part of one sum.
    """

    def __init__(self, head: "ConvHead | LinearHead", process_group: ProcessGroup) -> None:
        super().__init__()
        self.head = head
        self._process_group = process_group

    def forward(self, features: Tensor) -> Tensor:
        """Return one logit for each of this process's pictures, of which there may be none."""
        kernel, bias = self.head.compose()
        if torch.is_grad_enabled():
            # In one tensor, so that the processes exchange once in a step.
            together = torch.cat([kernel.flatten(), bias])
            together.register_hook(
                lambda gradient: self._process_group.all_reduce(gradient.clone())
            )
            kernel, bias = together[:-1], together[-1:]
        return logits_of(features, kernel, bias)


def logits_of(features: Tensor, kernel: Tensor, bias: Tensor) -> Tensor:
    """Return one logit per picture, shape (n,): the sum of its features, weighed by a kernel."""
    return features.flatten(1) @ kernel.flatten() + bias


HEADS: dict[str, type[ConvHead] | type[LinearHead]] = {"conv": ConvHead, "linear": LinearHead}


def seeded_head(name: str, seed: int) -> ConvHead | LinearHead:
    """Initialise a head as torch does, from `seed` alone; the global generator stays as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return HEADS[name]()
