"""Time the notebooks' way of training against this package's, cold and warm, and its parts.

    python -m scripts.bench.training --save training.md
    python -m scripts.bench.training --train-pictures 40 --subset 20 --epochs 1 --rounds 1

Every round measures everything, one after the other, so that what else the machine does falls on
all. About ten minutes on two cores that have nothing else to do. A saved page has every
measurement beside it, in a file of the same name with .csv at its end.
"""

import argparse
import csv
import io
import statistics
from collections.abc import Sequence
from pathlib import Path

import torch

from catsdogs.compute.device import choose_device, tune_malloc
from catsdogs.errors import UserError
from catsdogs.io.files import atomic_write_text
from scripts.bench.notebook import BATCH
from scripts.bench.page import add_options, circumstances, save_page, table
from scripts.bench.training_parts import (
    COLD,
    COMPOSED,
    DECODING,
    EAGER,
    FOLDED,
    LAYERED,
    MONOGRAPH,
    NOTEBOOKS,
    WARM,
    Seconds,
    Sizes,
    measure,
)

RATIOS = (
    (COLD, EAGER),
    (NOTEBOOKS, COLD),
    (NOTEBOOKS, WARM),
    (NOTEBOOKS, MONOGRAPH),
    (EAGER, FOLDED),
    (LAYERED, COMPOSED),
)
FEW = 5  # of fewer values the lowest and the highest are shown: quartiles would be invented
EXPLANATION = f"""\
Seconds are medians. Spread is the quartiles, or the lowest and the highest of fewer than {FEW}. A
ratio is the median over pairs that ran in turn, so it need not be that of the medians; where one
side has more measurements, their median in each round is taken.

The notebooks' way decodes every picture in every epoch, moves it at random (RandomAffine), and
sends it through the plain backbone in training mode and the head layer by layer. It is measured on
a part and scaled up linearly. The comparison does the same number of epochs on frozen features
(protocol=frozen: no random moves), and is timed from the start of its process to its end. Cold, it
finds the drawn pictures and nothing else, so it checks each of them and computes its features;
warm, it finds those too. With protocol=monograph it makes the same random moves as the notebooks,
for all runs at once. A backbone pass reads and decodes the files; it is measured on portions of
the pictures and scaled up, and so is decoding. Head steps are forward, backward and torch's
Adam."""


def meanings(sizes: Sizes) -> dict[str, str]:
    """Return for each row what its seconds are for, and on what they were measured."""
    ahead = f"processes that decode ahead: {sizes.workers}"
    runs = (
        f"4 runs, epochs: {sizes.epochs}, pictures: {sizes.train_pictures:,} training, "
        f"{2 * sizes.per_class['val']:,} validation; {ahead}"
    )
    pictures = f"pictures: {sizes.pictures:,}"
    step = f"batch of {BATCH}, float32"
    return {
        NOTEBOOKS: f"{runs}; {sizes.subset_scale:g} times what an epoch of each run takes with "
        f"{sizes.subset:,} and {sizes.subset_val:,} pictures",
        COLD: runs,
        WARM: runs,
        MONOGRAPH: f"{runs}; a pass of its own for every epoch, and the report's page",
        EAGER: f"{pictures}; torchvision's ResNet-18 in eval mode, batches of {BATCH}; {ahead}",
        FOLDED: f"{pictures}; the same function with BatchNorm folded; {ahead}",
        DECODING: f"{pictures}; one process, no network",
        LAYERED: f"three convolutions of every picture; {step}",
        COMPOSED: f"one kernel, composed in the step; {step}",
    }


def spread(values: Sequence[float]) -> tuple[float, float]:
    """Return the first and the third quartile, or lowest and highest of a few values."""
    if len(values) < FEW:
        return min(values), max(values)
    first, _, third = statistics.quantiles(values, n=4)
    return first, third


def paired_ratios(mine: Sequence[float], its: Sequence[float]) -> list[float]:
    """Divide measurements that ran in turn; a longer series is first brought down to the other's.

    Raises:
        ValueError: If the longer is no whole number of times the shorter.
    """
    pairs = min(len(mine), len(its))
    return [m / i for m, i in zip(_medians(mine, pairs), _medians(its, pairs), strict=True)]


def _medians(values: Sequence[float], count: int) -> list[float]:
    """Return the medians of `count` equal groups of neighbours."""
    size, rest = divmod(len(values), count)
    if rest:
        raise ValueError(f"{len(values)} measurements do not fall into {count} groups")
    return [statistics.median(values[n * size : (n + 1) * size]) for n in range(count)]


def seconds_table(found: Seconds, sizes: Sizes) -> str:
    """Return the median of every row, its spread, and pictures per second where it has any."""
    rows = []
    for name, meaning in meanings(sizes).items():
        if name not in found:
            continue
        median = statistics.median(found[name])
        low, high = map(_seconds, spread(found[name]))
        rate = f"{sizes.pictures / median:,.1f}" if name in (EAGER, FOLDED, DECODING) else ""
        count = str(len(found[name]))
        rows.append([name, _seconds(median), f"{low} to {high}", count, rate, meaning])
    return table(["", "seconds", "spread", "n", "pictures/s", "of what"], rows)


def ratios_table(found: Seconds) -> str:
    """Return the median of every ratio and its spread."""
    rows = []
    for mine, its in RATIOS:
        if its not in found:
            continue
        ratios = paired_ratios(found[mine], found[its])
        low, high = spread(ratios)
        median = f"{statistics.median(ratios):.2f}"
        rows.append([f"{mine} / {its}", median, f"{low:.2f} to {high:.2f}", str(len(ratios))])
    return table(["", "ratio", "spread", "n"], rows)


def _seconds(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def write_measurements(file: Path, found: Seconds) -> None:
    """Write every measurement, in seconds and scaled as in the table, in the order of time."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("measurement", "number", "seconds"))
    for name, values in found.items():
        writer.writerows((name, number, value) for number, value in enumerate(values, start=1))
    atomic_write_text(file, text.getvalue())


def bench(sizes: Sizes, save: Path | None) -> None:
    """Measure, print the tables, and save them and every measurement if asked."""
    found = measure(sizes)
    page = [
        "# Time of training",
        circumstances(str(sizes.device), sizes.threads),
        EXPLANATION,
        seconds_table(found, sizes),
        ratios_table(found),
    ]
    print("\n\n".join(page))
    if save is not None:
        save_page(save, page)
        write_measurements(save.with_suffix(".csv"), found)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    add_options(parser)
    for option, default, what in (
        ("--train-pictures", 2000, "of the comparison; a tenth as many validate, and test"),
        ("--subset", 200, "training pictures of the notebooks' way, which is scaled up"),
        ("--epochs", 10, "of each run"),
        ("--rounds", 2, "in each of which everything is measured"),
        ("--repeats", 20, "steps of each head in a round"),
        ("--workers", 1, "processes that decode ahead of a network, in every row"),
    ):
        parser.add_argument(option, type=int, default=default, help=f"{what} ({default})")
    parser.add_argument(
        "--monograph",
        action=argparse.BooleanOptionalAction,
        help="also measure protocol=monograph, a pass for every epoch (on a GPU)",
    )
    options = vars(parser.parse_args())
    if options["monograph"] is None:
        options["monograph"] = options["device"].startswith("cuda")
    save = options.pop("save")
    try:
        sizes = Sizes(**options | {"device": choose_device(options["device"])})
        torch.set_num_threads(sizes.threads)
        tune_malloc()  # as the package's own commands do; the notebooks' way gains by it too
        bench(sizes, save)
    except UserError as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
