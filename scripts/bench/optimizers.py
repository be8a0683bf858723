"""Time steps of the custom optimizers, eager and compiled, against torch's variants.

    python -m scripts.bench.optimizers --builds 10
    python -m scripts.bench.optimizers --device cuda --set large --save optimizers-cuda.md

Each variant is timed alternately with its reference, in a separate run. A ratio is the median of
the repeats' ratios; the ratio of the native optimizer to itself shows the noise.
"""

import math
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from catsdogs import optim
from catsdogs.contract.subject import Factory
from catsdogs.contract.timing import Timing, time_steps
from catsdogs.io.progress import progress
from catsdogs.optim.base import RuleOptimizer
from scripts.bench.page import benchmark_parser, circumstances, save_page

PROGRAM = "python -m scripts.bench.optimizers"
SETS: dict[str, list[tuple[int, ...]]] = {
    "head": [(256, 512, 4, 4), (256,), (1, 256, 5, 5), (1,), (1, 1, 1, 1), (1,)],
    "large": [(1024, 1024)] * 24,
}
TWINS: dict[str, tuple[Any, Any]] = {
    "sgd": (partial(torch.optim.SGD, lr=1e-3), partial(optim.SGD, lr=1e-3)),
    "adam": (partial(torch.optim.Adam, lr=1e-3), partial(optim.Adam, lr=1e-3)),
}

DEFAULT, FUSED = "native default", "native fused"
EXPLANATION = f"""\
`{DEFAULT}` is what torch chooses: foreach on CUDA, the loop on the CPU. Times on CUDA are from the
call of the first of a few steps to the end of the last one's kernels, per step."""


class Duel(NamedTuple):
    """A variant's times, and the median ratio to the reference's times of the same run."""

    timing: Timing
    ratio: float


def compiled(factory: Factory, params: list[Tensor]) -> RuleOptimizer:
    """Build a custom optimizer and compile it.

    Raises:
        TypeError: If it cannot be compiled.
    """
    optimizer = factory(params)
    if not isinstance(optimizer, RuleOptimizer):
        raise TypeError(f"{type(optimizer).__name__} has no compile")
    optimizer.compile()
    return optimizer


def contenders(native: Factory, custom: Factory) -> dict[str, Factory]:
    """Return every variant of a native optimizer and its custom twin, by its name in the table."""
    return {
        DEFAULT: native,
        "native loop": partial(native, foreach=False),
        "native foreach": partial(native, foreach=True),
        FUSED: partial(native, fused=True),
        "custom eager": custom,
        "custom compiled": partial(compiled, custom),
    }


def against(variants: Mapping[str, Factory], reference: str, **how: Any) -> dict[str, Duel]:
    """Time every variant alternately with the reference, each pair in a separate run.

    With more than two optimizers in a run, a third one would determine the state of the caches and
    the heap.

    Args:
        variants: Optimizers by name.
        reference: Name of the variant that the others are compared with.
        how: Arguments of `time_steps`.
    """
    duels = {}
    for variant, factory in variants.items():
        pair = {variant: factory, f"{reference}, again": variants[reference]}
        mine, its = time_steps(pair, **how).values()
        duels[variant] = Duel(mine, mine.ratio_to(its))
    return duels


def table(by_default: Mapping[str, Duel], by_fused: Mapping[str, Duel]) -> str:
    """Return medians and quartiles in milliseconds, and ratios, as a Markdown table."""
    rows = [f"| | ms (quartiles) | over {DEFAULT} | over {FUSED} |", "|---|---|---|---|"]
    for variant, (timing, ratio) in by_default.items():
        low, high = timing.quartiles()
        rows.append(
            f"| {variant} | {1e3 * timing.median():.3f} ({1e3 * low:.3f} to {1e3 * high:.3f}) | "
            f"{ratio:.2f} | {by_fused[variant].ratio:.2f} |"
        )
    return "\n".join(rows)


def bench(
    sets: Sequence[str], *, device: str, builds: int, repeats: int, save: Path | None
) -> None:
    """Print a table for each set of parameters and pair of twins; write them to `save` if given."""
    page = [
        "# Time of an optimizer's step",
        circumstances(PROGRAM, device, torch.get_num_threads()),
        EXPLANATION,
    ]
    print("\n\n".join(page))
    with progress(total=len(sets) * len(TWINS), description="timing", unit="table") as bar:
        for name in sets:
            for rule, (native, custom) in TWINS.items():
                variants = contenders(native, custom)
                by_default, by_fused = (
                    against(
                        variants,
                        reference,
                        shapes=SETS[name],
                        device=device,
                        builds=builds,
                        repeats=repeats,
                    )
                    for reference in (DEFAULT, FUSED)
                )
                title = (
                    f"## {rule}, {name}: {sum(map(math.prod, SETS[name])):,} parameters, "
                    f"{builds} builds of {repeats} repeats"
                )
                page += [title, table(by_default, by_fused)]
                bar.write(f"\n{title}\n\n{page[-1]}", file=sys.stdout)
                bar.update()
                if save is not None:
                    save_page(save, page)
    if save is not None:
        print(f"\nsaved: {save}")


def main() -> None:
    """Run the benchmark with the options of the command line."""
    parser = benchmark_parser(PROGRAM, __doc__)
    parser.add_argument(
        "--set", choices=SETS, action="append", dest="sets", help="parameter shapes (all sets)"
    )
    parser.add_argument("--builds", type=int, default=5, help="times that all is built (5)")
    parser.add_argument("--repeats", type=int, default=10, help="measurements per build (10)")
    arguments = parser.parse_args()
    if arguments.builds * arguments.repeats < 2:
        parser.error("--builds times --repeats must be 2 or above, since quartiles need two values")
    torch.set_num_threads(arguments.threads)
    bench(
        arguments.sets or list(SETS),
        device=arguments.device,
        builds=arguments.builds,
        repeats=arguments.repeats,
        save=arguments.save,
    )


if __name__ == "__main__":
    main()
