"""What the best checkpoint answers to pictures that chose nothing: the run's result."""

import dataclasses
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
from catsdogs.runs.mistakes import FOLDER, SIDE, Mistake
from catsdogs.runs.writer import RunRecord
from catsdogs.training.events import Evaluation
from catsdogs.training.loop import evaluate
from catsdogs.training.tensorboard import TensorBoardTracker

JUDGED: tuple[Split, ...] = ("val", "test")
Predictions = Mapping[Split, Evaluation]


log = logging.getLogger(__name__)
MOST = 12


def evaluate_best(
    head: nn.Module, splits: Mapping[Split, Features], batch_size: int, process_group: ProcessGroup
) -> Predictions:
    """Answer validation and test, each process its own pictures; all get all answers."""
    return {split: evaluate(head, splits[split], batch_size, process_group) for split in JUDGED}


def save_predictions(
    answers: Predictions,
    splits: Mapping[Split, Features],
    root: Path,
    record: RunRecord,
    tracker: TensorBoardTracker,
) -> None:
    """Write predictions and mistakes into the run directory and to TensorBoard.

    Args:
        answers: Of the best checkpoint.
        splits: What was answered.
        root: Where the pictures are.
        record: Of the run.
        tracker: Of the run.
    """
    test = answers["test"]
    record.write_predictions(
        (split, path, int(label), logit)
        for split in JUDGED
        for path, label, logit in zip(
            splits[split].paths,
            splits[split].labels.tolist(),
            answers[split].logits.tolist(),
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


def worst_mistakes(answers: Iterable[tuple[str, int, float]]) -> list[Mistake]:
    """Return at most `MOST` wrong answers, the largest logit first, equal ones by path.

    Args:
        answers: Path, label and logit of every picture. A logit that is no number says dog, as in
            the accuracy, and says it with no confidence.
    """
    wrong = [answer for answer in answers if (answer[2] > 0) != (answer[1] == 1)]
    wrong.sort(key=lambda answer: (0.0 if math.isnan(answer[2]) else -abs(answer[2]), answer[0]))
    return [Mistake(rank, *answer) for rank, answer in enumerate(wrong[:MOST], start=1)]


def keep_thumbnails(mistakes: list[Mistake], root: Path, directory: Path) -> list[Mistake]:
    """Write `mistakes/RANK.jpg` into a run directory and return the mistakes with their files.

    A picture that can no longer be read costs its thumbnail and a warning, not the run.
    """
    kept = []
    with atomic_directory(directory / FOLDER) as folder:
        for mistake in mistakes:
            name = f"{mistake.rank}.jpg"
            try:
                small = thumbnail(read_image(root / mistake.path), SIDE)
            except OSError as error:
                log.warning("no thumbnail of %s: %s", mistake.path, error)
                kept.append(mistake)
            else:
                small.save(folder / name, quality=85, optimize=True)
                kept.append(dataclasses.replace(mistake, file=f"{FOLDER}/{name}"))
    return kept
