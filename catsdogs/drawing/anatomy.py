"""Anatomy of the drawn animals: a table of variants for each part, and a function that draws it.

A part is drawn in its own frame of reference, whose unit is the size of the part; the portrait
decides the frame's position, size and rotation.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import cos, hypot, pi, sin

import numpy as np

from catsdogs.drawing.canvas import (
    DUSK,
    INK,
    PAPER,
    Canvas,
    Colour,
    Points,
    brightness,
    ellipse,
    mix,
    points,
    smooth,
)
from catsdogs.drawing.fur import Coat

TONGUE: Colour = (232, 120, 128)
THROAT: Colour = (122, 46, 58)
HIDING_YAW = 0.6  # radians


@dataclass(frozen=True, slots=True)
class Gaze:
    """Direction of a head, in radians; it rotates points in space and projects them."""

    yaw: float
    pitch: float

    @property
    def sides(self) -> tuple[int, int]:
        """The far side and the near one (-1 left, 1 right), in the order of drawing."""
        return (1, -1) if self.yaw > 0 else (-1, 1)

    def hides(self, side: int) -> bool:
        """Return whether the head is turned so far that it covers this side's ear."""
        return side == self.sides[0] and abs(self.yaw) > HIDING_YAW

    def turn(self, place: Points) -> Points:
        """Rotate points (x right, y down, z towards the viewer) with the head."""
        x, y, z = place[..., 0], place[..., 1], place[..., 2]
        ahead = z * cos(self.yaw) - x * sin(self.yaw)
        return np.stack(
            [
                x * cos(self.yaw) + z * sin(self.yaw),
                y * cos(self.pitch) + ahead * sin(self.pitch),
                ahead * cos(self.pitch) - y * sin(self.pitch),
            ],
            -1,
        )

    def spot(self, x: float, y: float, z: float) -> tuple[float, float]:
        """Return the position in the image of a point of the head."""
        seen = self.turn(np.array([x, y, z]))
        return float(seen[0]), float(seen[1])

    def wrap(self, outline: Points) -> Points:
        """Project a flat outline onto the head's sphere, as the viewer sees it."""
        depth = np.sqrt(np.clip(1 - (outline**2).sum(1), 0, 1))
        return self.turn(np.column_stack([outline, depth]))[:, :2]


@dataclass(frozen=True, slots=True)
class Head:
    """A head's proportions in half widths; a positive `cheek` widens the lower half."""

    width: float
    height: float
    cheek: float

    def outline(self, gaze: Gaze, shaggy: float) -> Points:
        """Return the head's outline; `shaggy` is the length of the tufts of fur on it."""
        angle = np.linspace(0, 2 * pi, 72, endpoint=False)
        side = hypot(self.width * cos(gaze.yaw), 0.95 * sin(gaze.yaw))
        tufts = 1 + shaggy * np.tile([0.0, 0.6, 1.0], 24) * np.clip(np.sin(angle) + 0.7, 0.15, 1.2)
        x = side * np.cos(angle) * (1 + self.cheek * np.sin(angle))
        return np.column_stack([x * tufts, self.height * np.sin(angle) * tufts])


HEADS = {
    "round": Head(0.98, 0.92, 0.06),
    "broad": Head(1.10, 0.86, 0.15),
    "long": Head(0.86, 1.00, -0.14),
}


@dataclass(frozen=True, slots=True)
class Ear:
    """A right ear, one unit long, upright from its root at (0, 0), and its position on the head."""

    outline: Points
    seat: tuple[float, float]
    lean: float
    skin: Points | None = None
    flap: Points | None = None
    hangs: bool = False


