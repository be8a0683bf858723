"""What a classifier says of one picture, and the table of all it said."""

import csv
import dataclasses
import io
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from catsdogs.data.manifest import OK
from catsdogs.io.formatting import percent
from catsdogs.io.text import printable
from catsdogs.runs.schema import class_name

COLUMNS = ("path", "label", "probability", "logit", "status")


@dataclasses.dataclass(frozen=True)
class Prediction:
    """The answer to one picture, or why there is none.

    Attributes:
        path: Of the file, as it was named or found.
        logit: Above 0 says cat; None if there is no answer.
        status: `ok`, or the reason in one line.
    """

    path: Path
    logit: float | None
    status: str = OK

    @property
    def label(self) -> Literal["cat", "dog", ""]:
        """The word for the answer; empty if there is none."""
        if self.logit is None:
            return ""
        return class_name(self.logit > 0)

    @property
    def probability(self) -> float | None:
        """That it is a cat, 0 to 1; None if there is no answer."""
        if self.logit is None:
            return None
        # Of the two equal forms the one that cannot overflow.
        odds = math.exp(-abs(self.logit))
        return 1 / (1 + odds) if self.logit > 0 else odds / (1 + odds)

    @property
    def confidence(self) -> float:
        """The probability of the label, 0.5 to 1; 0 if there is no answer."""
        if self.probability is None:
            return 0.0
        return max(self.probability, 1 - self.probability)

    @property
    def words(self) -> str:
        """The answer as a page says it, such as "cat 97.5 %"; no answer is certain."""
        if self.confidence >= 0.9995:
            return f"{self.label} over 99.9 %"
        return f"{self.label} {percent(self.confidence)}".strip()


def to_csv(predictions: Iterable[Prediction]) -> str:
    """Return one line per picture under a header line; numbers read back to the same bits."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for one in predictions:
        writer.writerow((printable(one.path), one.label, one.probability, one.logit, one.status))
    return text.getvalue()
