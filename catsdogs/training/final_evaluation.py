"""Final evaluation of a run: the best checkpoint's predictions, and its worst mistakes."""

import dataclasses
import errno
import logging
import math
from collections.abc import Iterable, Mapping
from pathlib import Path

from torch import nn

from catsdogs.compute.distributed import ProcessGroup
from catsdogs.data.images import read_image
from catsdogs.data.manifest import Split
from catsdogs.features.feature_store import Features
from catsdogs.io.files import atomic_directory
from catsdogs.io.thumbnails import thumbnail
from catsdogs.runs.mistakes import SIDE, Mistake, thumbnail_file
from catsdogs.runs.schema import THUMBNAILS
from catsdogs.runs.writer import RunRecord
from catsdogs.training.events import Evaluation
from catsdogs.training.loop import evaluate
from catsdogs.training.tensorboard import TensorBoardTracker

log = logging.getLogger(__name__)

EVALUATED: tuple[Split, ...] = ("val", "test")
MOST = 12  # mistakes that a run keeps
# Numbers of the errors of an image that is damaged (it has none), or no longer there.
GONE = {None, errno.ENOENT, errno.ENOTDIR, errno.EISDIR}


def evaluate_best(
    head: nn.Module, splits: Mapping[Split, Features], batch_size: int, process_group: ProcessGroup
) -> dict[Split, Evaluation]:
    """Evaluate the best head on validation and test, in all processes together."""
    return {split: evaluate(head, splits[split], batch_size, process_group) for split in EVALUATED}


def save_predictions(
    evaluations: Mapping[Split, Evaluation],
    splits: Mapping[Split, Features],
    root: Path,
    record: RunRecord,
    tracker: TensorBoardTracker,
) -> None:
    """Write predictions and mistakes to the run directory and to TensorBoard.

    Args:
        evaluations: Evaluations of the best checkpoint.
        splits: The splits that were evaluated.
        root: Folder of the images.
        record: Records of the run.
        tracker: Tracker of the run.
    """
    test = evaluations["test"]
    record.write_predictions(
        (split, path, int(label), logit)
        for split in EVALUATED
        for path, label, logit in zip(
            splits[split].paths,
            splits[split].labels.tolist(),
            evaluations[split].logits.tolist(),
            strict=True,
        )
    )
    record.update(test_cost=test.cost, test_accuracy=test.accuracy)
    tracker.add_test(test, splits["test"].labels)
    labels = [int(label) for label in splits["test"].labels.tolist()]
    rows = zip(splits["test"].paths, labels, test.logits.tolist(), strict=True)
    mistakes = keep_thumbnails(worst_mistakes(rows), root, record.directory)
    record.write_mistakes(
        (mistake.rank, mistake.path, mistake.label, mistake.logit, mistake.file)
        for mistake in mistakes
    )
    tracker.add_mistakes(mistakes)


def worst_mistakes(predictions: Iterable[tuple[str, int, float]]) -> list[Mistake]:
    """Return at most `MOST` wrong predictions, the largest absolute logit first, ties by path.

    Args:
        predictions: Path, label and logit of every image. As in the accuracy, a nan means dog; it
            is the least confident.
    """
    wrong = [each for each in predictions if (each[2] > 0) != (each[1] == 1)]
    wrong.sort(key=lambda each: (0.0 if math.isnan(each[2]) else -abs(each[2]), each[0]))
    return [Mistake(rank, *each) for rank, each in enumerate(wrong[:MOST], start=1)]


def keep_thumbnails(mistakes: list[Mistake], root: Path, directory: Path) -> list[Mistake]:
    """Write the thumbnails into a run directory and return the mistakes with their files.

    An image that is gone or damaged has no thumbnail; a warning names it.

    Args:
        mistakes: Without files.
        root: Folder of the images.
        directory: The run directory.

    Raises:
        OSError: If the disk fails.
    """
    kept = []
    with atomic_directory(directory / THUMBNAILS) as folder:
        for mistake in mistakes:
            file = thumbnail_file(mistake.rank)
            try:
                small = thumbnail(read_image(root / mistake.path), SIDE)
            except OSError as error:
                if error.errno not in GONE:  # the disk fails; a resumed run has it all
                    raise
                log.warning("no thumbnail of %s: %s", mistake.path, error)
                kept.append(mistake)
            else:
                small.save(folder / Path(file).name, quality=85, optimize=True)
                kept.append(dataclasses.replace(mistake, file=file))
    return kept
