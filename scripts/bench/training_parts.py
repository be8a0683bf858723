"""Measurements of `scripts.bench.training`: whole comparisons and their parts."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.utils.data import DataLoader

from catsdogs.data.images import SIZE, ImageFiles, decode, normalise
from catsdogs.data.manifest import Split, make_manifest
from catsdogs.data.sources import draw_folder
from catsdogs.errors import UserError
from catsdogs.features.backbone import CHANNELS, SIDE, Backbone, BackboneWeights, find_weights
from catsdogs.features.folded_backbone import FoldedBackbone
from catsdogs.io.files import cache_directory, make_directory
from catsdogs.io.progress import progress
from catsdogs.runs.writer import recorded_facts
from catsdogs.training.heads import ConvHead, seeded_head
from scripts.bench.notebook import BATCH, LEARNING_RATE, OPTIMIZERS, Batches, NotebookRun, loaders

CONTENDERS = ("native_sgd", "custom_sgd", "native_adam", "custom_adam")
PARTS = 3  # of a round's images; every way is measured on one before the next
NOTEBOOKS = "training as in the notebooks"
COLD, WARM = "compare, cold", "compare, warm"
MONOGRAPH = "compare and report, cold, protocol=monograph"
EAGER, FOLDED = "backbone pass, plain eager", "backbone pass, folded"
DECODING = "decoding alone"
LAYERED, COMPOSED = "head step, layered", "head step, composed"
ROWS = (NOTEBOOKS, COLD, WARM, MONOGRAPH, EAGER, FOLDED, DECODING, LAYERED, COMPOSED)
Found = Iterator[tuple[str, float]]
Seconds = dict[str, list[float]]
Pass = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Sizes:
    """Amounts of work, and the device.

    Attributes:
        train_pictures: Training images, even; a tenth each for validation and testing.
        subset: Training images as in the notebooks; a tenth for validation. If it is all of them,
            passes are measured on all images too.
        epochs: Of each of the four runs.
        rounds: Number of times that everything is measured.
        repeats: Steps of each head in a round.
        workers: Decoding processes in every row.
        device: Device of the networks.
        threads: Threads of torch.
        monograph: Whether protocol=monograph is measured too.
    """

    train_pictures: int
    subset: int
    epochs: int
    rounds: int
    repeats: int
    workers: int
    device: torch.device
    threads: int
    monograph: bool

    def __post_init__(self) -> None:
        """Check the sizes.

        Raises:
            UserError: If there is nothing to measure; the message names the option.
        """
        for name in ("train_pictures", "subset", "epochs", "rounds", "repeats", "threads"):
            if getattr(self, name) < 1:
                option = name.replace("_", "-")
                raise UserError(f"--{option}={getattr(self, name)}: must be 1 or above")
        if self.train_pictures % 2:
            raise UserError(f"--train-pictures={self.train_pictures}: must be even")
        if self.subset > self.train_pictures:
            raise UserError(f"--subset={self.subset}: must not exceed --train-pictures")
        if not self.whole and self.images < self.rounds * PARTS:
            raise UserError(f"--rounds={self.rounds}: too many for {self.images} images")

    @property
    def per_class(self) -> dict[Split, int]:
        """Images of each class in each split."""
        tenth = max(1, self.train_pictures // 20)
        return {"train": self.train_pictures // 2, "val": tenth, "test": tenth}

    @property
    def images(self) -> int:
        """Images of all splits together."""
        return 2 * sum(self.per_class.values())

    @property
    def whole(self) -> bool:
        """Whether nothing is measured on a part."""
        return self.subset == self.train_pictures

    @property
    def subset_val(self) -> int:
        """Validation images as in the notebooks."""
        return max(1, self.subset // 10)

    @property
    def subset_scale(self) -> float:
        """Epochs on the subset that amount to a whole run."""
        return self.train_pictures / self.subset * self.epochs


def measure(sizes: Sizes) -> Iterator[Seconds]:
    """Yield all measurements so far after each round; those of a part are scaled to the whole.

    Raises:
        UserError: If the cache cannot be written.
        RuntimeError: If a comparison fails, or computes features more or less often than expected.
    """
    manifest = make_manifest(draw_folder(sum(sizes.per_class.values())), sizes.per_class)
    files = [manifest.root / entry.path for entry in manifest.used]
    weights = find_weights("embedded")
    runs = [NotebookRun(make, weights, sizes.device) for make in OPTIMIZERS.values()]
    batches = loaders(manifest, sizes.subset, sizes.subset_val, sizes.workers)
    passes = prepare_passes(weights, sizes.device)
    steps = prepare_steps(sizes.device)
    found: Seconds = {name: [] for name in ROWS if sizes.monograph or name != MONOGRAPH}
    for number in range(sizes.rounds):
        print(f"measuring round {number + 1} of {sizes.rounds}", file=sys.stderr)
        for name, seconds in chain(
            time_notebooks(runs, *batches, sizes),
            time_comparisons(sizes),
            time_passes(passes, files, number, sizes),
            time_steps(steps, sizes),
        ):
            found[name].append(seconds)
        yield found


def time_notebooks(
    runs: Sequence[NotebookRun], train: Batches, val: Batches, sizes: Sizes
) -> Found:
    """Time the next epoch of each run on the subset."""
    bar = progress(runs, total=len(runs), description=NOTEBOOKS, unit="run")
    epochs = (timed(partial(run.train_epoch, train, val), sizes.device) for run in bar)
    yield NOTEBOOKS, sum(epochs) * sizes.subset_scale


def time_comparisons(sizes: Sizes) -> Found:
    """Time `catsdogs.compare` with only the drawn images in the cache, and once more."""
    cache = make_directory(cache_directory(), "CATSDOGS_CACHE")
    # Inside the cache, so that features are on the same disk as usual.
    with tempfile.TemporaryDirectory(prefix="bench-", dir=cache) as name:
        folder = Path(name).resolve()
        (folder / "drawn").symlink_to((cache / "drawn").resolve(), target_is_directory=True)
        yield COLD, time_comparison(folder, "cold", sizes, passes=1)
        yield WARM, time_comparison(folder, "warm", sizes, passes=0)
        if sizes.monograph:
            seconds = time_comparison(folder, "monograph", sizes, passes=1, protocol="monograph")
            yield MONOGRAPH, seconds + time_report(folder, "monograph", sizes)


def time_comparison(
    folder: Path, output: str, sizes: Sizes, *, passes: int, protocol: str = "frozen"
) -> float:
    """Return the seconds from the start of a comparison's process to its end.

    Args:
        folder: Its working directory and cache.
        output: Name of its output directory, created in `folder`.
        sizes: Amounts of work.
        passes: Expected number of its runs that compute features.
        protocol: Of its runs.

    Raises:
        RuntimeError: If it fails, or another number of runs computed features.
    """
    print(f"timing catsdogs.compare, {output}", file=sys.stderr)
    settings = {
        "contenders": f"[{','.join(CONTENDERS)}]",
        "seeds": "[0]",
        "protocol": protocol,
        "epochs": sizes.epochs,
        "device": sizes.device,
        "data.workers": sizes.workers,
        "output_dir": output,
    } | {f"data.{split}_per_class": count for split, count in sizes.per_class.items()}
    seconds = timed(partial(start, folder, "compare", settings, sizes), sizes.device)
    records = [recorded_facts(path.parent) for path in (folder / output).glob("*/record.json")]
    computed = [bool(r["feature_store"]["computed"]) for r in records if r["status"] == "finished"]
    if (len(computed), sum(computed)) != (len(CONTENDERS), passes):
        raise RuntimeError(
            f"catsdogs.compare finished {len(computed)} of {len(CONTENDERS)} runs and computed "
            f"features {sum(computed)} times instead of {passes}: "
            f"{[record['error'] for record in records if 'error' in record]}"
        )
    return seconds


def time_report(folder: Path, output: str, sizes: Sizes) -> float:
    """Return the seconds from the start of a report's process to its end.

    Raises:
        RuntimeError: If it writes no page.
    """
    settings = {"runs": output, "out": "report"}
    seconds = timed(partial(start, folder, "report", settings, sizes), sizes.device)
    if not (folder / "report" / "index.html").exists():
        raise RuntimeError(f"catsdogs.report wrote no page for {output}")
    return seconds


def start(folder: Path, command: str, settings: Mapping[str, object], sizes: Sizes) -> None:
    """Run a command of the package to its end; `folder` is its working directory and cache."""
    subprocess.run(
        [sys.executable, "-m", f"catsdogs.{command}", *(f"{k}={v}" for k, v in settings.items())],
        cwd=folder,
        env=os.environ
        | {
            "CATSDOGS_CACHE": str(folder),
            "OMP_NUM_THREADS": str(sizes.threads),
            "PYTHONPATH": os.pathsep.join(sys.path),
        },
        stdout=subprocess.DEVNULL,  # it names temporary folders
    )


def prepare_passes(weights: BackboneWeights, device: torch.device) -> dict[str, Pass]:
    """Return the plain backbone in eval mode and the folded one, both warmed up."""
    plain = Backbone(weights.state).to(device)
    passes: dict[str, Pass] = {
        EAGER: torch.no_grad()(plain.forward),
        FOLDED: FoldedBackbone(weights, device),
    }
    for backbone in passes.values():
        backbone(torch.zeros(BATCH, 3, SIZE, SIZE, device=device))
    return passes


def time_passes(passes: Mapping[str, Pass], files: list[Path], number: int, sizes: Sizes) -> Found:
    """Time decoding alone and every pass on each part of a round's images, or on all images."""
    parts = [files[index :: sizes.rounds * PARTS] for index in range(sizes.rounds * PARTS)]
    of_round = [files] if sizes.whole else parts[number * PARTS : (number + 1) * PARTS]
    total = len(of_round) * (len(passes) + 1)
    with progress(total=total, description="backbone passes", unit="part") as bar:
        for part in of_round:
            tasks: dict[str, Callable[[], object]] = {
                DECODING: partial(decode_all, part),
                **{
                    name: partial(pass_all, backbone, part, sizes)
                    for name, backbone in passes.items()
                },
            }
            for name, task in tasks.items():
                yield name, timed(task, sizes.device) * len(files) / len(part)
                bar.update()


