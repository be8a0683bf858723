"""The benchmark of training: the notebooks' baseline, scaling to whole runs, and ratios."""

import csv
import dataclasses
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from catsdogs.data.images import decode, normalise
from catsdogs.data.manifest import make_manifest
from catsdogs.features.backbone import find_weights
from catsdogs.optim.monograph import PublishedAdam
from scripts.bench import training as bench_training
from scripts.bench import training_parts
from scripts.bench.notebook import NotebookRun, loaders
from scripts.bench.training_parts import (
    COLD,
    COMPOSED,
    DECODING,
    EAGER,
    FOLDED,
    LAYERED,
    MONOGRAPH,
    NOTEBOOKS,
    ROWS,
    WARM,
    Sizes,
)
from tests.support.images import PER_CLASS

TINY = {"--train-pictures": 4, "--subset": 2, "--epochs": 2, "--rounds": 1, "--repeats": 5}


@pytest.fixture
def sizes() -> Sizes:
    return Sizes(
        train_pictures=2000,
        subset=200,
        epochs=10,
        rounds=2,
        repeats=20,
        workers=1,
        device=torch.device("cpu"),
        threads=1,
        monograph=False,
    )


def test_an_epoch_as_in_the_notebooks_trains_the_head_alone_and_lets_the_features_drift(
    images: Path,
) -> None:
    weights = find_weights("random")
    run = NotebookRun(PublishedAdam, weights, torch.device("cpu"))
    network = nn.ModuleDict({"backbone": run.backbone, "head": run.head})
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    run.train_epoch(*loaders(make_manifest(images, PER_CLASS), 4, 2, workers=0))
    after = network.state_dict()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert all(parameter.grad is None for parameter in run.backbone.parameters())
    statistics = {name for name in before if re.search(r"running_|num_batches", name)}
    assert moved == statistics | {name for name in before if name.startswith("head.")}


def test_images_are_moved_differently_in_every_epoch_as_in_the_notebooks(images: Path) -> None:
    for batches in loaders(make_manifest(images, PER_CLASS), 6, 2, workers=0):
        first, second = (sorted(batches, key=lambda batch: len(batch[1])) for _ in range(2))
        assert [len(labels) for _, labels in first] == [len(labels) for _, labels in second]
        assert all(labels.sum() == len(labels) / 2 for _, labels in first)
        for (before, _), (after, _) in zip(first, second, strict=True):
            assert before.shape[1:] == (3, 256, 256)
            assert not torch.equal(before, after)


