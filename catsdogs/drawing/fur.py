"""Colours and markings of the fur: one palette for all animals, so that colour has no label."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from catsdogs.drawing.canvas import (
    DUSK,
    PAPER,
    Colour,
    Points,
    brightness,
    capsule,
    ellipse,
    jitter,
    mix,
    pick,
)

FURS: tuple[Colour, ...] = (
    (246, 243, 238), (244, 226, 196), (226, 146, 78), (238, 184, 128), (212, 178, 134),
    (146, 98, 68), (102, 70, 54), (152, 152, 160), (116, 128, 146), (200, 200, 206),
    (74, 70, 78), (54, 50, 58), (180, 96, 60),
)  # fmt: skip
IRISES: tuple[Colour, ...] = (
    (232, 178, 60), (198, 196, 74), (122, 178, 96), (96, 164, 172), (110, 160, 214),
    (176, 112, 56), (134, 86, 54),
)  # fmt: skip
SKINS: tuple[Colour, ...] = ((236, 164, 158), (214, 132, 132), (160, 104, 98), (120, 88, 92))
NOSE_SKINS: tuple[Colour, ...] = ((224, 130, 134), (150, 92, 84), (84, 62, 66), (50, 42, 48))
COLLARS: tuple[Colour, ...] = (
    (204, 70, 70), (60, 120, 170), (236, 186, 70), (80, 150, 110), (150, 90, 160),
)  # fmt: skip
COLLAR_CHANCE = 0.3
LEAST_CONTRAST = 0.16  # between fur and markings, in brightness


@dataclass(frozen=True, slots=True)
class Coat:
    """The colours of one animal."""

    fur: Colour
    mark: Colour
    pale: Colour
    ears: Colour
    skin: Colour
    nose: Colour
    iris: Colour
    collar: Colour | None


def sample_coat(rng: np.random.Generator) -> Coat:
    """Sample the colours of one animal, independently of its kind."""
    fur = jitter(rng, pick(rng, FURS))
    mark = jitter(rng, pick(rng, FURS))
    if abs(brightness(mark) - brightness(fur)) < LEAST_CONTRAST:
        mark = mix(fur, DUSK if brightness(fur) > 0.5 else PAPER, 0.42)
    tone, most = (PAPER, 0.8) if rng.random() < 0.6 else (DUSK, 0.25)
    return Coat(
        fur=fur,
        mark=mark,
        pale=mix(fur, tone, rng.uniform(0, most)),
        ears=mark if rng.random() < 0.3 else fur,
        skin=pick(rng, SKINS),
        nose=jitter(rng, pick(rng, NOSE_SKINS)),
        iris=jitter(rng, pick(rng, IRISES)),
        collar=jitter(rng, pick(rng, COLLARS)) if rng.random() < COLLAR_CHANCE else None,
    )


def _plain(rng: np.random.Generator) -> list[Points]:
    return []


def _stripes(rng: np.random.Generator) -> list[Points]:
    forehead = [
        capsule((x, -1.0), (x * 0.5, depth), 0.10, 0.02)
        for x, depth in ((-0.36, -0.38), (0.0, -0.5), (0.36, -0.38))
    ]
    heights = np.linspace(-0.25, 0.6, 4) + rng.uniform(-0.06, 0.06)
    cheeks = [
        capsule((side, height), (side * 0.6, height * 0.8), 0.09, 0.02)
        for side in (-1, 1)
        for height in heights
    ]
    return forehead + cheeks


def _spots(rng: np.random.Generator) -> list[Points]:
    places, radii = rng.uniform(-0.9, 0.9, (18, 2)), rng.uniform(0.06, 0.15, 18)
    return [ellipse(x, y, r, r * 0.9) for (x, y), r in zip(places, radii, strict=True)]


def _patches(rng: np.random.Generator) -> list[Points]:
    side = pick(rng, (-1, 1))
    eye = ellipse(0.45 * side, -0.1, 0.38, 0.46, 0.3 * side)
    crown = ellipse(-0.5 * side, -0.75, 0.5, 0.42)
    cheek = ellipse(-0.7 * side, 0.5, *rng.uniform(0.2, 0.4, 2))
    return [eye, crown, cheek]


# Each returns the outlines of a pattern on a sphere of radius 1.
MARKINGS: dict[str, Callable[[np.random.Generator], list[Points]]] = {
    "plain": _plain,
    "striped": _stripes,
    "spotted": _spots,
    "patched": _patches,
}
