"""TensorBoard events: one file per run, the same tags in all, each point exactly once."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.metrics import confusion_matrix, precision_score, recall_score
from tensorboard.plugins.custom_scalar.layout_pb2 import Layout
from tensorboard.util import tensor_util

from catsdogs.runs.mistakes import Mistake
from catsdogs.training.events import Evaluation
from catsdogs.training.tensorboard import Status, TensorBoardTracker, hyperparameters
from tests.support.event_files import hparams_table, read_events

SETTINGS: dict[str, bool | float | str] = {
    "optimizer": "custom_sgd",
    "optimizer.lr": 0.5,
    "seed": 1,
}


def write_run(
    directory: Path,
    settings: dict[str, bool | float | str] = SETTINGS,
    *,
    test: Evaluation | None = None,
    labels: torch.Tensor | None = None,
    mistakes: list[Mistake] | None = None,
    status: Status = "finished",
) -> None:
    """Track a run of two epochs with two iterations each."""
    test = test or Evaluation(0.25, 0.75, torch.tensor([1.0, -1.0]))
    with TensorBoardTracker(directory, settings) as tracker:
        for epoch in range(3):
            if epoch:
                tracker.add_step(2 * epoch - 1, 0.5)
                tracker.add_step(2 * epoch, 0.4)
            accuracy = (0.5, 0.75, 0.625)[epoch]
            tracker.add_epoch(
                epoch, val_cost=1.0 / (epoch + 1), val_accuracy=accuracy, learning_rate=0.5
            )
        tracker.add_test(test, torch.tensor([1.0, 0.0]) if labels is None else labels)
        tracker.add_mistakes(mistakes or [])
        tracker.add_end(status)


def test_the_event_file_of_an_interrupted_process_is_replaced(tmp_path: Path) -> None:
    write_run(tmp_path / "run")
    write_run(tmp_path / "run")
    assert len(list((tmp_path / "run").rglob("*tfevents*"))) == 1
    costs = read_events(tmp_path / "run").Scalars("train/cost")
    assert [event.step for event in costs] == [1, 2, 3, 4]


def test_a_run_is_one_event_file_with_every_point_once(tmp_path: Path) -> None:
    write_run(tmp_path / "run")
    assert len(list((tmp_path / "run").rglob("*tfevents*"))) == 1
    events = read_events(tmp_path / "run")
    steps = {tag: [event.step for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]}
    assert steps == {
        "train/cost": [1, 2, 3, 4],
        "train/learning_rate": [0, 1, 2],
        "val/cost": [0, 1, 2],
        "val/accuracy": [0, 1, 2],
        "val/best_accuracy": [2],
        "test/cost": [2],
        "test/accuracy": [2],
    }


def test_the_table_of_hyperparameters_has_the_columns_of_all_runs_and_a_row_for_each(
    tmp_path: Path,
) -> None:
    adam: dict[str, bool | float | str] = {"optimizer": "custom_adam", "optimizer.betas": "0.9, 1"}
    write_run(tmp_path / "a", SETTINGS)
    write_run(tmp_path / "b", adam, test=Evaluation(9.0, 0.5, torch.zeros(2)), status="diverged")
    write_run(tmp_path / "deep" / "a", SETTINGS)  # equal names and settings are still two runs
    columns, rows = hparams_table(tmp_path)
    assert set(columns) == {"optimizer", "optimizer.lr", "optimizer.betas", "seed"}
    assert set(rows) == {"a", "b", "deep/a"}
    assert rows["a"]["settings"] == SETTINGS
    assert rows["b"]["settings"] == adam
    assert (rows["a"]["status"], rows["b"]["status"]) == ("STATUS_SUCCESS", "STATUS_FAILURE")
    for row, accuracy, cost in ((rows["a"], 0.75, 0.25), (rows["b"], 0.5, 9.0)):
        assert row["metrics"]["test/accuracy"] == accuracy
        assert row["metrics"]["test/cost"] == cost
        assert row["metrics"]["val/best_accuracy"] == 0.75


def test_a_run_that_was_killed_has_its_settings_in_the_table(tmp_path: Path) -> None:
    tracker = TensorBoardTracker(tmp_path / "run", SETTINGS)  # nothing closes it
    assert hparams_table(tmp_path)[1]["run"]["settings"] == SETTINGS
    with tracker:
        pass


def test_custom_scalars_lay_out_each_curve_in_a_chart_of_its_own(tmp_path: Path) -> None:
    write_run(tmp_path)
    events = read_events(tmp_path)
    (event,) = events.Tensors("custom_scalars__config__")
    layout = Layout.FromString(tensor_util.make_ndarray(event.tensor_proto).item())
    shown = {
        (category.title, chart.title): [
            tag
            for tag in events.Tags()["scalars"]
            for pattern in chart.multiline.tag
            if re.match(pattern, tag)
        ]
        for category in layout.category
        for chart in category.chart
    }
    assert shown == {
        ("training", "cost of each iteration's batch"): ["train/cost"],
        ("training", "learning rate of each epoch"): ["train/learning_rate"],
        ("validation", "cost after each epoch"): ["val/cost"],
        ("validation", "accuracy after each epoch"): ["val/accuracy"],
    }


def test_the_precision_recall_curve_counts_as_scikit_learn_does(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    labels = (torch.rand(200, generator=generator) < 0.3).float()
    logits = torch.randn(200, generator=generator) + labels
    write_run(tmp_path, test=Evaluation(0.5, 0.5, logits), labels=labels)
    (event,) = read_events(tmp_path).Tensors("test/precision_recall")
    curve = tensor_util.make_ndarray(event.tensor_proto)
    middle = curve.shape[1] // 2  # thresholds are spread evenly over 0 to 1
    cat, predicted = labels.numpy() == 1, logits.numpy() >= 0
    (tn, fp), (fn, tp) = confusion_matrix(cat, predicted)
    assert len({tn, fp, fn, tp}) == 4
    assert curve[:4, middle].tolist() == [tp, fp, tn, fn]
    assert curve[4, middle] == pytest.approx(precision_score(cat, predicted))
    assert curve[5, middle] == pytest.approx(recall_score(cat, predicted))


def test_logits_of_nan_count_as_dogs_in_the_curve(tmp_path: Path) -> None:
    logits = torch.tensor([torch.nan, torch.inf, -torch.inf, torch.nan])
    labels = torch.tensor([1.0, 1.0, 0.0, 0.0])
    write_run(tmp_path, test=Evaluation(torch.nan, 0.75, logits), labels=labels)
    (event,) = read_events(tmp_path).Tensors("test/precision_recall")
    counts = tensor_util.make_ndarray(event.tensor_proto)[:4]
    assert counts[:, counts.shape[1] // 2].tolist() == [1, 0, 2, 1]


def test_mistakes_are_one_image_of_the_thumbnails_and_a_table_of_their_paths(
    tmp_path: Path,
) -> None:
    (tmp_path / "mistakes").mkdir()
    Image.new("RGB", (160, 90), (0, 128, 0)).save(tmp_path / "mistakes/1.jpg")
    mistakes = [
        Mistake(1, "a|b/dog.1.jpg", 0, 2.5, "mistakes/1.jpg"),
        Mistake(2, "gone/cat.2.jpg", 1, -0.125),
    ]
    write_run(tmp_path, mistakes=mistakes)
    events = read_events(tmp_path)
    (image,) = events.Images("test/mistakes")
    assert (image.width, image.height) == (680, 202)
    (text,) = events.Tensors("test/mistakes/text_summary")
    (table,) = tensor_util.make_ndarray(text.tensor_proto).tolist()
    assert table.decode().splitlines()[2:] == [
        "| 1 | `a\\|b/dog.1.jpg` | dog | +2.5000 |",
        "| 2 | `gone/cat.2.jpg` | cat | -0.1250 |",
    ]


def test_without_mistakes_the_table_says_so_and_there_is_no_image(tmp_path: Path) -> None:
    write_run(tmp_path)
    events = read_events(tmp_path)
    assert not events.Tags()["images"]
    (text,) = events.Tensors("test/mistakes/text_summary")
    assert (
        b"No mistakes on the test images."
        in np.ravel(tensor_util.make_ndarray(text.tensor_proto))[0]
    )


def test_hyperparameters_have_the_names_of_their_settings() -> None:
    config = {
        "optimizer": {
            "_target_": "torch.optim.Adam",
            "_partial_": True,
            "lr": 1e-3,
            "betas": [0.9, 0.999],
            "amsgrad": False,
            "table_dtype": None,
        },
        "scheduler": {"_target_": "torch.optim.lr_scheduler.StepLR", "step_size": 5},
        "model": {"weights": "random", "weights_seed": 0, "head": "conv"},
        "data": {"source": "drawn", "workers": 1},
        "grad_clip": {"value": None, "norm": 2.0},
        "batch_size": 32,
        "protocol": "monograph",
        "epochs": 10,
        "seed": 3,
        "output_dir": "outputs",
    }
    assert hyperparameters("native_adam", config) == {
        "optimizer": "native_adam",
        "optimizer.lr": 1e-3,
        "optimizer.betas": "0.9, 0.999",
        "optimizer.amsgrad": False,
        "scheduler": "StepLR",
        "scheduler.step_size": 5,
        "model.weights": "random",
        "model.head": "conv",
        "data.source": "drawn",
        "protocol": "monograph",
        "grad_clip.norm": 2.0,
        "batch_size": 32,
        "epochs": 10,
        "seed": 3,
    }
    config["scheduler"] = {"_target_": None}
    assert hyperparameters("native_adam", config)["scheduler"] == "none"
