"""What the best checkpoint answers to pictures that chose nothing: the run's result."""

from collections.abc import Mapping
from pathlib import Path

from torch import nn

from catsdogs.compute.distributed import Ranks
from catsdogs.data.manifest import Split
from catsdogs.features.feature_store import Features
from catsdogs.runs.writer import RunRecord
from catsdogs.training.events import Evaluation
from catsdogs.training.loop import evaluate
from catsdogs.training.mistakes import keep_thumbnails, worst_mistakes
from catsdogs.training.tensorboard import TensorBoardTracker

JUDGED: tuple[Split, ...] = ("val", "test")
Answers = Mapping[Split, Evaluation]


def judge(
    head: nn.Module, splits: Mapping[Split, Features], batch_size: int, ranks: Ranks
) -> Answers:
    """Answer validation and test, each process its own pictures; all get all answers."""
    return {split: evaluate(head, splits[split], batch_size, ranks) for split in JUDGED}


def keep_answers(
    answers: Answers,
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