def decode_all(files: list[Path]) -> None:
    """Decode in this process, one image at a time."""
    for file in files:
        decode(file)


def pass_all(backbone: Pass, files: list[Path], sizes: Sizes) -> None:
    """Pass the images of files through a backbone and copy the features to main memory."""
    for pixels in DataLoader(
        ImageFiles([(f, None) for f in files]), BATCH, num_workers=sizes.workers
    ):
        backbone(normalise(pixels.to(sizes.device))).cpu()


def prepare_steps(device: torch.device) -> dict[str, Callable[[], None]]:
    """Return functions that take a training step of equal heads in either way, both warmed up."""
    features = torch.rand(BATCH, CHANNELS, SIDE, SIDE, device=device)
    labels = torch.arange(BATCH, device=device) % 2.0

    def prepare(forward: Callable[[ConvHead, Tensor], Tensor]) -> Callable[[], None]:
        head = seeded_head("conv", 0).to(device)
        assert isinstance(head, ConvHead)
        optimizer = torch.optim.Adam(head.parameters(), lr=LEARNING_RATE)

        def step() -> None:
            cost = binary_cross_entropy_with_logits(forward(head, features), labels)
            optimizer.zero_grad()
            cost.backward()
            optimizer.step()

        step()
        return step

    return {LAYERED: prepare(ConvHead.layered), COMPOSED: prepare(ConvHead.forward)}


def time_steps(steps: dict[str, Callable[[], None]], sizes: Sizes) -> Found:
    """Time single steps of the heads in turn."""
    for _ in progress(
        range(sizes.repeats), total=sizes.repeats, description="timing heads", unit="step"
    ):
        for name, step in steps.items():
            yield name, timed(step, sizes.device)


def timed(work: Callable[[], object], device: torch.device) -> float:
    """Return the seconds that `work` takes, including that of the device."""
    _synchronize(device)
    started = time.perf_counter()
    work()
    _synchronize(device)
    return time.perf_counter() - started


def _synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
