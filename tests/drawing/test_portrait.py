"""Drawn images are reproducible and varied, and neither colour nor brightness has the label."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from catsdogs.drawing.anatomy import EARS, NOSES
from catsdogs.drawing.species import draw_cat_or_dog
from catsdogs.pretraining.zoo import (
    BIG_MUZZLE,
    CAT_EARS,
    DOG_EARS,
    ZOO_CLASSES,
    ZooLabels,
    draw_creature,
    invent_creature,
)

Rows = NDArray[np.float64]


def cat(index: int, *, seed: int = 0, size: int = 32) -> Image.Image:
    return draw_cat_or_dog(1, index, seed=seed, size=size)


def creature(index: int, *, seed: int = 0, size: int = 32) -> Image.Image:
    return draw_creature(index, seed=seed, size=size)[0]


both = pytest.mark.parametrize("draw", [cat, creature])


@both
def test_the_same_arguments_give_the_same_image_whatever_was_drawn_before(
    draw: Callable[..., Image.Image],
) -> None:
    forwards = [draw(index).tobytes() for index in range(8)]
    backwards = [draw(index).tobytes() for index in reversed(range(8))]
    assert forwards == backwards[::-1]


@both
def test_another_index_or_seed_gives_another_image(draw: Callable[..., Image.Image]) -> None:
    images = {draw(index, seed=seed).tobytes() for index in range(8) for seed in range(4)}
    assert len(images) == 32


def test_a_cat_a_dog_and_a_creature_of_one_index_have_nothing_in_common() -> None:
    dog = draw_cat_or_dog(0, 5, size=32)
    assert len({cat(5).tobytes(), dog.tobytes(), creature(5).tobytes()}) == 3


def test_drawing_neither_uses_nor_advances_the_global_generator() -> None:
    np.random.seed(1)
    first, following = cat(0).tobytes(), np.random.random()
    np.random.seed(1)
    assert np.random.random() == following
    assert cat(0).tobytes() == first


@pytest.mark.parametrize("size", [48, 128, 256])
@both
def test_an_image_is_rgb_and_of_the_size_asked_for(
    draw: Callable[..., Image.Image], size: int
) -> None:
    image = draw(0, size=size)
    assert (image.mode, image.size) == ("RGB", (size, size))


@both
def test_the_composition_is_the_same_at_any_size(draw: Callable[..., Image.Image]) -> None:
    for index in range(12):
        large = _coarse(draw(index, size=256))
        small = _coarse(draw(index, size=128))
        assert _likeness(np.stack([large, small]))[0, 1] > 0.97


def test_images_of_one_label_differ_in_composition() -> None:
    images = np.stack([_coarse(cat(index, size=64)) for index in range(24)])
    between = _likeness(images)[np.triu_indices(24, 1)]
    assert np.median(between) < 0.5


@pytest.mark.slow
def test_colour_and_brightness_do_not_predict_the_label() -> None:
    labels = np.arange(600) % 2
    rows = np.stack([_colour_rows(draw_cat_or_dog(i % 2, i, size=32)) for i in range(600)])
    guess = _linear_guess(rows[:400], labels[:400], rows[400:])
    # The share of heads in 200 coin tosses is within 0.5 +- 0.12 in 999 of 1000 cases.
    assert abs(np.mean(guess == labels[400:]) - 0.5) < 0.12


def test_the_zoo_has_every_value_of_every_attribute() -> None:
    labels = _zoo_labels(400)
    for column, kinds in zip(labels.T, ZOO_CLASSES, strict=True):
        assert set(column) == set(range(kinds))


def test_the_zoo_has_neither_cat_nor_dog() -> None:
    rng = np.random.default_rng(0)
    for _ in range(3000):
        parts, _labels = invent_creature(rng)
        looks_feline = parts.whiskers > 0 or parts.noses == ("triangle",)
        looks_canine = parts.muzzle_length == BIG_MUZZLE[0] or parts.noses == ("button",)
        assert not (parts.ears[0] in CAT_EARS and looks_feline)
        assert not (parts.ears[0] in DOG_EARS and looks_canine)


def test_a_creatures_labels_are_those_of_its_parts() -> None:
    for index in range(50):
        parts, labels = invent_creature(np.random.default_rng(index))
        assert parts.ears == (tuple(EARS)[labels.ears],)
        assert parts.noses == (tuple(NOSES)[labels.nose],)


@pytest.mark.slow
def test_the_zoos_labels_are_independent_of_colour() -> None:
    drawn = [draw_creature(index, size=32) for index in range(450)]
    rows = np.stack([_colour_rows(image) for image, _ in drawn])
    labels = np.array([label for _, label in drawn])
    for column, kinds in zip(labels.T, ZOO_CLASSES, strict=True):
        for kind in range(kinds):
            belongs = column == kind
            gap = np.abs(rows[belongs].mean(0) - rows[~belongs].mean(0)) / rows.std(0)
            # The mean of 75 of 450 varies by 0.12 standard deviations; 0.6 is not chance.
            assert gap.max() < 0.6


def _likeness(images: Rows) -> Rows:
    return np.asarray(np.corrcoef(images))


def _coarse(image: Image.Image) -> Rows:
    return np.asarray(image.convert("L").resize((32, 32), Image.Resampling.BOX), float).ravel()


def _colour_rows(image: Image.Image) -> Rows:
    pixels = np.asarray(image, float).reshape(-1, 3)
    return np.concatenate([pixels.mean(0), pixels.std(0)])


def _linear_guess(rows: Rows, labels: NDArray[np.int64], unseen: Rows) -> NDArray[np.int64]:
    middle = rows.mean(0)
    weights = np.linalg.lstsq(rows - middle, 2.0 * labels - 1, rcond=None)[0]
    return np.asarray((unseen - middle) @ weights > 0, np.int64)


def _zoo_labels(count: int) -> NDArray[np.int64]:
    drawn: list[ZooLabels] = [
        invent_creature(np.random.default_rng(index))[1] for index in range(count)
    ]
    return np.array(drawn)
