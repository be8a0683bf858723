"""Thumbnails and the contact sheet: upright, in place, and there for every kind of file."""

import itertools
import random
from pathlib import Path

import pytest
from PIL import Image
from PIL.Image import Exif

from catsdogs.inference.gallery import summary, write_results
from catsdogs.inference.predictions import Prediction
from catsdogs.inference.thumbnails import (
    CAPTION,
    GAP,
    HEADING,
    MOST_ON_SHEET,
    SIDE,
    contact_sheet,
    ranked,
    spread,
    thumbnails,
)
from tests.support.images import write_image

ORIENTATION = 0x0112


def test_the_ranking_is_by_confidence_where_probabilities_are_all_one_too() -> None:
    logits = [0.5, -50.0, 60.0, None, 70.0, -0.1]
    found = ranked([Prediction(Path("x"), logit) for logit in logits])
    assert [one.logit for one in found] == [70.0, 60.0, -50.0, 0.5, -0.1]


@pytest.mark.parametrize(("count", "most"), [(0, 5), (1, 5), (5, 5), (6, 5), (1000, 7), (9, 1)])
def test_a_spread_has_both_ends_and_even_steps(count: int, most: int) -> None:
    every = [Prediction(Path(str(n)), 1.0) for n in range(count)]
    found = [int(str(one.path)) for one in spread(every, most)]
    assert len(found) == min(count, most)
    if len(found) > 1:
        assert (found[0], found[-1]) == (0, count - 1)
        steps = {b - a for a, b in itertools.pairwise(found)}
        assert max(steps) - min(steps) <= 1


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_a_thumbnail_is_upright_and_keeps_the_aspect_ratio(
    tmp_path: Path, orientation: int
) -> None:
    upright = Image.new("RGB", (400, 200), "blue")
    upright.paste("red", (0, 0, 200, 200))  # the left half
    stored = {1: 0, 3: 180, 6: 90, 8: 270}[orientation]
    exif = Exif()
    exif[ORIENTATION] = orientation
    upright.rotate(stored, expand=True).save(tmp_path / "a.jpg", exif=exif, quality=95)
    (small,) = thumbnails([tmp_path / "a.jpg"])
    assert small is not None
    assert small.size == (SIDE, SIDE // 2)
    assert small.getpixel((10, 48)) == pytest.approx((254, 0, 0), abs=3)
    assert small.getpixel((SIDE - 10, 48)) == pytest.approx((0, 0, 254), abs=3)


def test_an_image_of_one_pixel_in_height_and_one_that_is_gone_do_no_harm(tmp_path: Path) -> None:
    Image.new("RGB", (3000, 1)).save(tmp_path / "line.png")
    line, gone = thumbnails([tmp_path / "line.png", tmp_path / "gone.png"])
    assert line is not None
    assert line.size == (SIDE, 1)
    assert gone is None


def test_the_sheet_shows_each_image_in_its_place() -> None:
    colours = [(200, 0, 0), None, (0, 0, 200)]
    shown = [
        (Prediction(Path("x" * 99), 1.0), colour and Image.new("RGB", (SIDE, SIDE), colour))
        for colour in colours
    ]
    sheet = contact_sheet(shown, "three pictures " * 40)
    assert sheet.size == (4 * (SIDE + GAP) + GAP, HEADING + SIDE + CAPTION + GAP)
    places = [(GAP + n * (SIDE + GAP) + 9, HEADING + 9) for n in range(4)]
    assert [sheet.getpixel(place) for place in places] == [
        (200, 0, 0),
        (236, 238, 241),
        (0, 0, 200),
        (255, 255, 255),
    ]
    margins = [sheet.getpixel((x, HEADING + SIDE + 36)) for x in range(GAP + SIDE, 2 * GAP + SIDE)]
    assert set(margins) == {(255, 255, 255)}  # a long name ends under its picture


def test_many_images_are_shown_from_the_surest_cat_to_the_surest_dog(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_image(tmp_path / "a.png")
    logits = [float(n) for n in range(-70, 80)]
    random.Random(0).shuffle(logits)
    told: dict[str, object] = {}

    def record(shown: list[tuple[Prediction, Image.Image]], heading: str) -> Image.Image:
        told.update(logits=[one.logit for one, _ in shown], heading=heading)
        return Image.new("RGB", (1, 1))

    monkeypatch.setattr("catsdogs.inference.gallery.contact_sheet", record)
    answers = [Prediction(tmp_path / "a.png", logit) for logit in logits]
    write_results(answers, "x", tmp_path / "out")
    found = told["logits"]
    assert isinstance(found, list)
    assert (len(found), found[0], found[-1]) == (MOST_ON_SHEET, 79.0, -70.0)
    assert found == sorted(found, reverse=True)
    assert told["heading"] == (
        "150 pictures: 79 cats, 71 dogs; here 60, at even steps from the surest cat to the "
        "surest dog"
    )


def test_the_summary_counts_what_has_no_answer_too() -> None:
    answers = [Prediction(Path("x"), logit) for logit in (1.0, -1.0, -2.0, None)]
    assert summary(answers) == "4 pictures: 1 cat, 2 dogs, 1 without an answer"
    assert summary(answers[:1]) == "1 picture: 1 cat, 0 dogs"
