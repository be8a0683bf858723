r"""RMSprop (Tieleman and Hinton, 2012, lecture 6.5; centered as in Graves, 2013, arXiv:1308.0850).

    g_t = grad f_t(p_{t-1}) + weight_decay * p_{t-1}
    v_t = alpha * v_{t-1} + (1 - alpha) * g_t^2
    a_t = alpha * a_{t-1} + (1 - alpha) * g_t               centered
    d_t = sqrt(v_t) + eps        or, centered,  sqrt(v_t - a_t^2) + eps
    p_t = p_{t-1} - lr * g_t / d_t                          without momentum
    b_t = momentum * b_{t-1} + g_t / d_t
    p_t = p_{t-1} - lr * b_t                                with momentum

As in torch, eps is added outside the root (Graves has it inside).

Results are bit-identical to `torch.optim.RMSprop(..., foreach=False)` of torch 2.15. Not supported:
sparse gradients, complex parameters, alpha of 1 or above, capturable, foreach, differentiable. A
nan hyperparameter is refused. `step` is an int in the state, kept for torch alone: the rule does
not read it.
"""

from typing import Any

from torch import Tensor
from torch.optim.optimizer import ParamsT

from catsdogs.optim.base import RuleOptimizer, require_fraction, require_non_negative
from catsdogs.optim.compiled import add_scaled


def rmsprop_update(
    param: Tensor,
    grad: Tensor,
    square_avg: Tensor,
    grad_avg: Tensor | None,
    momentum_buffer: Tensor | None,
    *,
    lr: float,
    alpha: float,
    eps: float,
    weight_decay: float | None,
    momentum: float,
) -> None:
    """Change `param` and its state in place by one step.

    None for `grad_avg` means not centered, None for `momentum_buffer` no momentum, None for
    `weight_decay` no weight decay.
    """
    if weight_decay is not None:
        grad = add_scaled(grad, param, weight_decay)
    square_avg.mul_(alpha).addcmul_(grad, grad, value=1 - alpha)
    if grad_avg is None:
        root = square_avg.sqrt()
    else:
        grad_avg.lerp_(grad, 1 - alpha)
        root = square_avg.addcmul(grad_avg, grad_avg, value=-1).sqrt_()
    denominator = root.add_(eps)
    if momentum_buffer is None:
        param.addcdiv_(grad, denominator, value=-lr)
    else:
        momentum_buffer.mul_(momentum).addcdiv_(grad, denominator)
        param.add_(momentum_buffer, alpha=-lr)


class RMSprop(RuleOptimizer):
    """RMSprop, plain or centered, with or without momentum, with coupled (L2) weight decay.

    Args:
        params: Parameters, named parameters or groups, as `torch.optim.RMSprop` takes them.
        lr: Learning rate, 0 or above.
        alpha: Decay rate of the average of the squared gradient, in [0, 1).
        eps: Added to the denominator, 0 or above. In float16 choose 1e-7 or above: there 1e-8 is 0,
            and a gradient of 0 gives nan, as with torch's class.
        weight_decay: L2 penalty added to the gradient, 0 or above.
        momentum: Share of the buffer that is kept at each step, 0 or above; 0 keeps no buffer.
        centered: Divide by the standard deviation of the gradient instead of its root mean square.
        capturable: False.
        foreach: None or False.
        maximize: Ascend instead of descend.
        differentiable: False.

    Raises:
        ValueError: For a hyperparameter outside its range or an unsupported option set to True.
    """

    update_rule = staticmethod(rmsprop_update)
    varying = ("lr", "alpha", "eps", "weight_decay", "momentum")
    unsupported = ("capturable", "foreach", "differentiable")

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum: float = 0,
        centered: bool = False,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        require_non_negative("lr", lr)
        require_fraction("alpha", alpha)
        require_non_negative("eps", eps)
        require_non_negative("weight_decay", weight_decay)
        require_non_negative("momentum", momentum)
        defaults = {
            "lr": lr,
            "alpha": alpha,
            "eps": eps,
            "weight_decay": weight_decay,
            "momentum": momentum,
            "centered": centered,
            "capturable": capturable,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def prepare_update(
        self, param: Tensor, group: dict[str, Any]
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the hyperparameters and the state, which starts at the first gradient."""
        names = ["square_avg"]
        names += ["grad_avg"] if group["centered"] else []
        names += ["momentum_buffer"] if group["momentum"] > 0 else []
        buffers = self.buffers(param, *names)
        arguments = {
            "square_avg": buffers["square_avg"],
            "grad_avg": buffers.get("grad_avg"),
            "momentum_buffer": buffers.get("momentum_buffer"),
            "lr": float(group["lr"]),
            "alpha": group["alpha"],
            "eps": group["eps"],
            "weight_decay": group["weight_decay"] or None,
            "momentum": group["momentum"],
        }
        return arguments, {"step": self.next_step(param), **buffers}
