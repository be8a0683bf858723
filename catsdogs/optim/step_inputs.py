"""The extra inputs of an optimizer that keeps a table of a finite sum, such as SAGA.

Such an optimizer must know which part of the sum a gradient belongs to. It declares so by a class
attribute, `step_inputs`:

- `"block"`: `step(block=number)`. Every batch is one of a fixed list of blocks, which keep their
  members; `__init__` takes `block_sizes`.
- `"samples"`: `step(samples=rows, features=..., logit_grad=...)`. Batches may be drawn anew in
  every epoch; `__init__` takes `num_samples`.

An optimizer without the attribute is called as `step()`.
"""

from typing import Any, Literal

from torch import Tensor
from torch.optim import Optimizer

from catsdogs.optim.saga import block_sizes

KINDS = ("block", "samples")


def declared_step_inputs(
    optimizer: Optimizer | type[Optimizer],
) -> Literal["block", "samples"] | None:
    """Return the kind of inputs that an optimizer declares for its step, or None for none.

    Raises:
        ValueError: If it declares a kind that is not known here.
    """
    declared: Literal["block", "samples"] | None = getattr(optimizer, "step_inputs", None)
    if declared is not None and declared not in KINDS:
        cls = optimizer if isinstance(optimizer, type) else type(optimizer)
        raise ValueError(
            f"{cls.__name__}.step_inputs={declared!r}: unknown kind; "
            "declare 'block' or 'samples', or leave it out"
        )
    return declared


def constructor_inputs(
    optimizer: Optimizer | type[Optimizer], num_samples: int, batch_size: int
) -> dict[str, Any]:
    """Return the keyword arguments that `__init__` needs because of the declared step inputs.

    Args:
        optimizer: The class, or an instance of it.
        num_samples: Number of training samples, 1 or above.
        batch_size: Samples per training step, 1 or above; the last batch may be smaller.
    """
    match declared_step_inputs(optimizer):
        case "block":
            return {"block_sizes": block_sizes(num_samples, batch_size)}
        case "samples":
            return {"num_samples": num_samples}
    return {}


def step_inputs(
    optimizer: Optimizer,
    *,
    block: int,
    samples: Tensor,
    features: Tensor,
    logit_grad: Tensor | None,
) -> dict[str, Any]:
    """Return the keyword arguments of `step` that an optimizer declares, out of what is known.

    Args:
        optimizer: Takes the step.
        block: Number of the batch among the blocks, from 0.
        samples: Number of each sample in the batch, of shape (m,).
        features: Input of the model, one entry per sample, of shape (m, ...).
        logit_grad: Gradient of the batch's mean cost with respect to each logit, of shape (m,).
    """
    match declared_step_inputs(optimizer):
        case "block":
            return {"block": block}
        case "samples":
            return {"samples": samples, "features": features, "logit_grad": logit_grad}
    return {}
