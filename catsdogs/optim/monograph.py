r"""The monograph's own SGD and Adam, defects included: exhibits for comparisons, not for use.

V. Jeronymo, "Implementando metodos de otimizacao para treinamento de redes neurais com Pytorch"
(Unicamp, 2019), sections 4.1.1 and 4.2, adds SGD and Adam to torch. They are kept here as they were
published, with names in English, to show what their defects cost in a comparison. The classes to
use are `catsdogs.optim.SGD` and `catsdogs.optim.Adam`.

Defects of both:

1. The learning rate (in Adam every hyperparameter) is read from `defaults`, not from the group, so
   parameter groups and learning-rate schedulers have no effect.
2. The closure runs in the caller's grad mode, so under `no_grad` its backward fails.
3. Every step builds new weights through `.data`. A view of the old weights, such as a flattened
   one, keeps the old values, and memory traffic doubles.

Defects of `PublishedAdam` alone:

4. The powers of beta are advanced once per parameter tensor instead of once per step. With n
   tensors, tensor k = 1..n of step t >= 2 is corrected with the power 1 + n (t - 2) + k instead of
   t (step 1 is right). The correction fades n times too fast and differently for every tensor.
5. Averages, powers and the step count are attributes of the object. `state_dict` lacks them, so a
   run cannot be resumed.
6. State is created at the first step of the optimizer only. A parameter that gets its first
   gradient later raises KeyError.
"""

from collections.abc import Callable
from typing import overload

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.optimizer import ParamsT


class PublishedSGD(Optimizer):
    """Exhibit: the monograph's SGD as published, defects 1 to 3 of this module included."""

    def __init__(self, params: ParamsT, lr: float) -> None:
        super().__init__(params, {"lr": lr})

    @overload
    def step(self, closure: None = None) -> None: ...

    @overload
    def step(self, closure: Callable[[], float]) -> float: ...

    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Step as the listing of section 4.1.1 does."""
        loss = None
        if closure is not None:
            loss = closure()
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                p.data = p.data - self.defaults["lr"] * p.grad
        return loss


class PublishedAdam(Optimizer):
    """Exhibit: the monograph's Adam as published, defects 1 to 6 of this module included."""

    def __init__(
        self,
        params: ParamsT,
        lr: float,
        beta1: float = 0.9,
        beta2: float = 0.999,
        epsilon: float = 1e-8,
    ) -> None:
        self.m: dict[Tensor, Tensor] = {}
        self.v: dict[Tensor, Tensor] = {}
        self.t = 0
        super().__init__(params, {"lr": lr, "beta1": beta1, "beta2": beta2, "eps": epsilon})

    @overload
    def step(self, closure: None = None) -> None: ...

    @overload
    def step(self, closure: Callable[[], float]) -> float: ...

    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Step as the listing of section 4.2 does."""
        loss = None
        if closure is not None:
            loss = closure()
        self.t += 1
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                g = p.grad
                if self.t == 1:
                    self.m[p] = torch.zeros_like(g)
                    self.v[p] = torch.zeros_like(g)
                    self.beta1t = 1.0
                    self.beta2t = 1.0
                self.m[p] = self.defaults["beta1"] * self.m[p] + (1 - self.defaults["beta1"]) * g
                self.v[p] = self.defaults["beta2"] * self.v[p] + (1 - self.defaults["beta2"]) * (
                    g * g
                )
                self.beta1t *= self.defaults["beta1"]
                self.beta2t *= self.defaults["beta2"]
                m_hat = self.m[p] / (1 - self.beta1t)
                v_hat = self.v[p] / (1 - self.beta2t)
                p.data = p.data - self.defaults["lr"] * m_hat / (
                    torch.sqrt(v_hat) + self.defaults["eps"]
                )
        return loss
