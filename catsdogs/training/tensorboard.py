"""TensorBoard events of a run: the numbers of its records, under the same tags in every run."""

import time
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams import metadata, summary_v2
from tensorboard.plugins.hparams.api_pb2 import STATUS_FAILURE, STATUS_SUCCESS
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData, SessionEndInfo
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from catsdogs.io.files import sync
from catsdogs.runs.mistakes import Mistake, contact_sheet
from catsdogs.runs.schema import class_name, flat
from catsdogs.training.events import Evaluation

Status = Literal["finished", "diverged"]
EVENT_FILES = "events.out.tfevents.*"
# Charts of the Custom Scalars tab: each shows the scalars of all runs whose tags match.
LAYOUT = {
    "training": {
        "cost of each iteration's batch": ["Multiline", ["train/cost$"]],
        "learning rate of each epoch": ["Multiline", ["train/learning_rate$"]],
    },
    "validation": {
        "cost after each epoch": ["Multiline", ["val/cost$"]],
        "accuracy after each epoch": ["Multiline", ["val/accuracy$"]],
    },
}
# Settings in the HParams table, besides all of the optimizer's and the scheduler's.
HPARAMS = (
    "model.weights",
    "model.head",
    "data.source",
    "protocol",
    "epochs",
    "batch_size",
    "grad_clip.value",
    "grad_clip.norm",
    "seed",
)


class TensorBoardTracker:
    """Writer of a run's event file.

    Every run has the same tags, so that TensorBoard overlays them: `train/cost` per iteration;
    `val/cost`, `val/accuracy` and `train/learning_rate` per epoch; once, at the end,
    `val/best_accuracy`, `test/cost`, `test/accuracy`, `test/precision_recall` and `test/mistakes`.
    Use as a context manager.

    Args:
        directory: The run directory. The event file of an earlier process is deleted, so a resumed
            run must add its earlier steps and epochs again.
        hyperparameters: As `hyperparameters` returns them.
    """

    def __init__(self, directory: Path, hyperparameters: dict[str, bool | float | str]) -> None:
        self._directory = directory
        for earlier in directory.glob(EVENT_FILES):
            earlier.unlink()
        self._writer = SummaryWriter(str(directory))
        self._epoch = 0
        self._best_accuracy = 0.0
        self._writer.add_custom_scalars(LAYOUT)
        # Not SummaryWriter.add_hparams, which creates a second run and fixes the columns for all
        # runs; without fixed columns TensorBoard collects those of every run. The empty trial_id
        # stands for the run's own name.
        self._add_summary(summary_v2.hparams_pb(hyperparameters, trial_id=""))
        self._writer.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._writer.close()
        for file in self._directory.glob(EVENT_FILES):
            sync(file)  # before the record says that the run is finished

    def add_step(self, iteration: int, cost: float) -> None:
        """Add one iteration's training cost."""
        self._writer.add_scalar("train/cost", cost, iteration)

    def add_epoch(
        self, epoch: int, *, val_cost: float, val_accuracy: float, learning_rate: float
    ) -> None:
        """Add one epoch's validation and flush, so that TensorBoard shows it immediately."""
        self._epoch = epoch
        self._best_accuracy = max(self._best_accuracy, val_accuracy)
        self._add_scalar("val/cost", val_cost)
        self._add_scalar("val/accuracy", val_accuracy)
        self._add_scalar("train/learning_rate", learning_rate)
        self._writer.flush()

    def add_test(self, test: Evaluation, labels: Tensor) -> None:
        """Add the best checkpoint's test evaluation; cat is the positive class of the PR curve."""
        self._add_scalar("test/cost", test.cost)
        self._add_scalar("test/accuracy", test.accuracy)
        # A nan means dog, as in the accuracy.
        probabilities = test.logits.sigmoid().nan_to_num(0.0)
        self._writer.add_pr_curve("test/precision_recall", labels, probabilities, self._epoch)

    def add_mistakes(self, mistakes: list[Mistake]) -> None:
        """Add the contact sheet of the mistakes, and a table of their paths."""
        lines = ["| rank | image | class | logit (above 0 means cat) |", "|---|---|---|---|"]
        for mistake in mistakes:
            path = mistake.path.replace("|", "\\|")
            label = class_name(mistake.label)
            lines.append(f"| {mistake.rank} | `{path}` | {label} | {mistake.logit:+.4f} |")
        table = "\n".join(lines) if mistakes else "No mistakes on the test images."
        self._writer.add_text("test/mistakes", table, self._epoch)
        if mistakes:
            sheet = np.asarray(contact_sheet(mistakes, self._directory))
            self._writer.add_image("test/mistakes", sheet, self._epoch, dataformats="HWC")

    def add_end(self, status: Status) -> None:
        """Add the run's status and its best validation accuracy."""
        self._add_scalar("val/best_accuracy", self._best_accuracy)
        status_pb = STATUS_SUCCESS if status == "finished" else STATUS_FAILURE
        end = SessionEndInfo(status=status_pb, end_time_secs=time.time())
        value = Summary.Value(
            tag=metadata.SESSION_END_INFO_TAG,
            metadata=metadata.create_summary_metadata(HParamsPluginData(session_end_info=end)),
            tensor=metadata.NULL_TENSOR,
        )
        self._add_summary(Summary(value=[value]))

    def _add_scalar(self, tag: str, value: float) -> None:
        self._writer.add_scalar(tag, value, self._epoch)

    def _add_summary(self, summary: Summary) -> None:
        self._writer._get_file_writer().add_summary(summary)


def hyperparameters(label: str, config: dict[str, Any]) -> dict[str, bool | float | str]:
    """Return the settings that distinguish runs, by their dotted names; null ones are left out.

    Args:
        label: The run's label.
        config: The run's resolved configuration.
    """
    settings = {name: _hparam(value) for name, value in flat(config) if value is not None}
    scheduler = str(settings.get("scheduler._target_", "none")).rpartition(".")[2]
    own = {
        name: value
        for name, value in settings.items()
        if name.startswith(("optimizer.", "scheduler.")) and not name.endswith("_")
    }
    others = {name: settings[name] for name in HPARAMS if name in settings}
    return {"optimizer": label, **own, "scheduler": scheduler, **others}


def _hparam(value: Any) -> bool | float | str:
    """Return a setting as a type that the HParams table can show."""
    return value if isinstance(value, bool | int | float | str) else ", ".join(map(str, value))
