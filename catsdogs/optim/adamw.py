r"""AdamW (Loshchilov and Hutter, 2019, arXiv:1711.05101): Adam with decoupled weight decay.

    p_{t-1} = (1 - lr * weight_decay) * p_{t-1}             before the update of adam.py, with
    g_t = grad f_t(p_{t-1})                                 the gradient from before the decay

The decay enters neither average, so it is not divided by the root of the squared gradients. In the
paper its rate does not depend on lr but on a schedule alone; here, as in torch, lr multiplies it.

Results are bit-identical to `torch.optim.AdamW(..., foreach=False)` of torch 2.15. The limits are
those of `catsdogs.optim.Adam`.
"""

from typing import Any

from torch import Tensor
from torch.optim.optimizer import ParamsT

from catsdogs.optim.adam import Adam


class AdamW(Adam):
    """Adam or AMSGrad, with decoupled weight decay.

    A checkpoint of `Adam` loads, and its weight decay is decoupled from then on.

    Args:
        params: Parameters, named parameters or groups, as `torch.optim.AdamW` takes them.
        lr: Learning rate, 0 or above.
        betas: Decay rates of the averages of the gradient and of its square, each in [0, 1).
        eps: Added to the denominator, 0 or above; see `Adam` for float16.
        weight_decay: Each step multiplies the weights by 1 - lr * weight_decay; 0 or above.
        amsgrad: Divide by the largest average so far of the squared gradient.
        maximize: Ascend instead of descend.
        foreach: None or False.
        capturable: False.
        differentiable: False.
        fused: None or False.

    Raises:
        ValueError: For a hyperparameter outside its range or an unsupported option set to True.
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        super().__init__(
            params,
            lr,
            betas,
            eps,
            weight_decay,
            amsgrad,
            foreach=foreach,
            maximize=maximize,
            capturable=capturable,
            differentiable=differentiable,
            fused=fused,
            decoupled_weight_decay=True,
        )

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        for group in self.param_groups:
            group["decoupled_weight_decay"] = True
