r"""Stochastic gradient descent (Robbins and Monro, 1951), with optional momentum.

    g_t = grad f_t(p_{t-1}) + weight_decay * p_{t-1}
    b_t = momentum * b_{t-1} + (1 - dampening) * g_t        b_1 = g_1
    p_t = p_{t-1} - lr * g_t                                without momentum
    p_t = p_{t-1} - lr * b_t                                classical momentum (Polyak, 1964)
    p_t = p_{t-1} - lr * (g_t + momentum * b_t)             nesterov (Sutskever et al., 2013)

The first gradient of a parameter enters its buffer undamped. In the papers lr stands inside the
buffer; here, as in torch, it multiplies the buffer, so a new learning rate acts on all of it.

Results are bit-identical to `torch.optim.SGD(..., foreach=False)` of torch 2.15. Not supported:
sparse gradients, complex parameters, foreach, fused, differentiable. A nan hyperparameter is
refused.
"""

from typing import Any

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from catsdogs.optim.base import RuleOptimizer, require_finite, require_non_negative
from catsdogs.optim.compiled import add_scaled


def sgd_update(
    param: Tensor,
    grad: Tensor,
    momentum_buffer: Tensor | None,
    *,
    lr: float,
    momentum: float,
    dampening: float,
    weight_decay: float | None,
    nesterov: bool,
) -> None:
    """Change `param` and its buffer in place by one step.

    None for the buffer means no momentum, None for `weight_decay` no weight decay.
    """
    if weight_decay is not None:
        grad = add_scaled(grad, param, weight_decay)
    if momentum_buffer is not None:
        momentum_buffer.mul_(momentum).add_(grad, alpha=1 - dampening)
        grad = add_scaled(grad, momentum_buffer, momentum) if nesterov else momentum_buffer
    param.add_(grad, alpha=-lr)


class SGD(RuleOptimizer):
    """Gradient descent with optional momentum and coupled (L2) weight decay.

    Args:
        params: Parameters, named parameters or groups, as `torch.optim.SGD` takes them.
        lr: Learning rate, 0 or above.
        momentum: Share of the buffer that is kept at each step, 0 or above; 0 keeps no buffer.
        dampening: Share of each gradient, but the first, that does not enter the buffer; finite.
        weight_decay: L2 penalty added to the gradient, 0 or above.
        nesterov: Step along the gradient plus momentum times the buffer.
        maximize: Ascend instead of descend.
        foreach: None or False.
        differentiable: False.
        fused: None or False.

    Raises:
        ValueError: For a hyperparameter outside its range, for nesterov with a momentum of 0 or a
            dampening other than 0, and for an unsupported option set to True.
    """

    update_rule = staticmethod(sgd_update)
    varying = ("lr", "momentum", "dampening", "weight_decay")
    unsupported = ("foreach", "differentiable", "fused")

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        differentiable: bool = False,
        fused: bool | None = None,
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
            "foreach": foreach,
            "differentiable": differentiable,
            "fused": fused,
        }
        super().__init__(params, defaults)

    def worth_compiling(self, group: dict[str, Any]) -> bool:
        """Return whether there is more to a step than one addition."""
        return bool(group["momentum"] != 0 or group["weight_decay"] != 0 or group["maximize"])

    def prepare_update(
        self, param: Tensor, group: dict[str, Any]
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the hyperparameters and the buffer, which starts at the first gradient."""
        buffer, dampening = None, group["dampening"]
        if group["momentum"] != 0:
            buffer = self.state.get(param, {}).get("momentum_buffer")
            if buffer is None:
                # -0.0 plus a gradient is that gradient to the bit, the sign of a zero included.
                buffer, dampening = torch.full_like(param, -0.0), 0.0
        arguments = {
            "momentum_buffer": buffer,
            "lr": float(group["lr"]),
            "momentum": group["momentum"],
            "dampening": dampening,
            "weight_decay": group["weight_decay"] or None,
            "nesterov": group["nesterov"],
        }
        return arguments, {} if buffer is None else {"momentum_buffer": buffer}
