r"""Adam (Kingma and Ba, 2015, arXiv:1412.6980), with AMSGrad (Reddi et al., 2018) as an option.

    g_t = grad f_t(p_{t-1}) + weight_decay * p_{t-1}        decoupled_weight_decay: see adamw.py
    m_t = beta1 * m_{t-1} + (1 - beta1) * g_t
    v_t = beta2 * v_{t-1} + (1 - beta2) * g_t^2
    u_t = v_t        or, with amsgrad,  max(u_{t-1}, v_t)
    p_t = p_{t-1} - lr / (1 - beta1^t) * m_t / (sqrt(u_t) / sqrt(1 - beta2^t) + eps)

t counts the updates of each parameter, so one that gets its first gradient late starts at t = 1.
As in torch, eps is added after the bias correction of v, and the maximum is taken before it.

Results are bit-identical to `torch.optim.Adam(..., foreach=False)` of torch 2.15, for betas that
are floats; betas given as tensors become floats. Not supported: sparse gradients, complex
parameters, foreach, fused, capturable, differentiable. A nan hyperparameter is refused. `step` is
an int in the state; torch's tensor is read as well.
"""

from typing import Any

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from catsdogs.optim.base import RuleOptimizer, require_fraction, require_non_negative
from catsdogs.optim.compiled import add_scaled


def adam_update(
    param: Tensor,
    grad: Tensor,
    exp_avg: Tensor,
    exp_avg_sq: Tensor,
    max_exp_avg_sq: Tensor | None,
    *,
    step_size: float,
    bias_correction2_sqrt: float,
    shrinkage: float | Tensor,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float | None,
    decoupled_weight_decay: bool,
) -> None:
    """Change `param` and its averages in place by one step.

    None for `max_exp_avg_sq` means no amsgrad, None for `weight_decay` no weight decay. `step_size`
    is lr / (1 - beta1^t), `bias_correction2_sqrt` is sqrt(1 - beta2^t), and `shrinkage` is
    1 - lr * weight_decay.
    """
    if weight_decay is not None:
        if decoupled_weight_decay:
            param.mul_(shrinkage)
        else:
            grad = add_scaled(grad, param, weight_decay)
    exp_avg.lerp_(grad, 1 - beta1)
    exp_avg_sq.mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
    if max_exp_avg_sq is None:
        root = exp_avg_sq.sqrt()
    else:
        root = torch.maximum(max_exp_avg_sq, exp_avg_sq, out=max_exp_avg_sq).sqrt()
    denominator = root.div_(bias_correction2_sqrt).add_(eps)
    param.addcdiv_(exp_avg, denominator, value=-step_size)


class Adam(RuleOptimizer):
    """Adam or AMSGrad, with coupled (L2) or decoupled weight decay.

    Args:
        params: Parameters, named parameters or groups, as `torch.optim.Adam` takes them.
        lr: Learning rate, 0 or above.
        betas: Decay rates of the averages of the gradient and of its square, each in [0, 1).
        eps: Added to the denominator, 0 or above. In float16 choose 1e-7 or above: there 1e-8 is 0,
            and a gradient of 0 gives nan, as with torch's class.
        weight_decay: L2 penalty added to the gradient, or rate of decay, 0 or above.
        amsgrad: Divide by the largest average so far of the squared gradient.
        foreach: None or False.
        maximize: Ascend instead of descend.
        capturable: False.
        differentiable: False.
        fused: None or False.
        decoupled_weight_decay: Shrink the weights instead of adding to the gradient, as `AdamW`.

    Raises:
        ValueError: For a hyperparameter outside its range or an unsupported option set to True.
    """

    update_rule = staticmethod(adam_update)
    varying = (
        "step_size",
        "bias_correction2_sqrt",
        "shrinkage",
        "beta1",
        "beta2",
        "eps",
        "weight_decay",
    )
    unsupported = ("foreach", "capturable", "differentiable", "fused")

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        decoupled_weight_decay: bool = False,
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
            "amsgrad": amsgrad,
            "foreach": foreach,
            "maximize": maximize,
            "capturable": capturable,
            "differentiable": differentiable,
            "fused": fused,
            "decoupled_weight_decay": decoupled_weight_decay,
        }
        super().__init__(params, defaults)

    def prepare_update(
        self, param: Tensor, group: dict[str, Any]
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the hyperparameters and the averages, which start at the first gradient."""
        names = ("exp_avg", "exp_avg_sq", *(["max_exp_avg_sq"] if group["amsgrad"] else []))
        averages, step = self.buffers(param, *names), self.next_step(param)
        beta1, beta2 = group["betas"]
        lr = group["lr"].squeeze() if isinstance(group["lr"], Tensor) else group["lr"]
        arguments = {
            "exp_avg": averages["exp_avg"],
            "exp_avg_sq": averages["exp_avg_sq"],
            "max_exp_avg_sq": averages.get("max_exp_avg_sq"),
            # Computed before float(): a learning rate in float32 makes a step size in float32.
            "step_size": float(lr / (1 - beta1**step)),
            "bias_correction2_sqrt": (1 - beta2**step) ** 0.5,
            # Not a float: a 0-d parameter times a float64 tensor is computed in float64.
            "shrinkage": 1 - lr * group["weight_decay"],
            "beta1": beta1,
            "beta2": beta2,
            "eps": group["eps"],
            "weight_decay": group["weight_decay"] or None,
            "decoupled_weight_decay": group["decoupled_weight_decay"],
        }
        return arguments, {"step": step, **averages}
