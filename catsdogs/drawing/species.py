"""Drawn cats and dogs: the only module that relates parts to labels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from PIL import Image

from catsdogs.drawing.canvas import pick
from catsdogs.drawing.creature import Creature, sample_animal
from catsdogs.drawing.portrait import draw_portrait

_SHORTHAIR = Creature(
    ears=("pointed",),
    ear_size=(0.75, 1.0),
    heads=("round", "broad"),
    eyes=("slit", "almond"),
    eye_size=(0.20, 0.26),
    noses=("triangle",),
    nose_size=(0.20, 0.28),
    muzzle_length=(0.0, 0.12),
    muzzle_width=(0.28, 0.37),
    whiskers=0.88,
    tongue=0.03,
)
# The breeds overlap on purpose: some dogs have pointed ears, some cats have folded ears or no
# whiskers, so that no single part separates cats from dogs.
CAT: tuple[Creature, ...] = (
    _SHORTHAIR,
    replace(_SHORTHAIR, heads=("broad",), shaggy=(0.06, 0.16), whiskers=0.75),
    replace(_SHORTHAIR, ear_size=(0.95, 1.2), heads=("round",), eyes=("slit", "ringed")),
    replace(_SHORTHAIR, ears=("folded",), ear_size=(0.55, 0.7), eyes=("slit", "ringed")),
)

_HOUND = Creature(
    ears=("drooping",),
    ear_size=(0.75, 1.15),
    heads=("round", "long"),
    eyes=("almond", "bead"),
    eye_size=(0.16, 0.22),
    noses=("button",),
    nose_size=(0.36, 0.48),
    muzzle_length=(0.4, 0.8),
    muzzle_width=(0.44, 0.58),
    tongue=0.4,
)
DOG: tuple[Creature, ...] = (
    _HOUND,
    replace(_HOUND, heads=("broad",), shaggy=(0.06, 0.16), eyes=("bead", "ringed")),
    replace(
        _HOUND, ears=("pointed",), ear_width=(0.7, 0.95), heads=("long",), muzzle_length=(0.6, 0.85)
    ),
    replace(_HOUND, ears=("folded",), ear_size=(0.6, 0.85), shaggy=(0.0, 0.12)),
)

BREEDS = {0: DOG, 1: CAT}


def draw_cat_or_dog(label: int, index: int, *, seed: int = 0, size: int = 256) -> Image.Image:
    """Draw the cat (label 1) or dog (label 0) number `index` of a seed, `size` pixels square."""
    rng = np.random.default_rng([seed, label, index])
    return draw_portrait(sample_animal(pick(rng, BREEDS[label]), rng), rng, size)
