"""Predictions: no number overflows, no file name breaks the table, both ends are shown."""

import csv
import io
import itertools
import math
import os
from pathlib import Path

import pytest

from catsdogs.inference.predictions import (
    Prediction,
    evenly_spaced,
    ranked,
    summary,
    to_csv,
)


def test_label_probability_and_confidence_follow_the_sign_of_the_logit() -> None:
    cat, dog, zero = (Prediction(Path("x"), logit) for logit in (2.0, -2.0, 0.0))
    assert (cat.label, dog.label, zero.label) == ("cat", "dog", "dog")
    assert cat.probability == pytest.approx(1 / (1 + math.exp(-2)))
    assert dog.probability == pytest.approx(1 - 1 / (1 + math.exp(-2)))
    assert cat.confidence == pytest.approx(dog.confidence)
    assert cat.words == "cat 88.1 %"


@pytest.mark.parametrize("logit", [1e4, -1e4, 710.0, -745.2])
def test_no_logit_overflows_and_no_prediction_is_called_certain(logit: float) -> None:
    one = Prediction(Path("x"), logit)
    assert one.probability == (1.0 if logit > 0 else pytest.approx(0.0, abs=1e-300))
    assert one.words.endswith("over 99.9 %")


def test_the_table_has_one_line_per_file_whatever_its_name_and_reads_back_to_the_same_bits() -> (
    None
):
    names = ["a,b.jpg", 'c"d.jpg', "new\nline\r.jpg", os.fsdecode(b"caf\xe9.jpg")]
    rows = [Prediction(Path(name), 0.1 + 0.2) for name in names]
    rows.append(Prediction(Path("e.jpg"), None, "OSError: broken"))
    text = to_csv(rows)
    text.encode("utf-8")
    assert len(text.splitlines()) == 6
    read = list(csv.DictReader(io.StringIO(text)))
    assert [row["path"] for row in read] == [
        "a,b.jpg",
        'c"d.jpg',
        r"new\nline\r.jpg",
        r"caf\xe9.jpg",
        "e.jpg",
    ]
    assert float(read[0]["logit"]) == 0.1 + 0.2
    assert float(read[0]["probability"]) == rows[0].probability
    assert list(read[4].values()) == ["e.jpg", "", "", "", "OSError: broken"]


def test_the_ranking_is_by_confidence_even_where_all_probabilities_are_one() -> None:
    logits = [0.5, -50.0, 60.0, None, 70.0, -0.1]
    found = ranked([Prediction(Path("x"), logit) for logit in logits])
    assert [one.logit for one in found] == [70.0, 60.0, -50.0, 0.5, -0.1]


@pytest.mark.parametrize(("count", "most"), [(0, 5), (1, 5), (5, 5), (6, 5), (1000, 7), (9, 1)])
def test_evenly_spaced_predictions_include_both_ends(count: int, most: int) -> None:
    every = [Prediction(Path(str(n)), 1.0) for n in range(count)]
    found = [int(str(one.path)) for one in evenly_spaced(every, most)]
    assert len(found) == min(count, most)
    if len(found) > 1:
        assert (found[0], found[-1]) == (0, count - 1)
        steps = {b - a for a, b in itertools.pairwise(found)}
        assert max(steps) - min(steps) <= 1


def test_the_summary_counts_files_without_a_prediction_too() -> None:
    predictions = [Prediction(Path("x"), logit) for logit in (1.0, -1.0, -2.0, None)]
    assert summary(predictions) == "4 images: 1 cat, 2 dogs, 1 without a prediction"
    assert summary(predictions[:1]) == "1 image: 1 cat, 0 dogs"
