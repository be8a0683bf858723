r"""Stochastic gradient descent (Robbins and Monro, 1951), without momentum.

    g_t = grad f_t(p_{t-1}) + weight_decay * p_{t-1}
    p_t = p_{t-1} - lr * g_t

Differences from `torch.optim.SGD`: no momentum (its own file; a native checkpoint with momentum is
refused), no sparse or complex parameters, no foreach, fused or differentiable variant; a nan
hyperparameter is refused. Where both are defined, the operations and their order are those of torch
2.15's single-tensor path, so results are bit-identical to `torch.optim.SGD(..., foreach=False)`.
"""

from typing import Any, ClassVar

from torch import Tensor
from torch.optim.optimizer import ParamsT

from catsdogs.optim.base import RuleOptimizer
from catsdogs.optim.checks import require_non_negative


def sgd_update(param: Tensor, grad: Tensor, *, lr: float, weight_decay: float) -> None:
    """Move `param` in place by one step; `grad` is left as it is."""
    if weight_decay != 0:
        grad = grad.add(param, alpha=weight_decay)
    param.add_(grad, alpha=-lr)


class SGD(RuleOptimizer):
    """Plain gradient descent on mini-batches, with coupled (L2) weight decay.

    Args:
        params: Parameters, named parameters or groups, as `torch.optim.SGD` takes them.
        lr: Learning rate, 0 or above.
        weight_decay: L2 penalty added to the gradient, 0 or above.
        maximize: Climb instead of descend.

    Raises:
        ValueError: For a hyperparameter outside its range.
    """

    rule = staticmethod(sgd_update)
    fixed: ClassVar[dict[str, Any]] = {"momentum": 0, "dampening": 0, "nesterov": False}

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-3,
        *,
        weight_decay: float = 0.0,
        maximize: bool = False,
    ) -> None:
        require_non_negative("lr", lr)
        require_non_negative("weight_decay", weight_decay)
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay, "maximize": maximize})

    def fuses(self, group: dict[str, Any]) -> bool:
        """Tell whether there is more to a step than one addition."""
        return bool(group["weight_decay"] != 0 or group["maximize"])

    def arguments(self, param: Tensor, group: dict[str, Any]) -> dict[str, Any]:
        """Return the hyperparameters; there is no state."""
        return {"lr": float(group["lr"]), "weight_decay": group["weight_decay"]}
