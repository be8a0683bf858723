"""What the answers are like: which of the two species is mistaken, and is the confidence earned."""

from dataclasses import dataclass

from catsdogs.reporting.document import Table
from catsdogs.reporting.runs import Floats, Predictions, Run, Runs

BINS = 10


@dataclass(frozen=True)
class Confusion:
    """Answers to the test pictures, summed over the seeds that finished.

    Attributes:
        label: The contender.
        seeds: How many runs; each answered the same pictures.
        cat_cat: Cats called cats.
        cat_dog: Cats called dogs.
        dog_cat: Dogs called cats.
        dog_dog: Dogs called dogs.
    """

    label: str
    seeds: int
    cat_cat: int
    cat_dog: int
    dog_cat: int
    dog_dog: int


@dataclass(frozen=True)
class Calibration:
    """Whether answers given with 80 % confidence are right in 80 % of cases.

    Confidence is the probability of the answer given, 0.5 to 1, in ten bins of equal width.

    Attributes:
        edges: (bins + 1,), of confidence; a bin includes its upper edge.
        counts: (bins,), answers in each.
        confidence: (bins,), mean in each; nan in an empty one.
        accuracy: (bins,), share of right answers in each; nan in an empty one.
        expected_error: Expected calibration error: mean over answers of the gap between the two.
        brier: Mean squared difference of the probability of a cat and 1 for a cat, 0 for a dog.
        mean_confidence: Over all answers.
        mean_accuracy: Over all answers.
        base_rate: The share of cats.
    """

    edges: Floats
    counts: Floats
    confidence: Floats
    accuracy: Floats
    expected_error: float
    brier: float
    mean_confidence: float
    mean_accuracy: float
    base_rate: float


def confusion(label: str, runs: tuple[Run, ...]) -> Confusion:
    """Sum the test answers of a contender's runs that finished."""
    raise NotImplementedError


def confusion_table(runs: Runs) -> Table:
    """Return a row for each contender.

    Args:
        runs: One for each contender and seed, as `chosen_runs` returns them.
    """
    raise NotImplementedError


def calibration(answers: Predictions) -> Calibration:
    """Judge the confidence of one run's answers, or of several runs' put together."""
    raise NotImplementedError


def pooled(runs: tuple[Run, ...]) -> Predictions | None:
    """Put the test answers of the runs that finished one after another; None without any."""
    raise NotImplementedError


def calibration_table(runs: Runs) -> Table:
    """Return a row for each contender: mean and standard deviation over seeds.

    Args:
        runs: One for each contender and seed, as `chosen_runs` returns them.
    """
    raise NotImplementedError
