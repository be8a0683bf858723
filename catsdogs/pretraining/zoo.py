"""Zoo of drawn creatures that are neither cats nor dogs, for pretraining.

All parts and colours are sampled independently; only combinations that would make a cat or a dog
are rejected.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from PIL import Image

from catsdogs.drawing.anatomy import EARS, EYES, HEADS, NOSES
from catsdogs.drawing.canvas import pick
from catsdogs.drawing.creature import Creature, Range, sample_animal
from catsdogs.drawing.fur import MARKINGS
from catsdogs.drawing.portrait import draw_portrait

ZOO_STREAM = 2  # of a seed; cats and dogs use streams 1 and 0


class ZooLabels(NamedTuple):
    """Labels of a creature, each the index of a variant of a part."""

    ears: int
    nose: int
    eyes: int
    markings: int
    head: int


ZOO_CLASSES = ZooLabels(len(EARS), len(NOSES), len(EYES), len(MARKINGS), len(HEADS))

SMALL_MUZZLE: tuple[Range, Range] = ((0.0, 0.2), (0.28, 0.38))
BIG_MUZZLE: tuple[Range, Range] = ((0.3, 0.95), (0.38, 0.54))

CAT_EARS = ("pointed", "folded", "leaf")
DOG_EARS = ("drooping", "folded", "pointed")


def draw_creature(index: int, *, seed: int = 0, size: int = 128) -> tuple[Image.Image, ZooLabels]:
    """Draw creature number `index` of a seed's zoo, `size` pixels square; return its labels too."""
    rng = np.random.default_rng([seed, ZOO_STREAM, index])
    creature, labels = invent_creature(rng)
    return draw_portrait(sample_animal(creature, rng), rng, size), labels


def invent_creature(rng: np.random.Generator) -> tuple[Creature, ZooLabels]:
    """Sample parts until they make neither a cat nor a dog."""
    while True:
        creature = _any_creature(rng)
        if not (_like_a_cat(creature) or _like_a_dog(creature)):
            return creature, _labels(creature)


def _any_creature(rng: np.random.Generator) -> Creature:
    length, width = pick(rng, (SMALL_MUZZLE, BIG_MUZZLE))
    return Creature(
        ears=(pick(rng, tuple(EARS)),),
        ear_size=(0.55, 1.1),
        heads=(pick(rng, tuple(HEADS)),),
        eyes=(pick(rng, tuple(EYES)),),
        eye_size=(0.15, 0.27),
        noses=(pick(rng, tuple(NOSES)),),
        nose_size=(0.2, 0.44),
        muzzle_length=length,
        muzzle_width=width,
        whiskers=float(rng.random() < 0.4),
        tongue=0.15,
        shaggy=pick(rng, ((0.0, 0.0), (0.03, 0.16))),
        markings=(pick(rng, tuple(MARKINGS)),),
    )


def _like_a_cat(creature: Creature) -> bool:
    small_nose = creature.noses[0] == "triangle"
    return creature.ears[0] in CAT_EARS and (creature.whiskers > 0 or small_nose)


def _like_a_dog(creature: Creature) -> bool:
    big_nose, big_muzzle = creature.noses[0] == "button", creature.muzzle_length == BIG_MUZZLE[0]
    return creature.ears[0] in DOG_EARS and (big_muzzle or big_nose)


def _labels(creature: Creature) -> ZooLabels:
    return ZooLabels(
        tuple(EARS).index(creature.ears[0]),
        tuple(NOSES).index(creature.noses[0]),
        tuple(EYES).index(creature.eyes[0]),
        tuple(MARKINGS).index(creature.markings[0]),
        tuple(HEADS).index(creature.heads[0]),
    )
