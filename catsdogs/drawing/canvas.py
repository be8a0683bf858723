"""Colours, outlines and a canvas in unit coordinates.

All lengths are fractions of the frame until the last step to pixels, so an image has the same
composition at any size.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from math import acos, atan2, cos, hypot, pi, sin
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageDraw

Colour = tuple[int, int, int]
Points = NDArray[np.float64]
Pair = tuple[float, float] | Points
T = TypeVar("T")

SUPERSAMPLING = 2
CURVE_STEPS = 6
INK: Colour = (44, 34, 40)
PAPER: Colour = (255, 250, 240)
DUSK: Colour = (52, 36, 74)
# For each layer of a rounded shape: by how much it shrinks towards the light, and its share of dusk
# (of light if negative).
SHADING = tuple((0.62 * k**1.3, 0.24 - 0.35 * k**0.8) for k in (i / 12 for i in range(13)))


def pick(rng: np.random.Generator, options: Sequence[T]) -> T:
    """Return one of the options, drawn with equal probabilities."""
    return options[int(rng.integers(len(options)))]


def mix(first: Colour, second: Colour, share: float) -> Colour:
    """Interpolate two colours: `share` 0 is the first, 1 the second."""
    (r0, g0, b0), (r1, g1, b1) = first, second
    return (
        round(r0 + (r1 - r0) * share),
        round(g0 + (g1 - g0) * share),
        round(b0 + (b1 - b0) * share),
    )


def brightness(colour: Colour) -> float:
    """Return the perceived brightness of a colour, 0 to 1."""
    return (0.30 * colour[0] + 0.59 * colour[1] + 0.11 * colour[2]) / 255


def jitter(rng: np.random.Generator, colour: Colour, amount: float = 12.0) -> Colour:
    """Return a random colour near the given one, so that no exact value identifies anything."""
    shifted = np.clip(
        np.array(colour) + rng.normal(0, amount) + rng.normal(0, amount / 2, 3), 0, 255
    )
    return int(shifted[0]), int(shifted[1]), int(shifted[2])


def points(*pairs: tuple[float, float]) -> Points:
    """Return an outline from its corners."""
    return np.array(pairs, dtype=np.float64)


def ellipse(x: float, y: float, rx: float, ry: float, turn: float = 0.0) -> Points:
    """Return the outline of an ellipse, rotated clockwise by `turn` radians."""
    circle = _circle() * (rx, ry)
    if turn:
        circle = circle @ _rotation(turn).T
    return circle + (x, y)


def smooth(corners: Points) -> Points:
    """Return a closed curve through the corners (Catmull-Rom); a repeated corner stays sharp."""
    curve: Points = _curve_basis(len(corners)) @ corners
    return curve


def capsule(start: Pair, end: Pair, r0: float, r1: float) -> Points:
    """Return the outline of two circles and the area between them: a leg, a tail, a muzzle."""
    dx, dy = end[0] - start[0], end[1] - start[1]
    gap = hypot(dx, dy)
    if gap <= abs(r0 - r1):
        x, y, r = (*start, r0) if r0 > r1 else (*end, r1)
        return ellipse(x, y, r, r)
    along, lean = atan2(dy, dx), acos((r0 - r1) / gap)
    back = np.linspace(along + lean, along + 2 * pi - lean, 14)
    front = np.linspace(along - lean, along + lean, 14)
    first = np.stack([np.cos(back), np.sin(back)], 1) * r0 + start
    second = np.stack([np.cos(front), np.sin(front)], 1) * r1 + end
    return np.concatenate([first, second])


@lru_cache(maxsize=1)
def _circle() -> Points:
    angle = np.linspace(0, 2 * pi, 36, endpoint=False)
    return np.stack([np.cos(angle), np.sin(angle)], 1)


def _rotation(turn: float) -> Points:
    return np.array([[cos(turn), -sin(turn)], [sin(turn), cos(turn)]])


@lru_cache(maxsize=32)
def _curve_basis(count: int) -> Points:
    t = np.linspace(0, 1, CURVE_STEPS, endpoint=False)
    weights = 0.5 * np.stack(
        [-t + 2 * t**2 - t**3, 2 - 5 * t**2 + 3 * t**3, t + 4 * t**2 - 3 * t**3, t**3 - t**2], 1
    )
    basis = np.zeros((count, CURVE_STEPS, count))
    for corner in range(count):
        for neighbour in range(4):
            basis[corner, :, (corner + neighbour - 1) % count] += weights[:, neighbour]
    return basis.reshape(count * CURVE_STEPS, count)


class Canvas:
    """An image and a frame of reference: at first the unit square, then that of a part."""

    def __init__(self, image: Image.Image, matrix: Points, origin: Points, light: float) -> None:
        """Set the frame of `image`; `light` is the side of the light, -1 left or 1 right."""
        self.image = image
        self.light = light
        self._draw = ImageDraw.Draw(image)
        self._matrix = matrix
        self._origin = origin
        self._scale = float(abs(np.linalg.det(matrix)) ** 0.5)

    @classmethod
    def over(cls, image: Image.Image, light: float = 1.0) -> Canvas:
        """Return a canvas whose unit square is the whole image, which must be square."""
        return cls(image, np.eye(2) * image.width, np.zeros(2), light)

    def within(
        self, x: float, y: float, scale: float = 1.0, turn: float = 0.0, squash: float = 1.0
    ) -> Canvas:
        """Return a canvas on the same image in a part's frame; a negative `squash` mirrors it."""
        local = _rotation(turn) * scale
        local[:, 0] *= squash
        origin = self._matrix @ np.array([x, y]) + self._origin
        return Canvas(self.image, self._matrix @ local, origin, self.light)

    def fill(self, outline: Points, colour: Colour) -> None:
        """Fill an outline with one flat colour."""
        self._polygon(self._pixels(outline), colour)

    def soft(self, outline: Points, colour: Colour, depth: float = 1.0) -> None:
        """Fill an outline with a round shading: dark at the rim, bright towards the light."""
        pixels = self._pixels(outline)
        thickness = _thickness(pixels)
        bright = pixels.mean(0) + np.array([0.5 * self.light, -0.5]) * thickness
        arms = pixels - bright
        # A small shape needs fewer layers, because the steps between them are not visible.
        for shrink, dusk in SHADING[:: 1 if thickness > 16 else 2 if thickness > 5 else 4]:
            tone = mix(colour, DUSK if dusk > 0 else PAPER, abs(dusk) * depth)
            self._polygon(bright + arms * (1 - shrink), tone)

    def line(self, path: Points, colour: Colour, width: float) -> None:
        """Draw a path with a round pen; `width` is in the frame's unit."""
        pen = max(1, round(width * self._scale))
        self._draw.line(self._pixels(path).ravel().tolist(), fill=colour, width=pen, joint="curve")

    def glaze(
        self, shapes: Iterable[Points], colour: Colour, opacity: float, inside: Points | None = None
    ) -> None:
        """Draw a transparent colour over shapes, clipped to the outline `inside` if given."""
        pixels = [self._pixels(shape) for shape in shapes]
        if not pixels:
            return
        corner, extent = self._window(np.concatenate(pixels))
        if min(extent) <= 0:
            return
        mask = _stencil(extent, [shape - corner for shape in pixels], round(255 * opacity))
        if inside is not None:
            bounds = _stencil(extent, [self._pixels(inside) - corner], 255)
            mask = ImageChops.darker(mask, bounds)
        self.image.paste(colour, (int(corner[0]), int(corner[1])), mask)

    def _pixels(self, outline: Points) -> Points:
        return outline @ self._matrix.T + self._origin

    def _polygon(self, pixels: Points, colour: Colour) -> None:
        self._draw.polygon(pixels.ravel().tolist(), fill=colour)

    def _window(self, pixels: Points) -> tuple[Points, tuple[int, int]]:
        low = np.clip(np.floor(pixels.min(0)), 0, self.image.width)
        high = np.clip(np.ceil(pixels.max(0)) + 1, 0, self.image.width)
        return low, (int(high[0] - low[0]), int(high[1] - low[1]))


def _thickness(pixels: Points) -> float:
    x, y = pixels.T
    following = np.roll(pixels, -1, axis=0)
    area = abs(float(x @ following[:, 1] - y @ following[:, 0])) / 2
    return area / float(np.hypot(*(following - pixels).T).sum() + 1e-9)


def _stencil(extent: tuple[int, int], shapes: Iterable[Points], level: int) -> Image.Image:
    mask = Image.new("L", extent, 0)
    pen = ImageDraw.Draw(mask)
    for shape in shapes:
        pen.polygon(shape.ravel().tolist(), fill=level)
    return mask
