"""CUDA: the numbers of the CPU within a stated tolerance, and reproducible runs.

Distances are relative: the root mean square of the difference over that of the CPU's numbers.
"""

import csv
import dataclasses
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from catsdogs.compute.device import disable_tf32
from catsdogs.data.augmentation import apply_views, draw_view
from catsdogs.data.manifest import SPLITS, Manifest, Split, make_manifest
from catsdogs.data.sources import draw_folder
from catsdogs.features.backbone import BackboneWeights, find_weights
from catsdogs.features.drifting_features import ViewFeatures
from catsdogs.features.drifting_pass import ViewPass
from catsdogs.features.feature_store import DeviceRows, Features, open_feature_store
from catsdogs.settings import Precision
from tests.support.processes import environment

CPU, GPU = torch.device("cpu"), torch.device("cuda")
TOLERANCES: dict[Precision, float] = {"float32": 1e-5, "bfloat16": 1e-2, "float16": 2e-3}
PER_CLASS: dict[Split, int] = {"train": 6, "val": 2, "test": 2}

pytestmark = pytest.mark.gpu


@pytest.fixture(autouse=True)
def full_float32() -> Iterator[None]:
    """Disable TF32 as a run does, and restore torch's setting."""
    before = torch.backends.cudnn.allow_tf32
    disable_tf32()
    yield
    torch.backends.cudnn.allow_tf32 = before


@pytest.fixture
def weights() -> BackboneWeights:
    return find_weights("embedded")


@pytest.fixture
def drawn(cache: Path) -> Manifest:
    return make_manifest(draw_folder(sum(PER_CLASS.values()), seed=0), PER_CLASS)


def everything(splits: dict[Split, Features]) -> Tensor:
    """Return all features in the manifest's order, on the CPU."""
    return torch.cat([splits[s].batch(torch.arange(len(splits[s])))[0].cpu() for s in SPLITS])


def distance(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).norm() / expected.norm())


@pytest.mark.parametrize("precision", TOLERANCES)
def test_features_are_those_of_the_cpu_in_float32_and_are_kept_on_the_device(
    drawn: Manifest, weights: BackboneWeights, precision: Precision
) -> None:
    expected = everything(open_feature_store(drawn, weights, device=CPU, workers=0).splits)
    store = open_feature_store(drawn, weights, device=GPU, workers=0, precision=precision)
    assert isinstance(store.splits["train"].values, DeviceRows)
    assert distance(everything(store.splits), expected) < TOLERANCES[precision]


@pytest.mark.parametrize("precision", TOLERANCES)
def test_features_of_an_epoch_and_its_statistics_are_those_of_the_cpu_in_float32(
    drawn: Manifest, weights: BackboneWeights, precision: Precision
) -> None:
    passes = ViewPass(drawn, weights, 3, 4, "float32", CPU, 0)
    there = dataclasses.replace(passes, device=GPU, precision=precision)
    one, other = (ViewFeatures(each, epochs=1) for each in (passes, there))
    # A batch of four is divided by its own deviations, some of them small.
    tolerance = max(TOLERANCES[precision], 1e-4)
    assert distance(everything(other(1)), everything(one(1))) < tolerance
    for name, expected in one.statistics(1).items():
        found = other.statistics(1)[name]
        assert found.dtype == expected.dtype
        assert distance(found.double(), expected.double()) < tolerance


def test_views_are_those_of_the_cpu_to_the_bit() -> None:
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (16, 3, 256, 256), generator=generator).byte()
    views = [draw_view(0, 1, f"{number:064x}") for number in range(16)]
    assert torch.equal(apply_views(pixels.to(GPU), views).cpu(), apply_views(pixels, views))


def train(folder: Path, *arguments: str) -> Path:
    """Run the command in a separate process: cuBLAS reads its settings when it starts."""
    sizes = [f"data.{split}_per_class={count}" for split, count in PER_CLASS.items()]
    given = [*sizes, "batch_size=4", *arguments, f"output_dir={folder}"]
    done = subprocess.run(
        [sys.executable, "-m", "catsdogs.train", *given],
        env=environment(),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    (directory,) = folder.iterdir()
    return directory


def costs(directory: Path) -> list[float]:
    with (directory / "steps.csv").open() as file:
        return [float(row["cost"]) for row in csv.DictReader(file)]


def test_a_short_training_has_the_costs_of_the_cpu(tmp_path: Path) -> None:
    one, other = (
        train(tmp_path / device, f"device={device}", "epochs=2", "optimizer=custom_sgd")
        for device in ("cpu", "cuda")
    )
    assert len(costs(one)) == 6
    np.testing.assert_allclose(costs(other), costs(one), rtol=0, atol=1e-4)


@pytest.mark.parametrize("protocol", ["frozen", "monograph"])
def test_a_resumed_run_equals_an_uninterrupted_one_to_the_bit(
    tmp_path: Path, protocol: str
) -> None:
    same = ["device=cuda", "deterministic=true", f"protocol={protocol}"]
    whole = train(tmp_path / "whole", *same, "epochs=4")
    half = train(tmp_path / "half", *same, "epochs=2")
    assert train(tmp_path / "half", *same, "epochs=4", f"resume={half}") == half
    for name in ("steps.csv", "predictions.csv", "last.safetensors"):
        assert (half / name).read_bytes() == (whole / name).read_bytes()
