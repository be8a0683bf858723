r"""SAGA for a linear model, with a table of one number per sample.

The cost of sample i depends on the weights through its logit alone, f_i(w . x_i + c), so its
gradient is its slope s_i = f_i'(logit) times its features: s_i x_i for w, s_i for the bias c. The
table holds, for every sample, the slope of its last visit, T_i. For a batch B of m samples:

    C   = sum over i in B of (s_i - T_i) x_i         T_i x_i = M for a sample not visited yet
    w_t = w_{t-1} - lr * (M + C / m + weight_decay * w_{t-1})
    M   = M + C / n_seen                             after its use, with B counted as seen
    T_i = s_i for i in B

This is `catsdogs.optim.saga` with samples as blocks. The start is the same (the first pass is plain
SGD), and so is the condition (the same features for a sample at every visit). Batches may be drawn
anew in every epoch, since the table knows samples. Memory is one number per sample: 100 KB for
25,000, where one gradient per sample of 32,768 features takes 3.3 GB.

Differences from the paper: batches, the start above, a plain L2 penalty instead of a proximal step.
Differences from scikit-learn's SAGA: batches, the start, a bias that learns at the same rate.
"""

from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from catsdogs.optim.base import RuleOptimizer, require_non_negative, running_sum_dtype


def linear_saga_update(
    param: Tensor,
    grad: Tensor,
    mean: Tensor,
    *,
    features: Tensor,
    change: Tensor,
    num_unseen: int,
    num_seen: int,
    lr: float,
    weight_decay: float | None,
) -> None:
    """Change `param` and the mean of the table in place.

    None for `weight_decay` means no weight decay. `grad` is not read. The change since the last
    visit of these samples is `change`, the slopes minus those of the table, times `features`; a
    difference of gradients would lose digits.
    """
    summed = (change @ features).view_as(param).sub_(mean, alpha=num_unseen)
    direction = mean.add(summed, alpha=1 / len(features))
    if weight_decay is not None:
        direction.add_(param, alpha=weight_decay)
    param.add_(direction, alpha=-lr)
    mean.add_(summed, alpha=1 / num_seen)


