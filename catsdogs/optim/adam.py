r"""Adam (Kingma and Ba, 2015, arXiv:1412.6980).

    g_t = grad f_t(p_{t-1}) + weight_decay * p_{t-1}
    m_t = beta1 * m_{t-1} + (1 - beta1) * g_t
    v_t = beta2 * v_{t-1} + (1 - beta2) * g_t^2
    p_t = p_{t-1} - lr / (1 - beta1^t) * m_t / (sqrt(v_t) / sqrt(1 - beta2^t) + eps)

t counts the steps of each parameter, so one that gets its first gradient late starts at t = 1.

Differences from the paper: eps is added after the bias correction of v, as torch does. Differences
from `torch.optim.Adam`: no amsgrad and no decoupled weight decay (a native checkpoint with either
is refused), no sparse or complex parameters, no foreach, fused, capturable or differentiable
variant; a nan hyperparameter is refused; `step` is a Python int in the state. Where both are
defined, the operations and their order are those of torch 2.15's single-tensor path, so results are
bit-identical to `torch.optim.Adam(..., foreach=False)`.
"""

from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from catsdogs.optim.base import RuleOptimizer
from catsdogs.optim.checks import require_fraction, require_non_negative


def adam_update(
    param: Tensor,
    grad: Tensor,
    exp_avg: Tensor,
    exp_avg_sq: Tensor,
    *,
    step_size: float,
    root_correction: float,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
) -> None:
    """Move `param` and both averages in place; `grad` is left as it is.

    `step_size` is lr / (1 - beta1^t) and `root_correction` is sqrt(1 - beta2^t).
    """
    if weight_decay != 0:
        grad = grad.add(param, alpha=weight_decay)
    exp_avg.lerp_(grad, 1 - beta1)
    exp_avg_sq.mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
    denominator = exp_avg_sq.sqrt().div_(root_correction).add_(eps)
    param.addcdiv_(exp_avg, denominator, value=-step_size)


class Adam(RuleOptimizer):
    """Adam, with coupled (L2) weight decay.

    Args:
        params: Parameters, named parameters or groups, as `torch.optim.Adam` takes them.
        lr: Learning rate, 0 or above.
        betas: Decay rates of the averages of the gradient and of its square, each in [0, 1).
        eps: Added to the denominator, 0 or above.
        weight_decay: L2 penalty added to the gradient, 0 or above.
        maximize: Climb instead of descend.

    Raises:
        ValueError: For a hyperparameter outside its range.
    """

    rule = staticmethod(adam_update)
    scheduled = ("step_size", "root_correction", "beta1")
    fixed: ClassVar[dict[str, Any]] = {"amsgrad": False, "decoupled_weight_decay": False}

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        *,
        maximize: bool = False,
    ) -> None:
        require_non_negative("lr", lr)
        beta1, beta2 = betas
        require_fraction("betas[0]", beta1)
        require_fraction("betas[1]", beta2)
        require_non_negative("eps", eps)
        require_non_negative("weight_decay", weight_decay)
        defaults = {
            "lr": lr,
            # Plain floats: a list or ListConfig from a configuration would end in the checkpoint.
            "betas": (float(beta1), float(beta2)),
            "eps": eps,
            "weight_decay": weight_decay,
            "maximize": maximize,
        }
        super().__init__(params, defaults)

    def arguments(self, param: Tensor, group: dict[str, Any]) -> dict[str, Any]:
        """Return the hyperparameters and the state, created at the first gradient."""
        state = self.state[param]
        if not state:
            state["step"] = 0
            state["exp_avg"] = torch.zeros_like(param)
            state["exp_avg_sq"] = torch.zeros_like(param)
        # A native checkpoint holds the step as a tensor; int() accepts both.
        step = state["step"] = int(state["step"]) + 1
        beta1, beta2 = group["betas"]
        return {
            "exp_avg": state["exp_avg"],
            "exp_avg_sq": state["exp_avg_sq"],
            "step_size": float(group["lr"]) / (1 - beta1**step),
            "root_correction": (1 - beta2**step) ** 0.5,
            "beta1": beta1,
            "beta2": beta2,
            "eps": group["eps"],
            "weight_decay": group["weight_decay"],
        }
