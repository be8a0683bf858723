"""Conditions under which the training cost is a finite sum, as SAGA requires.

SAGA keeps a table of the last gradient of every image, or block of images. The table reduces the
variance only if the same weights always give the same gradient.
"""

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd
from torchvision.ops import StochasticDepth

from catsdogs.errors import UserError
from catsdogs.settings import Protocol


def require_recurring_images(protocol: Protocol, optimizer: str) -> None:
    """Refuse a protocol with random augmentation, which never repeats an image.

    Args:
        protocol: The run's protocol.
        optimizer: Label of the optimizer, for the message.

    Raises:
        UserError: For `protocol=monograph`.
    """
    if protocol == "monograph":
        raise UserError(
            f"protocol=monograph: {optimizer} needs the same output for an image from the same "
            "weights, and random augmentation never repeats an image; use protocol=frozen or an "
            "optimizer without a table"
        )


def require_finite_sum(head: nn.Module, optimizer: str) -> None:
    """Refuse a head whose output for an image can change although its weights do not.

    Modules are recognised by their class; randomness in a custom `forward` is not detected.

    Args:
        head: The head, with every module in the mode in which it will be trained.
        optimizer: Name of the optimizer, for the message.

    Raises:
        ValueError: For the first such module, with the reason and the remedy.
    """
    for name, module in head.named_modules():
        reason = _reason_for_change(module)
        if reason is not None:
            raise ValueError(
                f"{optimizer} needs the same output for an image from the same weights, and "
                f"{name or 'the head'} ({type(module).__name__}) {reason}, or use an optimizer "
                "without a table"
            )


def _reason_for_change(module: nn.Module) -> str | None:
    """Return why a module's output changes, with the remedy; None if it does not change."""
    if isinstance(module, _BatchNorm) and module.running_mean is None:
        return "uses batch statistics: let it track running ones, in eval mode"
    if isinstance(module, _BatchNorm) and module.training:
        return "uses batch statistics, and its running ones drift: use eval mode"
    if isinstance(module, nn.FractionalMaxPool2d | nn.FractionalMaxPool3d):
        return "pools random regions in either mode: use another pooling"
    if module.training and _is_random(module):
        return "is random in training mode: use eval mode"
    return None


def _is_random(module: nn.Module) -> bool:
    """Tell whether a module is random in training mode."""
    if isinstance(module, _DropoutNd | StochasticDepth):
        return module.p > 0
    if isinstance(module, nn.RNNBase | nn.MultiheadAttention):
        return module.dropout > 0
    return isinstance(module, nn.RReLU) and module.lower < module.upper
