"""TensorBoard's view of a run: the same numbers as in the records, under the same few tags."""

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
from catsdogs.runs.mistakes import Mistake, class_name, contact_sheet
from catsdogs.training.events import Evaluation

Status = Literal["finished", "diverged"]
EVENT_FILES = "events.out.tfevents.*"
# TensorBoard's Custom Scalars: a chart shows every run's scalars whose tag matches.
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
# What else of the settings tells two runs apart, besides the optimizer's and the scheduler's own.
COMPARED = (
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
    """Write a run into one event file, from its settings to its mistakes.

    Every run uses the same tags, so runs overlay: `train/cost` per iteration; `val/cost`,
    `val/accuracy` and `train/learning_rate` per epoch; at the end, once, `val/best_accuracy`,
    `test/cost`, `test/accuracy`, `test/precision_recall` and `test/mistakes`. Use as a context
    manager. The event file of an earlier process is replaced: tell the tracker again what it held.
    """

    def __init__(self, directory: Path, hyperparameters: dict[str, bool | float | str]) -> None:
        self._directory = directory
        for earlier in directory.glob(EVENT_FILES):
            earlier.unlink()
        self._writer = SummaryWriter(str(directory))
        self._epoch = 0
        self._best_accuracy = 0.0
        self._writer.add_custom_scalars(LAYOUT)
        # SummaryWriter.add_hparams would open a second run, and its list of columns holds for all
        # runs that TensorBoard shows: without one, TensorBoard collects the columns of all. An
        # empty name of the trial stands for the run's own.
        self._add_summary(summary_v2.hparams_pb(hyperparameters, trial_id=""))
        self._writer.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._writer.close()
        for file in self._directory.glob(EVENT_FILES):
            sync(file)  # the record will say that the run is finished

    def add_step(self, iteration: int, cost: float) -> None:
        """Add one iteration's training cost."""
        self._writer.add_scalar("train/cost", cost, iteration)

    def add_epoch(
        self, epoch: int, *, val_cost: float, val_accuracy: float, learning_rate: float
    ) -> None:
        """Add one epoch's validation and flush, so that a watcher sees it now."""
        self._epoch = epoch
        self._best_accuracy = max(self._best_accuracy, val_accuracy)
        self._add_scalar("val/cost", val_cost)
        self._add_scalar("val/accuracy", val_accuracy)
        self._add_scalar("train/learning_rate", learning_rate)
        self._writer.flush()

    def add_test(self, test: Evaluation, labels: Tensor) -> None:
        """Add what the best checkpoint answers to the test pictures; cat is the class sought."""
        self._add_scalar("test/cost", test.cost)
        self._add_scalar("test/accuracy", test.accuracy)
        # A logit that is no number says dog, as in the accuracy.
        probabilities = test.logits.sigmoid().nan_to_num(0.0)
        self._writer.add_pr_curve("test/precision_recall", labels, probabilities, self._epoch)

    def add_mistakes(self, mistakes: list[Mistake]) -> None:
        """Add one picture of all thumbnails, and the paths of their originals as a table."""
        lines = ["| rank | picture | is a | logit (above 0 says cat) |", "|---|---|---|---|"]
        for mistake in mistakes:
            path = mistake.path.replace("|", "\\|")
            label = class_name(mistake.label)
            lines.append(f"| {mistake.rank} | `{path}` | {label} | {mistake.logit:+.4f} |")
        table = "\n".join(lines) if mistakes else "No test picture was judged wrongly."
        self._writer.add_text("test/mistakes", table, self._epoch)
        if mistakes:
            sheet = np.asarray(contact_sheet(mistakes, self._directory))
            self._writer.add_image("test/mistakes", sheet, self._epoch, dataformats="HWC")

    def add_end(self, status: Status) -> None:
        """Add how the run ended and its best validation accuracy."""
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
    """Return what tells runs apart, under the names by which it is set; absent if not set.

    Args:
        label: The run's.
        config: Its resolved configuration.
    """
    flat = _flatten(config)
    scheduler = str(flat.get("scheduler._target_", "none")).rpartition(".")[2]
    own = {
        name: value
        for name, value in flat.items()
        if name.startswith(("optimizer.", "scheduler.")) and not name.endswith("_")
    }
    compared = {name: flat[name] for name in COMPARED if name in flat}
    return {"optimizer": label, **own, "scheduler": scheduler, **compared}


def _flatten(section: dict[str, Any], prefix: str = "") -> dict[str, bool | float | str]:
    flat: dict[str, bool | float | str] = {}
    for key, value in section.items():
        if isinstance(value, dict):
            flat |= _flatten(value, f"{prefix}{key}.")
        elif isinstance(value, bool | int | float | str):
            flat[prefix + key] = value
        elif value is not None:
            flat[prefix + key] = ", ".join(map(str, value))
    return flat
