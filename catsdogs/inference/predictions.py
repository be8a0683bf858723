"""Predictions, one for each image, with their ranking, summary and CSV table."""

import csv
import dataclasses
import io
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

from catsdogs.data.manifest import OK
from catsdogs.io.formatting import count, percent
from catsdogs.io.text import csv_path, csv_text
from catsdogs.runs.schema import class_name

COLUMNS = ("path", "label", "probability", "logit", "status")


@dataclasses.dataclass(frozen=True)
class Prediction:
    """The prediction for one image, or the reason for its absence.

    Attributes:
        path: The file, as it was named or found.
        logit: Above 0 for a cat; None without a prediction.
        status: `ok`, or the reason in one line.
    """

    path: Path
    logit: float | None
    status: str = OK

    @property
    def label(self) -> Literal["cat", "dog", ""]:
        """The predicted class; empty without a prediction."""
        if self.logit is None:
            return ""
        return class_name(self.logit > 0)

    @property
    def probability(self) -> float | None:
        """The probability of a cat, 0 to 1; None without a prediction."""
        if self.logit is None:
            return None
        # Of the two equal formulas, the one that cannot overflow.
        odds = math.exp(-abs(self.logit))
        return 1 / (1 + odds) if self.logit > 0 else odds / (1 + odds)

    @property
    def confidence(self) -> float:
        """The probability of the label, 0.5 to 1; 0 without a prediction."""
        if self.probability is None:
            return 0.0
        return max(self.probability, 1 - self.probability)

    @property
    def words(self) -> str:
        """Label and confidence as text, such as "cat 97.5 %"; 100 % is never shown."""
        if self.confidence >= 0.9995:
            return f"{self.label} over 99.9 %"
        return f"{self.label} {percent(self.confidence)}".strip()


def ranked(predictions: Sequence[Prediction]) -> list[Prediction]:
    """Return the predictions that have a logit, the most confident first; the sort is stable."""
    present = (one for one in predictions if one.logit is not None)
    # By the logit: probabilities near 1 are equal long before logits are.
    return sorted(present, key=lambda one: -abs(one.logit or 0.0))


def evenly_spaced(predictions: Sequence[Prediction], most: int) -> list[Prediction]:
    """Return all predictions, or `most` of them, evenly spaced, with the first and the last."""
    number = min(most, len(predictions))
    return [
        predictions[index * (len(predictions) - 1) // max(1, number - 1)] for index in range(number)
    ]


def summary(predictions: Sequence[Prediction]) -> str:
    """Return one line with the number of images and of each label."""
    labels = Counter(one.label for one in predictions)
    line = f"{count(len(predictions), 'image')}: {count(labels['cat'], 'cat')}, "
    line += count(labels["dog"], "dog")
    return line + (f", {labels['']} without a prediction" if labels[""] else "")


def to_csv(predictions: Iterable[Prediction]) -> str:
    """Return a CSV table with a row for each image; numbers read back to the same bits."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for one in predictions:
        writer.writerow(
            (csv_path(one.path), one.label, one.probability, one.logit, csv_text(one.status))
        )
    return text.getvalue()
