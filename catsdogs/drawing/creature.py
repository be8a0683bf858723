"""Creatures as data: the range of one kind of animal, and one animal sampled from it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from catsdogs.drawing.anatomy import Gaze
from catsdogs.drawing.canvas import pick
from catsdogs.drawing.fur import MARKINGS, Coat, sample_coat

Range = tuple[float, float]

FRONTAL, THREE_QUARTER, PROFILE = (0.0, 0.25), (0.3, 0.75), (0.9, 1.15)
VIEWS = (FRONTAL, FRONTAL, FRONTAL, FRONTAL, THREE_QUARTER, THREE_QUARTER, PROFILE)


@dataclass(frozen=True, slots=True)
class Creature:
    """A kind of animal: variants of its parts, ranges of sizes, probabilities of extras."""

    ears: tuple[str, ...]
    ear_size: Range
    heads: tuple[str, ...]
    eyes: tuple[str, ...]
    eye_size: Range
    noses: tuple[str, ...]
    nose_size: Range
    muzzle_length: Range
    muzzle_width: Range
    whiskers: float = 0.0
    tongue: float = 0.0
    shaggy: Range = (0.0, 0.0)
    ear_width: Range = (0.9, 1.1)
    markings: tuple[str, ...] = tuple(MARKINGS)


@dataclass(frozen=True, slots=True)
class Animal:
    """One animal, sampled from a kind."""

    ears: str
    ear_size: float
    ear_width: float
    ear_lean: float
    head: str
    eyes: str
    eye_size: float
    eye_gap: float
    nose: str
    nose_size: float
    muzzle_length: float
    muzzle_width: float
    whiskers: float
    tongue: float
    open_wide: float
    shaggy: float
    markings: str
    blaze: bool
    coat: Coat
    gaze: Gaze
    look: tuple[float, float]


def sample_gaze(rng: np.random.Generator) -> Gaze:
    """Sample the direction of a head: frontal, three-quarter or profile, to either side."""
    yaw = rng.uniform(*pick(rng, VIEWS)) * pick(rng, (-1, 1))
    return Gaze(yaw, rng.uniform(-0.22, 0.28))


def sample_animal(kind: Creature, rng: np.random.Generator) -> Animal:
    """Sample an animal from a kind."""
    tongue = rng.uniform(0.25, 0.75) if rng.random() < kind.tongue else 0.0
    return Animal(
        ears=pick(rng, kind.ears),
        ear_size=rng.uniform(*kind.ear_size),
        ear_width=rng.uniform(*kind.ear_width),
        ear_lean=rng.uniform(-0.18, 0.22),
        head=pick(rng, kind.heads),
        eyes=pick(rng, kind.eyes),
        eye_size=rng.uniform(*kind.eye_size),
        eye_gap=rng.uniform(0.36, 0.46),
        nose=pick(rng, kind.noses),
        nose_size=rng.uniform(*kind.nose_size),
        muzzle_length=rng.uniform(*kind.muzzle_length),
        muzzle_width=rng.uniform(*kind.muzzle_width),
        whiskers=rng.uniform(0.5, 1.1) if rng.random() < kind.whiskers else 0.0,
        tongue=tongue,
        open_wide=rng.uniform(0.05, 0.3) if tongue else 0.0,
        shaggy=rng.uniform(*kind.shaggy),
        markings=pick(rng, kind.markings),
        blaze=rng.random() < 0.25,
        coat=sample_coat(rng),
        gaze=sample_gaze(rng),
        look=(rng.uniform(-0.2, 0.2), rng.uniform(-0.1, 0.15)),
    )
