"""Claims about learning rates that change: schedulers, warm-up from 0, tensors changed in place."""

from typing import Any

import torch
from torch import Tensor
from torch.optim import lr_scheduler

from catsdogs.contract.claims import (
    ClaimFailed,
    NotApplicable,
    claim,
    closeness,
    describe,
    learning_rate,
    require,
)
from catsdogs.contract.harness import OptimizerHarness, copies, furthest
from catsdogs.contract.probe import is_refusal

EXACT = 2.0**-6  # the same number in every float type


@claim(
    "A step keeps the learning rate that torch's schedulers set, and weights stay finite.", "use"
)
def works_with_schedulers(harness: OptimizerHarness) -> str:
    optimizer = harness.build(harness.weights())
    if "lr" not in optimizer.param_groups[0]:
        raise ClaimFailed("its groups have no lr: every scheduler of torch raises KeyError: 'lr'")
    if optimizer.param_groups[0]["lr"] is None:
        raise NotApplicable("its lr is None: it finds its own")
    lr = float(optimizer.param_groups[0]["lr"])
    cycled = bool({"momentum", "betas"} & set(optimizer.defaults))
    schedules: dict[str, Any] = {
        "StepLR": lambda o: lr_scheduler.StepLR(o, 3, gamma=0.5),
        "CosineAnnealingLR": lambda o: lr_scheduler.CosineAnnealingLR(o, 10),
        "LambdaLR": lambda o: lr_scheduler.LambdaLR(o, lambda t: 0.9**t),
        "ReduceLROnPlateau": lambda o: lr_scheduler.ReduceLROnPlateau(o, patience=1),
        "OneCycleLR": lambda o: lr_scheduler.OneCycleLR(
            o, max_lr=lr or 1.0, total_steps=20, cycle_momentum=cycled
        ),
    }
    for name, build in schedules.items():
        weights = harness.weights()
        optimizer = harness.build(weights)
        scheduler = build(optimizer)
        for number in range(10):
            scheduled = float(optimizer.param_groups[0]["lr"])
            harness.descend(optimizer, weights, number)
            now = float(optimizer.param_groups[0]["lr"])
            require(now == scheduled, f"{name} set lr to {scheduled}, a step changed it to {now}")
            scheduler.step(*([1.0] if name == "ReduceLROnPlateau" else []))
            optimizer.zero_grad()
        require(finite(weights), f"weights are not finite after 10 steps with {name}")
        now = float(optimizer.param_groups[0]["lr"])
        require(lr == 0 or now != lr, f"lr is still {lr} after 10 steps with {name}")
    return f"{', '.join(schedules)}{' (momentum cycled)' if cycled else ''}"


@claim("Another learning rate in the groups gives other weights.", "update")
def obeys_the_learning_rate(harness: OptimizerHarness) -> str:
    group = harness.build(harness.weights()).param_groups[0]
    if group.get("lr") is None:
        raise NotApplicable("its groups have no lr" if "lr" not in group else "its lr is None")
    lr = float(group["lr"])
    other = lr / 2 or EXACT
    plain, _ = harness.trained(3)
    weights = harness.weights()
    optimizer = harness.build(weights)
    for each in optimizer.param_groups:
        each["lr"] = other
    steps = harness.after(3)
    harness.run(optimizer, weights, range(steps))
    gap = furthest(weights, plain)
    require(gap > 0, f"lr={lr} and lr={other} in the groups give the same weights in {steps} steps")
    return f"lr={lr:g} and lr={other:g} differ by {gap:.1g} after {steps} steps"


@claim("Weights stay finite when the learning rate starts at 0, and move when it rises.", "use")
def survives_warmup_from_zero(harness: OptimizerHarness) -> str:
    lr = learning_rate(harness) or EXACT
    weights = harness.weights()
    optimizer = harness.build(weights)
    if "lr" not in optimizer.param_groups[0]:
        raise NotApplicable("its groups have no lr")
    rates = [0.0, 0.0, *(lr * number / 4 for number in range(1, harness.after(5)))]
    start = copies(weights)
    for number, rate in enumerate(rates):
        for group in optimizer.param_groups:
            group["lr"] = rate
        harness.run(optimizer, weights, [number])
        require(
            finite(weights), f"weights are not finite after step {number + 1}, with lr={rate:g}"
        )
    require(furthest(weights, start) > 0, f"no weight moved in {len(rates)} steps")
    return f"finite in {len(rates)} steps, the first two with lr=0"


@claim(
    "A tensor lr that a scheduler changes in place is obeyed, and never changed by a step.", "use"
)
def obeys_a_tensor_learning_rate_changed_in_place(harness: OptimizerHarness) -> str:
    learning_rate(harness)
    lr = torch.tensor(EXACT, device=harness.subject.device)
    weights, plain = harness.weights(), harness.weights()
    optimizer, other = harness.build(weights), harness.build(plain)
    early = range(harness.after(2))
    late = range(harness.after(2), harness.after(4))
    try:
        optimizer = harness.build(weights, lr=lr)
        harness.run(optimizer, weights, early)
    except Exception as error:
        if not is_refusal(error):
            raise
        raise NotApplicable(f"a tensor lr is refused: {describe(error)}") from None
    other = harness.build(plain, lr=EXACT)
    harness.run(other, plain, early)
    if furthest(weights, plain) > max(1e-6, harness.tolerance):
        raise NotApplicable("a tensor lr steps unlike a float, see takes_a_tensor_as_learning_rate")
    held = optimizer.param_groups[0].get("lr")
    if not isinstance(held, Tensor):
        raise NotApplicable("its groups hold the tensor as a number, which schedulers replace")
    held.fill_(EXACT / 4)  # as torch's schedulers do
    for group in other.param_groups:
        group["lr"] = EXACT / 4
    harness.run(optimizer, weights, late)
    harness.run(other, plain, late)
    require(float(held) == EXACT / 4, f"a step changed the tensor to {float(held)}")
    gap = furthest(weights, plain)
    require(
        gap <= max(1e-6, harness.tolerance),
        f"weights differ by {gap:.1e} from those with a float lr after it changed",
    )
    return f"weights equal {closeness(gap)} to those with a float lr"


def finite(weights: list[Tensor]) -> bool:
    """Return whether all entries are finite."""
    return all(bool(weight.isfinite().all()) for weight in weights)