_UPRIGHT = points(
    (-0.52, 0.30), (-0.50, -0.20), (-0.09, -0.94), (0.0, -1.0), (0.10, -0.94), (0.48, -0.24),
    (0.54, 0.30),
)  # fmt: skip
_FOLDED = points(
    (-0.52, 0.30), (-0.46, -0.30), (-0.14, -0.70), (0.24, -0.66), (0.54, -0.24), (0.54, 0.30),
)  # fmt: skip
_FLAP = points(
    (-0.24, -0.68), (0.24, -0.68), (0.62, -0.22), (0.44, 0.34), (0.44, 0.34), (0.02, -0.10),
)  # fmt: skip
_LOBE = points(
    (-0.24, 0.02), (0.02, -0.22), (0.34, -0.14), (0.52, 0.20), (0.62, 0.72), (0.50, 1.12),
    (0.22, 1.22), (-0.04, 0.98), (-0.10, 0.50),
)  # fmt: skip
_BLADE = points(
    (-0.16, 0.20), (-0.26, -0.45), (-0.22, -1.15), (-0.02, -1.55), (0.18, -1.20), (0.26, -0.50),
    (0.18, 0.20),
)  # fmt: skip
_DISC = ellipse(0, -0.3, 0.52, 0.52)
_LEAF = points(
    (-0.16, 0.15), (-0.34, -0.45), (-0.12, -1.00), (0.02, -1.15), (0.02, -1.15), (0.28, -0.70),
    (0.20, 0.10),
)  # fmt: skip

EARS = {
    "pointed": Ear(smooth(_UPRIGHT), (0.60, -0.62), 0.34, skin=smooth(_UPRIGHT * 0.66)),
    "folded": Ear(smooth(_FOLDED), (0.64, -0.62), 0.36, flap=smooth(_FLAP)),
    "drooping": Ear(smooth(_LOBE), (0.80, -0.50), -0.16, hangs=True),
    "round": Ear(_DISC, (0.68, -0.62), 0.5, skin=_DISC * 0.62 + (0, -0.08)),
    "long": Ear(smooth(_BLADE), (0.38, -0.75), 0.16, skin=smooth(_BLADE * (0.58, 0.86))),
    "leaf": Ear(smooth(_LEAF), (0.76, -0.42), 1.25, skin=smooth(_LEAF * (0.58, 0.82))),
}


def draw_ear(canvas: Canvas, kind: str, coat: Coat) -> None:
    """Draw one ear, and the skin inside it or the flap folded over it."""
    ear = EARS[kind]
    canvas.soft(ear.outline, mix(coat.ears, DUSK, 0.06))
    if ear.skin is not None:
        canvas.soft(ear.skin + (0, -0.05), mix(coat.skin, coat.ears, 0.25), 0.6)
    if ear.flap is not None:
        canvas.fill(ear.flap + (0, 0.06), mix(coat.ears, DUSK, 0.38))
        canvas.soft(ear.flap, mix(coat.ears, DUSK, 0.08), 0.8)


@dataclass(frozen=True, slots=True)
class Eye:
    """An eye one unit wide: its opening, and the pupil's half width and half height."""

    opening: Points
    pupil: tuple[float, float]


_ALMOND = smooth(
    points(
        (-1.02, 0.12), (-1.02, 0.12), (-0.42, -0.64), (0.38, -0.72), (1.06, -0.14), (1.06, -0.14),
        (0.55, 0.56), (-0.3, 0.64),
    )
)  # fmt: skip

EYES = {
    "bead": Eye(ellipse(0, 0, 0.72, 0.78), (0.72, 0.78)),
    "ringed": Eye(ellipse(0, 0, 0.95, 0.95), (0.52, 0.54)),
    "almond": Eye(_ALMOND, (0.46, 0.5)),
    "slit": Eye(_ALMOND * (1.0, 1.15), (0.19, 0.66)),
}


def draw_eye(canvas: Canvas, kind: str, iris: Colour, look: tuple[float, float], side: int) -> None:
    """Draw one eye with its rim, iris, pupil and two highlights."""
    eye = EYES[kind]
    opening = eye.opening * (side, 1)
    canvas.fill(opening * 1.14, INK)
    canvas.fill(opening, mix(iris, DUSK, 0.35))
    canvas.fill(opening * (0.94, 0.84) + (0, 0.09), iris)
    canvas.glaze([ellipse(0, 0.36, 0.6, 0.3)], PAPER, 0.35, inside=opening)
    canvas.fill(ellipse(look[0], look[1], *eye.pupil), INK)
    shine = 0.26 * canvas.light
    canvas.fill(ellipse(shine + look[0], -0.28 + look[1], 0.21, 0.23), PAPER)
    canvas.fill(ellipse(-shine * 0.9 + look[0], 0.26 + look[1], 0.09, 0.10), PAPER)


