"""Time training as in the notebooks against this package's, cold and warm, and its parts.

    python -m scripts.bench.training --save training.md
    python -m scripts.bench.training --train-pictures 40 --subset 20 --epochs 1 --rounds 1

Every round measures everything in turn, so that other load on the machine affects all rows. Takes
about ten minutes on two idle cores. `--save FILE.md` also writes every measurement to FILE.csv.
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
from scripts.bench.page import benchmark_parser, circumstances, save_page, table
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

PROGRAM = "python -m scripts.bench.training"
RATIOS = (
    (COLD, EAGER),
    (NOTEBOOKS, COLD),
    (NOTEBOOKS, WARM),
    (NOTEBOOKS, MONOGRAPH),
    (EAGER, FOLDED),
    (LAYERED, COMPOSED),
)
FEW = 5  # fewer values have no meaningful quartiles: the lowest and the highest are shown
EXPLANATION = f"""\
Seconds are medians. Spread is the quartiles, or the lowest and the highest of fewer than {FEW}
values. A ratio is the median over pairs that ran in turn, so it can differ from the ratio of the
medians; where one side has more measurements, their median in each round is used.

Training as in the notebooks decodes every image in every epoch, moves it at random (RandomAffine)
and passes it through the plain backbone in training mode and the head layer by layer. It is
measured on a subset and scaled up linearly. The comparison trains for the same number of epochs on
frozen features (protocol=frozen: no random moves) and is timed from the start of its process to its
end. A cold one starts with the drawn images alone, so it checks each image and computes its
features; a warm one starts with these too. With protocol=monograph it makes the same random moves
as the notebooks, for all runs at once. A backbone pass reads and decodes the files; passes and
decoding are measured on parts of the images and scaled up, or on all of them if the subset is the
whole. Head steps consist of forward, backward and a step of torch's Adam."""


def meanings(sizes: Sizes) -> dict[str, str]:
    """Return, for each row, the work that its seconds are for."""
    decoding = f"decoding processes: {sizes.workers}"
    runs = (
        f"4 runs, epochs: {sizes.epochs}, images: {sizes.train_pictures:,} training, "
        f"{2 * sizes.per_class['val']:,} validation; {decoding}"
    )
    images = f"images: {sizes.images:,}"
    step = f"batch of {BATCH}, float32"
    return {
        NOTEBOOKS: f"{runs}; {sizes.subset_scale:g} times the epoch of each run on "
        f"{sizes.subset:,} and {sizes.subset_val:,} images",
        COLD: runs,
        WARM: runs,
        MONOGRAPH: f"{runs}; a pass for every epoch, and the report",
        EAGER: f"{images}; torchvision's ResNet-18 in eval mode, batches of {BATCH}; {decoding}",
        FOLDED: f"{images}; the same function with BatchNorm folded; {decoding}",
        DECODING: f"{images}; one process, no network",
        LAYERED: f"three convolutions of every image; {step}",
        COMPOSED: f"one kernel, composed in each step; {step}",
    }


def spread(values: Sequence[float]) -> tuple[float, float]:
    """Return the first and the third quartile, or the extremes of fewer than `FEW` values."""
    if len(values) < FEW:
        return min(values), max(values)
    first, _, third = statistics.quantiles(values, n=4)
    return first, third


def paired_ratios(mine: Sequence[float], its: Sequence[float]) -> list[float]:
    """Return the ratios of measurements that ran in turn.

    A longer series is first reduced to medians, as many as the shorter series has values.

    Raises:
        ValueError: If the longer length is not a multiple of the shorter.
    """
    pairs = min(len(mine), len(its))
    return [m / i for m, i in zip(_medians(mine, pairs), _medians(its, pairs), strict=True)]


def _medians(values: Sequence[float], count: int) -> list[float]:
    """Return the medians of `count` equal groups of successive values."""
    size, rest = divmod(len(values), count)
    if rest:
        raise ValueError(f"{len(values)} measurements do not fall into {count} groups")
    return [statistics.median(values[n * size : (n + 1) * size]) for n in range(count)]


def seconds_table(found: Seconds, sizes: Sizes) -> str:
    """Return a table of medians and spreads, with images per second for passes and decoding."""
    rows = []
    for name, meaning in meanings(sizes).items():
        if name not in found:
            continue
        median = statistics.median(found[name])
        low, high = map(_seconds, spread(found[name]))
        rate = f"{sizes.images / median:,.1f}" if name in (EAGER, FOLDED, DECODING) else ""
        count = str(len(found[name]))
        rows.append([name, _seconds(median), f"{low} to {high}", count, rate, meaning])
    return table(["", "seconds", "spread", "n", "images/s", "work"], rows)


def ratios_table(found: Seconds) -> str:
    """Return a table of the median and the spread of every ratio."""
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
    """Write every measurement, in seconds, scaled as in the table and in order of time."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("measurement", "number", "seconds"))
    for name, values in found.items():
        writer.writerows((name, number, value) for number, value in enumerate(values, start=1))
    atomic_write_text(file, text.getvalue())


def bench(sizes: Sizes, save: Path | None) -> None:
    """Measure and print the tables; write them and every measurement to `save` if given."""
    for found in measure(sizes):
        page = [
            "# Time of training",
            circumstances(PROGRAM, str(sizes.device), sizes.threads),
            EXPLANATION,
            seconds_table(found, sizes),
            ratios_table(found),
        ]
        if save is not None:
            save_page(save, page)
            write_measurements(save.with_suffix(".csv"), found)
    print("\n\n".join(page))
    if save is not None:
        print(f"\nsaved: {save}")


def main() -> None:
    """Run the benchmark with the options of the command line."""
    parser = benchmark_parser(PROGRAM, __doc__)
    for option, default, what in (
        ("--train-pictures", 2000, "of the comparison; a tenth each for validation and testing"),
        ("--epochs", 10, "of each run"),
        ("--rounds", 2, "number of times that everything is measured"),
        ("--repeats", 20, "steps of each head in a round"),
        ("--workers", 1, "decoding processes in every row"),
    ):
        parser.add_argument(option, type=int, default=default, help=f"{what} ({default})")
    parser.add_argument(
        "--subset",
        type=int,
        help="training images as in the notebooks, scaled up (200; on a GPU all, since there the "
        "start of the decoding processes takes longer than a part)",
    )
    parser.add_argument(
        "--monograph",
        action=argparse.BooleanOptionalAction,
        help="also measure protocol=monograph, with a pass for every epoch (default: on a GPU)",
    )
    options = vars(parser.parse_args())
    on_gpu = options["device"].startswith("cuda")
    if options["monograph"] is None:
        options["monograph"] = on_gpu
    if options["subset"] is None:
        options["subset"] = options["train_pictures"] if on_gpu else 200
    save = options.pop("save")
    try:
        sizes = Sizes(**options | {"device": choose_device(options["device"])})
        torch.set_num_threads(sizes.threads)
        tune_malloc()  # as the package's commands do; training as in the notebooks gains too
        bench(sizes, save)
    except UserError as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
