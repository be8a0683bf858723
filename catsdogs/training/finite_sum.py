"""Whether the cost of training is a finite sum, which an optimizer with a table lives on.

SAGA's table holds what a picture or a block of pictures gave at its last visit. It reduces the
variance only if the same weights would give the same again. This is the one place that says what
breaks that.
"""

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd
from torchvision.ops import StochasticDepth

from catsdogs.errors import UserError
from catsdogs.settings import Protocol


def require_recurring_images(protocol: Protocol, optimizer: str) -> None:
    """Refuse random views, of which none comes twice.

    Args:
        protocol: Of the run.
        optimizer: The label of what needs a finite sum.

    Raises:
        UserError: With the reason and the way out.
    """
    if protocol == "monograph":
        raise UserError(
            f"protocol=monograph: {optimizer} needs the same answer to a picture from the same "
            "weights, and no random view of it comes twice; use protocol=frozen or an optimizer "
            "without a table"
        )


def require_finite_sum(head: nn.Module, optimizer: str) -> None:
    """Refuse a head whose answer to a picture changes between visits though its weights do not.

    Modules are known by their class; what a `forward` of one's own does is not seen.

    Args:
        head: As it will be trained, with every module in its mode.
        optimizer: The name of what needs a finite sum.

    Raises:
        ValueError: With the first such module, the reason and the way out.
    """
    for name, module in head.named_modules():
        reason = _unsteadiness(module)
        if reason is not None:
            raise ValueError(
                f"{optimizer} needs the same answer to a picture from the same weights, and "
                f"{name or 'the head'} ({type(module).__name__}) {reason}, or use an optimizer "
                "without a table"
            )


def _unsteadiness(module: nn.Module) -> str | None:
    """Return why a module's answer changes, with the way out, or None if it does not."""
    if isinstance(module, _BatchNorm) and module.running_mean is None:
        return "takes its statistics from the batch: let it track them, in eval mode"
    if isinstance(module, _BatchNorm) and module.training:
        return "takes its statistics from the batch, and its running ones drift: use eval mode"
    if isinstance(module, nn.FractionalMaxPool2d | nn.FractionalMaxPool3d):
        return "draws its regions at random in either mode: use another pooling"
    if module.training and _draws(module):
        return "draws at random in training mode: use eval mode"
    return None


def _draws(module: nn.Module) -> bool:
    """Tell whether a module draws numbers in training mode."""
    if isinstance(module, _DropoutNd | StochasticDepth):
        return module.p > 0
    if isinstance(module, nn.RNNBase | nn.MultiheadAttention):
        return module.dropout > 0
    return isinstance(module, nn.RReLU) and module.lower < module.upper