class LinearSAGA(RuleOptimizer):
    """SAGA for one linear model with a single logit, with a table of one slope per sample.

    Clipping or otherwise changing the gradients has no effect: they are rebuilt from the slopes.
    Table and mean are float32 for parameters of half precision.

    Args:
        params: The weight, of shape (1, number of features), and the bias of shape (1,) if there is
            one, as parameters, named parameters or groups (for a bias without weight decay).
        lr: Learning rate, 0 or above.
        num_samples: Size of the training set, 1 or above; samples are numbered from 0.
        weight_decay: L2 penalty, added to the direction and not stored in the table, 0 or above.

    Raises:
        ValueError: For a hyperparameter outside its range, or parameters of another model.

    Attributes:
        step_inputs: A training loop must call `step(samples=..., features=..., logit_grad=...)`.
    """

    update_rule = staticmethod(linear_saga_update)
    step_inputs: ClassVar[str] = "samples"
    unsupported = ("maximize",)

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-3,
        *,
        num_samples: int,
        weight_decay: float = 0.0,
    ) -> None:
        require_non_negative("lr", lr)
        require_non_negative("weight_decay", weight_decay)
        if num_samples < 1:
            raise ValueError(f"Invalid num_samples: {num_samples} (must be 1 or above)")
        super().__init__(
            params, {"lr": lr, "num_samples": num_samples, "weight_decay": weight_decay}
        )
        shapes = [tuple(param.shape) for param in self._params()]
        weights = [shape for shape in shapes if len(shape) == 2 and shape[0] == 1]
        if len(weights) != 1 or any(shape != (1,) for shape in shapes if shape not in weights):
            raise ValueError(
                f"LinearSAGA moves a weight of shape (1, features) and a bias of shape (1,), "
                f"not parameters of shapes {shapes}"
            )

    @torch.no_grad()
    def step(  # type: ignore[override]
        self,
        closure: Callable[[], float] | None = None,
        *,
        samples: Tensor | None = None,
        features: Tensor | None = None,
        logit_grad: Tensor | None = None,
    ) -> None:
        """Update weight and bias after `backward` of the mean cost of a batch.

        Args:
            closure: None; the slopes of the batch belong to one evaluation.
            samples: Number of each sample in the batch, of shape (m,), all different.
            features: Input of the model, of shape (m, ...); flattened to (m, features).
            logit_grad: Gradient of the batch's mean cost with respect to each logit, m numbers:
                `logits.grad` after `logits.retain_grad()` and `backward`.

        Raises:
            ValueError: If an input is missing or does not fit. Nothing has changed then.
        """
        if closure is not None:
            raise ValueError("closure: LinearSAGA takes none; its slopes belong to one evaluation")
        if samples is None or features is None or logit_grad is None:
            raise ValueError(
                "LinearSAGA needs the batch of its gradients: call "
                "step(samples=..., features=..., logit_grad=...)"
            )
        weight = next(param for param in self._params() if param.dim() == 2)
        samples = samples.to(weight.device)
        dtype = running_sum_dtype(weight)
        features = features.to(weight.device, dtype).flatten(1)
        slopes = logit_grad.to(weight.device, dtype).flatten()
        slopes = slopes * len(features)  # each sample's own cost
        self._refuse_what_does_not_fit(weight, samples, features, slopes)
        table = self.state.get(weight, {}).get("table")
        if table is None:
            self._refuse_another_gradient(weight, features, slopes)
            # nan marks a sample that was not visited yet; it survives every cast.
            table = slopes.new_full((self.param_groups[0]["num_samples"],), torch.nan)
        known = table[samples]
        num_unseen = int(known.isnan().sum())
        num_seen = self.state.get(weight, {}).get("num_seen", 0) + num_unseen
        super().step(
            features=features,
            change=slopes - known.nan_to_num(nan=0.0),
            num_unseen=num_unseen,
            num_seen=num_seen,
        )
        table[samples] = slopes
        self.state[weight].update(table=table, num_seen=num_seen)

    def compile(self) -> None:
        """Raise NotImplementedError: compiling does not speed up a step of two matrix products."""
        raise NotImplementedError("LinearSAGA has nothing to compile; leave compile off")

    def prepare_update(
        self,
        param: Tensor,
        group: dict[str, Any],
        *,
        features: Tensor,
        change: Tensor,
        num_unseen: int,
        num_seen: int,
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the batch and the mean, which starts at the first gradient; a bias sees ones."""
        mean = self.buffers(param, "mean", dtype=running_sum_dtype(param))
        arguments = {
            "mean": mean["mean"],
            "features": features if param.dim() == 2 else features.new_ones(len(features), 1),
            "change": change,
            "num_unseen": num_unseen,
            "num_seen": num_seen,
            "lr": float(group["lr"]),
            "weight_decay": group["weight_decay"] or None,
        }
        return arguments, mean

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load a state dict; tables and means keep their precision."""
        super().load_state_dict(state_dict)
        self.load_running_sums(state_dict, "table", "mean")

    def _params(self) -> list[Tensor]:
        return [param for group in self.param_groups for param in group["params"]]

    def _refuse_what_does_not_fit(
        self, weight: Tensor, samples: Tensor, features: Tensor, slopes: Tensor
    ) -> None:
        if any(param.grad is None for param in self._params()):
            raise ValueError("LinearSAGA updates weight and bias together; one has no gradient")
        if features.shape != (len(samples), weight.shape[1]) or slopes.shape != samples.shape:
            raise ValueError(
                f"The inputs do not fit: {len(samples)} samples, {len(slopes)} logits, features of "
                f"shape {tuple(features.shape)} for a weight of {weight.shape[1]} features"
            )
        num_samples = self.param_groups[0]["num_samples"]
        if int(samples.min()) < 0 or int(samples.max()) >= num_samples:
            raise ValueError(f"samples={samples.tolist()}: not all are in 0 to {num_samples - 1}")
        if len(set(samples.tolist())) < len(samples):
            raise ValueError(f"samples={samples.tolist()}: a sample occurs twice")

    def _refuse_another_gradient(self, weight: Tensor, features: Tensor, slopes: Tensor) -> None:
        rebuilt = (slopes @ features).view_as(weight) / len(features)
        if weight.grad is not None and not torch.allclose(
            rebuilt,
            weight.grad.to(rebuilt.dtype),
            rtol=1e-2,
            atol=1e-2 * float(weight.grad.abs().max()),
        ):
            raise ValueError(
                "The weight's gradient is not logit_grad times features: the model is not linear "
                "in these features, or the cost includes a penalty (use weight_decay)"
            )
