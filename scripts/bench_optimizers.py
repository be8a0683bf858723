"""Time the custom optimizers, eager and compiled, against torch's variants.

    python scripts/bench_optimizers.py --builds 10
    python scripts/bench_optimizers.py --device cuda --set large

Every repeat runs all variants after each other; a ratio is the median of the repeats' ratios.
"""

import argparse
from functools import partial
from typing import Any

import torch
from torch import Tensor

from catsdogs import optim
from catsdogs.contract.speed import time_steps
from catsdogs.contract.subject import Factory
from catsdogs.optim.rule import RuleOptimizer

SETS: dict[str, list[tuple[int, ...]]] = {
    "head": [(256, 512, 4, 4), (256,), (1, 256, 5, 5), (1,), (1, 1, 1, 1), (1,)],
    "large": [(1024, 1024)] * 24,
}
TWINS: dict[str, tuple[Any, Any]] = {
    "sgd": (partial(torch.optim.SGD, lr=1e-3), partial(optim.SGD, lr=1e-3)),
    "adam": (partial(torch.optim.Adam, lr=1e-3), partial(optim.Adam, lr=1e-3)),
}


def compiled(factory: Factory, params: list[Tensor]) -> RuleOptimizer:
    """Build a custom optimizer and compile it."""
    optimizer = factory(params)
    if not isinstance(optimizer, RuleOptimizer):
        raise TypeError(f"{type(optimizer).__name__} has no compile")
    optimizer.compile()
    return optimizer


def main() -> None:
    """Print one table for each optimizer and set of parameters."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--set", choices=SETS, action="append", dest="sets")
    parser.add_argument("--builds", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print(f"torch {torch.__version__}, {arguments.device}, {arguments.threads} threads")
    for shapes in arguments.sets or SETS:
        for name, (native, custom) in TWINS.items():
            timings = time_steps(
                {
                    "native default": native,
                    "native loop": partial(native, foreach=False),
                    "native foreach": partial(native, foreach=True),
                    "native fused": partial(native, fused=True),
                    "custom eager": custom,
                    "custom compiled": partial(compiled, custom),
                },
                SETS[shapes],
                device=arguments.device,
                builds=arguments.builds,
                repeats=arguments.repeats,
            )
            default, fused = timings["native default"], timings["native fused"]
            print(f"\n{name}, {shapes}, {arguments.builds} builds of {arguments.repeats} repeats")
            print(f"{'':<16}{'median ms':>10}{'quartiles':>16}{'/ default':>11}{'/ fused':>9}")
            for variant, timing in timings.items():
                low, high = timing.quartiles()
                print(
                    f"{variant:<16}{1e3 * timing.median():>10.3f}"
                    f"{1e3 * low:>8.3f}{1e3 * high:>8.3f}"
                    f"{timing.ratio_to(default):>11.2f}{timing.ratio_to(fused):>9.2f}"
                )


if __name__ == "__main__":
    main()
