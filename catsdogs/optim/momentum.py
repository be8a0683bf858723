r"""Gradient descent with momentum (Polyak, 1964; Nesterov, 1983, in the form of Sutskever, 2013).

    g_t = grad f_t(p_{t-1}) + weight_decay * p_{t-1}
    b_t = momentum * b_{t-1} + (1 - dampening) * g_t        b_1 = g_1
    p_t = p_{t-1} - lr * b_t                                classical
    p_t = p_{t-1} - lr * (g_t + momentum * b_t)             nesterov

The first gradient of a parameter enters its buffer undamped. Differences from the papers, as torch
has them: lr multiplies the buffer instead of standing in it, so a new learning rate acts on the
whole buffer at once. Differences from `torch.optim.SGD`: momentum is 0.9 if nothing is said, no
sparse or complex parameters, no foreach, fused or differentiable variant; a nan hyperparameter is
refused. Where both are defined, the operations and their order are those of torch 2.15's
single-tensor path, so results are bit-identical to
`torch.optim.SGD(..., momentum=..., foreach=False)`.
"""

from typing import Any

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from catsdogs.optim.base import RuleOptimizer
from catsdogs.optim.checks import require_finite, require_non_negative


def momentum_update(
    param: Tensor,
    grad: Tensor,
    momentum_buffer: Tensor | None,
    *,
    lr: float,
    momentum: float,
    dampening: float,
    weight_decay: float,
    nesterov: bool,
) -> None:
    """Move `param` and its buffer in place by one step; `grad` is left as it is.

    A new buffer is zero and comes with a dampening of 0; None means no momentum at all.
    """
    if weight_decay != 0:
        grad = grad.add(param, alpha=weight_decay)
    if momentum_buffer is not None:
        momentum_buffer.mul_(momentum).add_(grad, alpha=1 - dampening)
        # Not grad.add: compiled, it would round a tensor for alpha to float32; add_ does not.
        grad = grad.clone().add_(momentum_buffer, alpha=momentum) if nesterov else momentum_buffer
    param.add_(grad, alpha=-lr)


class Momentum(RuleOptimizer):
    """Gradient descent with classical or Nesterov momentum and coupled (L2) weight decay.

    Args:
        params: Parameters, named parameters or groups, as `torch.optim.SGD` takes them.
        lr: Learning rate, 0 or above.
        momentum: What is kept of the buffer at each step, 0 or above.
        dampening: Withheld from every gradient but the first, a finite number.
        weight_decay: L2 penalty added to the gradient, 0 or above.
        nesterov: Step along the gradient plus momentum times the buffer.
        maximize: Climb instead of descend.

    Raises:
        ValueError: For a hyperparameter outside its range, and for nesterov with a momentum of 0
            or a dampening other than 0.
    """

    rule = staticmethod(momentum_update)
    scheduled = ("lr", "momentum", "dampening")

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-3,
        momentum: float = 0.9,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        require_non_negative("lr", lr)
        require_non_negative("momentum", momentum)
        require_finite("dampening", dampening)
        require_non_negative("weight_decay", weight_decay)
        if nesterov and (momentum == 0 or dampening != 0):
            raise ValueError(
                f"Invalid nesterov: needs a momentum above 0 and a dampening of 0, "
                f"got {momentum} and {dampening}"
            )
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "dampening": dampening,
            "weight_decay": weight_decay,
            "nesterov": nesterov,
            "maximize": maximize,
        }
        super().__init__(params, defaults)

    def arguments(self, param: Tensor, group: dict[str, Any]) -> dict[str, Any]:
        """Return the hyperparameters and the buffer, created at the first gradient."""
        buffer, dampening = None, 0.0
        if group["momentum"] != 0:
            state = self.state[param]
            buffer, dampening = state.get("momentum_buffer"), group["dampening"]
            if buffer is None:
                buffer = state["momentum_buffer"] = torch.zeros_like(param)
                dampening = 0.0  # zero plus the whole gradient is the gradient, to the bit
        return {
            "momentum_buffer": buffer,
            "lr": float(group["lr"]),
            "momentum": group["momentum"],
            "dampening": dampening,
            "weight_decay": group["weight_decay"],
            "nesterov": group["nesterov"],
        }