def _triangle(canvas: Canvas, coat: Coat) -> None:
    canvas.soft(
        smooth(points((-0.5, -0.3), (0, -0.38), (0.5, -0.3), (0.3, 0.05), (0, 0.32), (-0.3, 0.05))),
        coat.nose,
    )


def _button(canvas: Canvas, coat: Coat) -> None:
    dark = mix(coat.nose, INK, 0.55)
    canvas.soft(
        smooth(
            points(
                (-0.62, -0.1),
                (-0.4, -0.42),
                (0.4, -0.42),
                (0.62, -0.1),
                (0.4, 0.3),
                (0, 0.46),
                (-0.4, 0.3),
            )
        ),
        dark,
    )
    canvas.fill(ellipse(-0.27, 0.08, 0.13, 0.09, 0.5), INK)
    canvas.fill(ellipse(0.27, 0.08, 0.13, 0.09, -0.5), INK)
    canvas.glaze([ellipse(0.16 * canvas.light, -0.26, 0.24, 0.09)], PAPER, 0.6)


def _snout(canvas: Canvas, coat: Coat) -> None:
    canvas.soft(ellipse(0, 0, 0.95, 0.72), mix(coat.skin, coat.fur, 0.3))
    for side in (-1, 1):
        canvas.fill(ellipse(0.32 * side, 0.02, 0.14, 0.22), mix(coat.skin, INK, 0.7))


def _beak(canvas: Canvas, coat: Coat) -> None:
    horn = mix(coat.nose, (244, 176, 66), 0.7)
    canvas.soft(smooth(points((-0.6, -0.2), (0, -0.55), (0.6, -0.2), (0, 1.25), (0, 1.25))), horn)
    for side in (-1, 1):
        canvas.fill(ellipse(0.16 * side, -0.12, 0.06, 0.09), mix(horn, INK, 0.6))


def _slots(canvas: Canvas, coat: Coat) -> None:
    for side in (-1, 1):
        canvas.fill(ellipse(0.3 * side, 0, 0.16, 0.07, 0.5 * side), mix(coat.fur, INK, 0.75))


NOSES: dict[str, Callable[[Canvas, Coat], None]] = {
    "triangle": _triangle,
    "button": _button,
    "snout": _snout,
    "beak": _beak,
    "slots": _slots,
}


def draw_mouth(canvas: Canvas, fur: Colour, open_wide: float, tongue: float) -> None:
    """Draw the mouth below a nose at (0, 0): two arcs, and the throat and tongue of an open one."""
    line = mix(fur, INK, 0.72)
    if open_wide > 0:
        canvas.fill(
            smooth(
                points(
                    (-0.5, 0.5),
                    (0, 0.42),
                    (0.5, 0.5),
                    (0.3, 0.62 + open_wide),
                    (-0.3, 0.62 + open_wide),
                )
            ),
            THROAT,
        )
    if tongue > 0:
        canvas.soft(
            smooth(
                points(
                    (-0.26, 0.55),
                    (0.26, 0.55),
                    (0.3, 0.6 + tongue),
                    (0, 0.78 + tongue),
                    (-0.3, 0.6 + tongue),
                )
            ),
            TONGUE,
            0.6,
        )
        canvas.line(points((0, 0.6), (0, 0.45 + tongue)), mix(TONGUE, THROAT, 0.4), 0.05)
    canvas.line(points((0, 0.1), (0, 0.42)), line, 0.07)
    for side in (-1, 1):
        arc = points((0, 0.42), (0.12, 0.53), (0.3, 0.57), (0.5, 0.50), (0.6, 0.36)) * (side, 1)
        canvas.line(arc, line, 0.075)


def draw_whiskers(canvas: Canvas, fur: Colour, length: float, side: int) -> None:
    """Draw three whiskers on one side, light on dark fur and dark on light fur."""
    tone = mix(fur, INK, 0.7) if brightness(fur) > 0.6 else mix(fur, PAPER, 0.9)
    for tilt in (-0.22, 0.02, 0.26):
        root = np.array([0.22 * side, tilt * 0.35])
        tip = root + (length * side * cos(tilt), length * sin(tilt) + 0.08)
        bend = (root + tip) / 2 + (0, -0.07)
        canvas.line(np.stack([root, bend, tip]), tone, 0.026)
