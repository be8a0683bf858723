"""Everything in an image besides the animal: the place, occluding objects, light and grain."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from catsdogs.drawing.canvas import (
    DUSK,
    PAPER,
    SUPERSAMPLING,
    Canvas,
    Colour,
    capsule,
    ellipse,
    jitter,
    mix,
    pick,
    points,
    smooth,
)

BACKDROPS: tuple[Colour, ...] = (
    (126, 184, 178), (164, 204, 178), (150, 190, 222), (182, 168, 212), (236, 166, 142),
    (238, 200, 118), (150, 170, 124), (104, 132, 166), (226, 176, 184), (226, 204, 172),
    (74, 84, 120), (116, 88, 116), (240, 232, 214), (190, 112, 92), (92, 122, 104),
    (204, 214, 220), (150, 120, 96), (58, 60, 74),
)  # fmt: skip

Thing = Callable[[Canvas, Colour], None]

THINGS_LIMIT = 5
HAZE = (0.003, 0.012)
BLUR_CHANCE = 0.35


def _room(
    canvas: Canvas, rng: np.random.Generator, near: Colour, far: Colour, horizon: float
) -> None:
    stripe, lean = rng.uniform(0.03, 0.12), pick(rng, (0.0, 0.0, -0.4, 0.4))
    for x in np.arange(-0.6, 1.6, 2 * stripe):
        canvas.fill(
            points((x, 0), (x + stripe, 0), (x + stripe + lean, 1), (x + lean, 1)),
            mix(far, PAPER, 0.12),
        )
    canvas.fill(points((0, horizon), (1, horizon), (1, 1), (0, 1)), near)
    canvas.fill(
        points((0, horizon), (1, horizon), (1, horizon + 0.025), (0, horizon + 0.025)),
        mix(near, PAPER, 0.4),
    )


def _hills(
    canvas: Canvas, rng: np.random.Generator, near: Colour, far: Colour, horizon: float
) -> None:
    canvas.fill(
        ellipse(rng.uniform(0.1, 0.9), rng.uniform(0.1, 0.3), 0.08, 0.08), mix(far, PAPER, 0.65)
    )
    for share in (0.35, 0.65, 1.0):
        x, top = rng.uniform(-0.2, 1.2), horizon - 0.2 + 0.25 * share
        canvas.fill(ellipse(x, top + 0.52, 0.8, 0.5), mix(far, near, share))
        canvas.fill(
            ellipse(x + (1.1 if x < 0.5 else -1.1), top + 0.56, 0.8, 0.5),
            mix(far, near, share * 0.92),
        )


def _glow(
    canvas: Canvas, rng: np.random.Generator, near: Colour, far: Colour, horizon: float
) -> None:
    x = rng.uniform(0.1, 0.9)
    for share in np.linspace(0, 1, 16):
        canvas.fill(ellipse(x, horizon, 1.1 - share, 1.1 - share), mix(far, near, float(share)))


def _peaks(
    canvas: Canvas, rng: np.random.Generator, near: Colour, far: Colour, horizon: float
) -> None:
    for share in (0.4, 0.7):
        for x in rng.uniform(0, 1, 3):
            width, top = rng.uniform(0.12, 0.4), horizon - rng.uniform(0.1, 0.45) * (1.2 - share)
            canvas.fill(points((x - width, 1), (x, top), (x + width, 1)), mix(far, near, share))
    canvas.fill(points((0, horizon), (1, horizon), (1, 1), (0, 1)), near)


def _tree(canvas: Canvas, tone: Colour) -> None:
    canvas.soft(capsule((0, 0), (0, -1), 0.12, 0.08), mix(tone, DUSK, 0.45))
    for x, y, radius in ((-0.35, -1.1, 0.42), (0.38, -1.15, 0.4), (0, -1.5, 0.5)):
        canvas.soft(ellipse(x, y, radius, radius * 0.9), tone)


def _fir(canvas: Canvas, tone: Colour) -> None:
    for level in (0.0, -0.5, -1.0):
        canvas.soft(
            points((-0.6 - level * 0.2, level), (0, level - 1.0), (0.6 + level * 0.2, level)),
            tone,
            0.8,
        )


def _plant(canvas: Canvas, tone: Colour) -> None:
    for turn in (-0.9, 0.9, -0.45, 0.45, 0.0):
        canvas.within(0, -0.6, 0.55, turn).soft(_LEAF, tone)
    canvas.soft(
        points((-0.38, -0.7), (0.38, -0.7), (0.28, 0), (-0.28, 0)), mix(tone, (206, 120, 84), 0.75)
    )


def _ball(canvas: Canvas, tone: Colour) -> None:
    canvas.soft(ellipse(0, -0.5, 0.5, 0.5), tone)
    canvas.line(ellipse(0, -0.5, 0.2, 0.49, 0.5), mix(tone, PAPER, 0.45), 0.07)


def _crate(canvas: Canvas, tone: Colour) -> None:
    canvas.soft(points((-0.7, -1), (0.7, -1), (0.7, 0), (-0.7, 0)), tone, 0.8)
    for y in (-0.66, -0.33):
        canvas.line(points((-0.7, y), (0.7, y)), mix(tone, DUSK, 0.25), 0.05)


def _mushroom(canvas: Canvas, tone: Colour) -> None:
    canvas.soft(capsule((0, 0), (0, -0.6), 0.18, 0.13), mix(tone, PAPER, 0.6))
    canvas.soft(
        smooth(
            points((-0.65, -0.5), (-0.65, -0.5), (0, -1.1), (0.65, -0.5), (0.65, -0.5), (0, -0.42))
        ),
        tone,
    )


def _cloud(canvas: Canvas, tone: Colour) -> None:
    for x, y, radius in ((-0.5, 0, 0.3), (0.5, 0.02, 0.28), (0, -0.12, 0.45)):
        canvas.fill(ellipse(x, y, radius * 1.2, radius), mix(tone, PAPER, 0.6))


def _lamp(canvas: Canvas, tone: Colour) -> None:
    canvas.line(points((0, -6), (0, -0.4)), mix(tone, DUSK, 0.4), 0.05)
    canvas.soft(
        smooth(points((-0.6, 0.2), (-0.6, 0.2), (-0.3, -0.4), (0.3, -0.4), (0.6, 0.2), (0.6, 0.2))),
        tone,
    )


def _frame(canvas: Canvas, tone: Colour) -> None:
    canvas.soft(points((-0.7, -0.6), (0.7, -0.6), (0.7, 0.6), (-0.7, 0.6)), tone, 0.7)
    canvas.fill(
        points((-0.55, -0.46), (0.55, -0.46), (0.55, 0.46), (-0.55, 0.46)), mix(tone, PAPER, 0.6)
    )
    canvas.fill(points((-0.5, 0.46), (0.05, -0.25), (0.5, 0.46)), mix(tone, PAPER, 0.25))


def _bunting(canvas: Canvas, tone: Colour) -> None:
    for place in range(-3, 4):
        flag = points((place * 0.6 - 0.25, 0), (place * 0.6 + 0.25, 0), (place * 0.6, 0.55))
        canvas.soft(flag + (0, -0.04 * place**2), mix(tone, PAPER, 0.4 * (place % 2)), 0.6)


_LEAF = smooth(points((0, 0), (0, 0), (-0.38, -0.8), (0, -1.6), (0, -1.6), (0.38, -0.8)))


class Place(NamedTuple):
    """A place, and the objects that may stand on its ground or hang above it."""

    paint: Callable[[Canvas, np.random.Generator, Colour, Colour, float], None]
    standing: tuple[Thing, ...]
    hanging: tuple[Thing, ...]


PLACES = (
    Place(_room, (_plant, _ball, _crate), (_lamp, _frame, _bunting)),
    Place(_hills, (_tree, _fir, _mushroom, _ball), (_cloud, _bunting)),
    Place(_peaks, (_tree, _fir, _mushroom, _crate), (_cloud,)),
    Place(_glow, (_plant, _ball, _crate, _mushroom), (_lamp, _bunting)),
)


def draw_place(rng: np.random.Generator, backdrop: Colour, light: float, size: int) -> Image.Image:
    """Draw a random place and the objects in it, supersampled and slightly out of focus."""
    other = jitter(rng, pick(rng, BACKDROPS))
    canvas = Canvas.over(Image.new("RGB", (size, size), backdrop), light)
    horizon, near = rng.uniform(0.5, 0.9), mix(backdrop, other, rng.uniform(0.3, 0.8))
    place = pick(rng, PLACES)
    place.paint(canvas, rng, near, backdrop, horizon)
    for _ in range(int(rng.integers(THINGS_LIMIT))):
        stands = rng.random() < 0.6
        y = rng.uniform(horizon, 1.05) if stands else rng.uniform(0, horizon - 0.2)
        tone = mix(backdrop, jitter(rng, pick(rng, BACKDROPS)), rng.uniform(0.3, 0.9))
        thing = canvas.within(rng.uniform(0, 1), y, rng.uniform(0.08, 0.24), rng.uniform(-0.1, 0.1))
        pick(rng, place.standing if stands else place.hanging)(thing, tone)
    soft = canvas.image.filter(ImageFilter.BoxBlur(rng.uniform(*HAZE) * size))
    # Nearest is exact: reducing the finished image restores these pixels.
    return soft.resize((size * SUPERSAMPLING, size * SUPERSAMPLING), Image.Resampling.NEAREST)


def _fence(canvas: Canvas, rng: np.random.Generator, tone: Colour) -> None:
    pale, gap = rng.uniform(0.015, 0.03), rng.uniform(0.14, 0.26)
    top = rng.uniform(0.45, 0.8)
    for x in np.arange(rng.uniform(-0.1, 0), 1.1, gap):
        canvas.soft(capsule((x, top), (x, 1.1), pale, pale), tone, 0.7)
    canvas.soft(capsule((-0.1, top + 0.1), (1.1, top + 0.1), pale, pale), tone, 0.7)


def _grass(canvas: Canvas, rng: np.random.Generator, tone: Colour) -> None:
    for x, height in zip(rng.uniform(0, 1, 14), rng.uniform(0.08, 0.34, 14), strict=True):
        tip = (x + rng.uniform(-0.12, 0.12), 1 - height)
        canvas.fill(capsule((x, 1.05), tip, 0.022, 0.003), jitter(rng, tone))


def _leaves(canvas: Canvas, rng: np.random.Generator, tone: Colour) -> None:
    corner, lean = rng.uniform(0, 1), rng.uniform(-0.4, 0.4)
    for turn in (-0.7, 0.0, 0.7):
        leaf = canvas.within(corner, 1.0, rng.uniform(0.16, 0.28), turn + lean)
        leaf.soft(_LEAF, jitter(rng, tone))
        leaf.line(points((0, 0), (0, -1.5)), mix(tone, DUSK, 0.3), 0.04)


def _cup(canvas: Canvas, rng: np.random.Generator, tone: Colour) -> None:
    cup = canvas.within(rng.uniform(0.1, 0.9), rng.uniform(0.8, 0.95), rng.uniform(0.1, 0.16))
    cup.line(ellipse(0.95, 0.1, 0.42, 0.4), mix(tone, DUSK, 0.15), 0.16)
    side = points((-0.8, -0.8), (-0.8, -0.8), (0.8, -0.8), (0.8, -0.8), (0.7, 0.9), (-0.7, 0.9))
    cup.soft(smooth(side), tone)
    cup.fill(ellipse(0, -0.8, 0.8, 0.16), mix(tone, DUSK, 0.35))


def _ledge(canvas: Canvas, rng: np.random.Generator, tone: Colour) -> None:
    left, right = rng.uniform(0.7, 0.98, 2)
    canvas.soft(points((-0.1, left), (1.1, right), (1.1, 1.4), (-0.1, 1.4)), tone, 0.8)
    canvas.line(points((-0.1, left), (1.1, right)), mix(tone, PAPER, 0.35), 0.02)


def _branch(canvas: Canvas, rng: np.random.Generator, tone: Colour) -> None:
    side = pick(rng, (-1, 1))
    twig = canvas.within(0.5 - 0.5 * side, rng.uniform(0.1, 0.9), rng.uniform(0.35, 0.6), 0, side)
    slope = rng.uniform(-0.4, 0.4)
    twig.soft(capsule((-0.2, 0), (1, slope), 0.04, 0.012), mix(tone, DUSK, 0.4), 0.8)
    for place in (0.35, 0.6, 0.8, 0.98):
        leaf = twig.within(place, slope * place, rng.uniform(0.13, 0.2), rng.uniform(0.2, 2.4))
        leaf.soft(_LEAF, jitter(rng, tone))


OCCLUDERS = (_fence, _grass, _leaves, _cup, _ledge, _branch)


def draw_occluders(canvas: Canvas, rng: np.random.Generator, chance: float) -> None:
    """Draw random objects in front of the animal, each further one with probability `chance`."""
    while rng.random() < chance:
        pick(rng, OCCLUDERS)(canvas, rng, jitter(rng, pick(rng, BACKDROPS)))


def develop(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Apply the effects of a camera to the finished drawing: blur, uneven light, tint and grain."""
    blur = rng.uniform(0.002, 0.006) if rng.random() < BLUR_CHANCE else 0.0
    slope, base = rng.normal(0, 0.12, 2), rng.normal(0.98, 0.08)
    tint, grain = rng.normal(1.0, 0.035, 3), rng.uniform(0.5, 6)
    if blur:
        image = image.filter(ImageFilter.GaussianBlur(blur * image.width))
    axis = np.linspace(-1, 1, image.width, dtype=np.float32)
    gain = (base + slope[0] * axis + slope[1] * axis[:, None]).astype(np.float32)
    noise = rng.standard_normal(gain.shape, dtype=np.float32) * np.float32(grain)
    film: NDArray[np.float32] = np.asarray(image).astype(np.float32)
    film *= gain[..., None]
    film *= tint.astype(np.float32)
    film += noise[..., None]
    return Image.fromarray(film.clip(0, 255, out=film).astype(np.uint8))