def test_an_epoch_of_each_run_on_the_subset_is_scaled_to_whole_runs(
    sizes: Sizes, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert sizes.per_class == {"train": 1000, "val": 100, "test": 100}
    monkeypatch.setattr(training_parts, "timed", lambda work, device: 0.5)
    runs = [NotebookRun(torch.optim.SGD, find_weights("random"), sizes.device)] * 4
    ((name, seconds),) = training_parts.time_notebooks(runs, [], [], sizes)
    whole_by_part = 10 * (2000 + 200) / (200 + 20)
    assert (name, seconds) == (NOTEBOOKS, 4 * 0.5 * whole_by_part)


def test_all_rounds_together_pass_every_image_once_and_scale_each_part_to_the_whole(
    sizes: Sizes, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = sorted(images.iterdir())
    passed: dict[str, list[Tensor]] = {EAGER: [], FOLDED: []}

    def keep(name: str, pixels: Tensor) -> Tensor:
        passed[name].extend(pixels)
        return pixels

    def pretend(work: Callable[[], object], device: torch.device) -> float:
        work()
        return 0.5

    monkeypatch.setattr(training_parts, "timed", pretend)
    passes = {name: partial(keep, name) for name in passed}
    alone = dataclasses.replace(sizes, workers=0)
    for number in range(sizes.rounds):
        found = list(training_parts.time_passes(passes, files, number, alone))
        part = len(files) / (2 * 3)
        assert sorted(found) == sorted(
            (name, 0.5 * len(files) / part) for name in (EAGER, FOLDED, DECODING) for _ in "123"
        )
    for pixels in passed.values():
        sums = sorted(image.sum().item() for image in pixels)
        every = sorted(normalise(decode(file)[None]).sum().item() for file in files)
        assert sums == pytest.approx(every)


def test_with_everything_as_the_subset_each_round_passes_all_images_unscaled(
    sizes: Sizes, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [Path(f"{number}.jpg") for number in range(7)]
    whole = dataclasses.replace(sizes, subset=sizes.train_pictures)
    assert (whole.subset_val, whole.subset_scale) == (200, whole.epochs)
    passed: list[list[Path]] = []
    monkeypatch.setattr(training_parts, "decode_all", passed.append)
    monkeypatch.setattr(training_parts, "timed", lambda work, device: 0.5 if work() is None else 0)
    for number in range(whole.rounds):
        ((name, seconds),) = training_parts.time_passes({}, files, number, whole)
        assert name == DECODING
        assert seconds == 0.5
    assert passed == [files, files]


@pytest.mark.parametrize(("device", "subset"), [("cpu", 200), ("cuda", 2000)])
def test_the_default_subset_is_everything_on_a_gpu(
    device: str, subset: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen: list[Sizes] = []
    monkeypatch.setattr(bench_training, "choose_device", torch.device)
    monkeypatch.setattr(bench_training, "tune_malloc", lambda: None)
    monkeypatch.setattr(bench_training, "bench", lambda sizes, save: chosen.append(sizes))
    monkeypatch.setattr(sys, "argv", ["training.py", f"--device={device}", "--threads=1"])
    threads = torch.get_num_threads()
    try:
        bench_training.main()
    finally:
        torch.set_num_threads(threads)
    assert [(one.subset, one.monograph) for one in chosen] == [(subset, device == "cuda")]


def test_a_round_that_fails_leaves_the_rounds_before_it_on_the_page(
    sizes: Sizes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def measure(sizes: Sizes) -> Iterator[dict[str, list[float]]]:
        yield {name: [2.0] for name in ROWS if name != MONOGRAPH}
        raise RuntimeError("catsdogs.compare finished 3 of 4 runs")

    monkeypatch.setattr(bench_training, "measure", measure)
    saved = tmp_path / "training.md"
    with pytest.raises(RuntimeError, match="3 of 4 runs"):
        bench_training.bench(sizes, saved)
    assert f"| {COLD} | 2 | 2 to 2 | 1 |" in saved.read_text()
    assert f'"{COLD}",1,2.0\n' in saved.with_suffix(".csv").read_text()


def test_the_cold_comparison_starts_with_the_drawn_images_alone(
    cache: Path, sizes: Sizes, monkeypatch: pytest.MonkeyPatch
) -> None:
    (cache / "drawn").mkdir(parents=True)
    (cache / "features").mkdir()
    seen = []

    def record(folder: Path, output: str, sizes: Sizes, *, passes: int) -> float:
        seen.append((output, passes, {path.name: path.resolve() for path in folder.iterdir()}))
        return 0.5

    monkeypatch.setattr(training_parts, "time_comparison", record)
    assert list(training_parts.time_comparisons(sizes)) == [(COLD, 0.5), (WARM, 0.5)]
    drawn = {"drawn": cache / "drawn"}
    assert seen == [("cold", 1, drawn), ("warm", 0, drawn)]
    assert {path.name for path in cache.iterdir()} == {"drawn", "features"}


def test_a_ratio_pairs_values_that_ran_in_turn_and_uses_the_median_of_a_longer_series() -> None:
    assert bench_training.paired_ratios([8.0, 6.0, 2.0], [4.0, 2.0, 4.0]) == [2.0, 3.0, 0.5]
    assert bench_training.paired_ratios([8.0, 9.0], [1.0, 4.0, 70.0, 3.0, 2.0, 60.0]) == [2.0, 3.0]
    with pytest.raises(ValueError, match="3 measurements do not fall into 2 groups"):
        bench_training.paired_ratios([1.0, 2.0], [1.0, 2.0, 3.0])


def test_the_spread_is_the_range_of_few_values_and_the_quartiles_of_more() -> None:
    assert bench_training.spread([3.0, 1.0]) == (1.0, 3.0)
    assert bench_training.spread([5.0, 1.0, 2.0, 3.0, 4.0]) == (1.5, 4.5)


@pytest.mark.parametrize(
    "wrong",
    ["--rounds=0", "--train-pictures=3", "--subset=2001", "--rounds=801"],
)
def test_wrong_sizes_are_refused_in_one_line(
    wrong: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bench_training, "measure", lambda sizes: pytest.fail("accepted"))
    monkeypatch.setattr(sys, "argv", ["training.py", wrong])
    with pytest.raises(SystemExit) as stopped:
        bench_training.main()
    assert stopped.value.code == 2
    assert f"error: {wrong}: " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("computed", "status", "passes", "message"),
    [
        ([True, False, False, False], "finished", 0, "computed features 1 times instead of 0"),
        ([False, False, False, False], "finished", 1, "computed features 0 times instead of 1"),
        ([True, False, False], "finished", 1, "finished 3 of 4"),
        ([True, False, False, False], "failed", 1, "finished 0 of 4 .*broke"),
    ],
)
def test_a_comparison_that_computed_features_more_or_less_often_is_refused(
    computed: list[bool],
    status: str,
    passes: int,
    message: str,
    sizes: Sizes,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def pretend(command: list[str], *, cwd: Path, **_: Any) -> None:
        for number, value in enumerate(computed):
            (cwd / "some" / str(number)).mkdir(parents=True)
            facts = {"status": status, "error": "broke", "feature_store": {"computed": value}}
            (cwd / "some" / str(number) / "record.json").write_text(json.dumps(facts))

    monkeypatch.setattr(subprocess, "run", pretend)
    with pytest.raises(RuntimeError, match=message):
        training_parts.time_comparison(tmp_path, "some", sizes, passes=passes)


@pytest.mark.slow
def test_every_row_is_measured_and_every_ratio_follows_from_the_seconds(
    cache: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    threads = torch.get_num_threads()
    saved = tmp_path / "new" / "training.md"
    words = [f"{option}={value}" for option, value in TINY.items()]
    words += ["--workers=0", "--device=cpu", "--threads=1", "--monograph", f"--save={saved}"]
    monkeypatch.setattr(sys, "argv", ["training.py", *words])
    try:
        bench_training.main()
    finally:
        torch.set_num_threads(threads)
    page = saved.read_text()
    assert page.rstrip() in capsys.readouterr().out
    assert f"- command: `python -m scripts.bench.training {' '.join(words)}`\n" in page
    found: dict[str, list[float]] = {name: [] for name in ROWS}
    with saved.with_suffix(".csv").open(newline="") as file:
        for line in csv.DictReader(file):
            found[line["measurement"]].append(float(line["seconds"]))
    counts = dict.fromkeys(ROWS, 3) | dict.fromkeys((NOTEBOOKS, COLD, WARM, MONOGRAPH), 1)
    counts |= dict.fromkeys((LAYERED, COMPOSED), 5)
    assert {name: len(values) for name, values in found.items()} == counts
    assert all(value > 0 for values in found.values() for value in values)
    cells = {line.split(" | ")[0].strip("| "): line.split(" | ") for line in page.splitlines()}
    for name, values in found.items():
        assert float(cells[name][1].replace(",", "")) == pytest.approx(median(values), rel=0.01)
        assert int(cells[name][3]) == len(values)
    expected = {
        (COLD, EAGER): found[COLD][0] / median(found[EAGER]),
        (NOTEBOOKS, COLD): found[NOTEBOOKS][0] / found[COLD][0],
        (NOTEBOOKS, WARM): found[NOTEBOOKS][0] / found[WARM][0],
        (NOTEBOOKS, MONOGRAPH): found[NOTEBOOKS][0] / found[MONOGRAPH][0],
    }
    for mine, its in ((EAGER, FOLDED), (LAYERED, COMPOSED)):
        expected[mine, its] = median(m / i for m, i in zip(found[mine], found[its], strict=True))
    for (mine, its), ratio in expected.items():
        assert float(cells[f"{mine} / {its}"][1]) == pytest.approx(ratio, abs=0.006)
    assert {path.name for path in cache.iterdir()} == {"drawn", "manifests"}
