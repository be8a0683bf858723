"""Portrait of an animal: the positions of its parts and the order in which they are drawn."""

from __future__ import annotations

from itertools import pairwise
from math import atan2, cos, sin

import numpy as np
from PIL import Image

from catsdogs.drawing.anatomy import (
    EARS,
    HEADS,
    NOSES,
    draw_ear,
    draw_eye,
    draw_mouth,
    draw_whiskers,
)
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
from catsdogs.drawing.creature import Animal
from catsdogs.drawing.fur import MARKINGS, Coat
from catsdogs.drawing.scenery import BACKDROPS, develop, draw_occluders, draw_place

# All lengths are in half widths of the head, whose centre is (0, 0).
TAIL = smooth(
    points((0.5, 2.7), (1.2, 2.85), (1.55, 2.4), (1.45, 1.95), (1.62, 1.65), (1.2, 2.85))
)[:25:3]
TORSO = points(
    (-0.5, 0.4), (-0.72, 1.2), (-1.0, 2.2), (-0.8, 2.95),
    (0.8, 2.95), (1.0, 2.2), (0.72, 1.2), (0.5, 0.4),
)  # fmt: skip
TORSO_LEAN = (0.0, 0.3, 1.0, 1.0, 1.0, 1.0, 0.3, 0.0)
BLAZE = smooth(points((0, -0.9), (0.12, -0.2), (0.2, 0.3), (-0.2, 0.3), (-0.12, -0.2)))
BELL: Colour = (240, 200, 90)

SIZES = (0.20, 0.22, 0.25, 0.28, 0.30)
BODY_LEAN, HEAD_TILT = 0.06, 0.12  # standard deviations, in radians
OCCLUSION = 0.24
BACKDROP_CHOICES = 3
TURNED_AWAY = 0.32  # cosine below which an eye is not visible


def draw_portrait(animal: Animal, rng: np.random.Generator, size: int) -> Image.Image:
    """Draw an animal at a random position in a random place, `size` pixels square."""
    light = 1.0 if rng.random() < 0.5 else -1.0
    paper = Canvas.over(draw_place(rng, _backdrop(rng, animal.coat), light, size), light)
    scale = pick(rng, SIZES) * rng.uniform(0.92, 1.08)
    x, y = rng.uniform(0.41, 0.59) - 0.6 * scale * sin(animal.gaze.yaw), rng.uniform(0.40, 0.54)
    body = paper.within(x, y, scale, rng.normal(0, BODY_LEAN))
    head = body.within(0, 0, 1, rng.normal(0, HEAD_TILT))
    _draw_body(body, animal, rng)
    _draw_head(head, animal, rng)
    draw_occluders(paper, rng, OCCLUSION)
    return develop(paper.image.reduce(SUPERSAMPLING), rng)


def _backdrop(rng: np.random.Generator, coat: Coat) -> Colour:
    """Sample a few backdrops and return the one with the highest contrast to the fur."""
    choices = [jitter(rng, pick(rng, BACKDROPS)) for _ in range(BACKDROP_CHOICES)]
    fur = np.array(coat.fur)
    return max(choices, key=lambda tone: float(np.abs(fur - tone).sum()))


def _draw_body(canvas: Canvas, animal: Animal, rng: np.random.Generator) -> None:
    coat, away = animal.coat, -0.7 * sin(animal.gaze.yaw)
    canvas.glaze([ellipse(away, 3.02, 1.5, 0.24)], DUSK, 0.3)
    for start, end in pairwise(TAIL * (pick(rng, (-1, 1)), 1) + (away, 0)):
        canvas.fill(capsule(start, end, 0.15, 0.15), mix(coat.ears, DUSK, 0.16))
    torso = smooth(TORSO + np.outer(TORSO_LEAN, (away, 0)))
    canvas.soft(torso, coat.fur)
    pattern = MARKINGS[animal.markings](rng)
    flank = [mark * (0.9, 1.1) + (away * 0.6, 1.9) for mark in pattern]
    canvas.glaze(flank, coat.mark, 0.9, inside=torso)
    canvas.glaze([ellipse(away * 0.2, 1.5, 0.42, 0.62)], coat.pale, 0.85, inside=torso)
    legs = canvas.within(away * 0.4, 0)
    for side in (-1, 1):
        legs.soft(capsule((side * 0.34, 1.8), (side * 0.36, 2.85), 0.26, 0.22), coat.fur, 0.9)
        legs.soft(ellipse(side * 0.38, 2.95, 0.30, 0.18), coat.pale)
    for reach in (0.36, 0.5):
        canvas.glaze([ellipse(0, 0.7, 0.75, reach)], DUSK, 0.15, inside=torso)
    if coat.collar:
        canvas.line(ellipse(0, 0.72, 0.62, 0.34)[:19], coat.collar, 0.15)
        canvas.soft(ellipse(0, 1.1, 0.12, 0.12), BELL)


def _draw_head(canvas: Canvas, animal: Animal, rng: np.random.Generator) -> None:
    gaze, coat = animal.gaze, animal.coat
    outline = HEADS[animal.head].outline(gaze, animal.shaggy)
    # A hanging ear covers the head, except the far ear of a head that is turned away.
    over = [side for side in gaze.sides if EARS[animal.ears].hangs and not gaze.hides(side)]
    for side in gaze.sides:
        if side not in over:
            _place_ear(canvas, animal, side)
    canvas.soft(outline, coat.fur)
    pattern = [gaze.wrap(mark) for mark in MARKINGS[animal.markings](rng)]
    canvas.glaze(pattern, coat.mark, 0.9, inside=outline)
    if animal.blaze:
        canvas.glaze([gaze.wrap(BLAZE)], PAPER, 0.85, inside=outline)
    for side in gaze.sides:
        _place_eye(canvas, animal, side)
    _draw_muzzle(canvas, animal)
    for side in over:
        _place_ear(canvas, animal, side)


def _place_ear(canvas: Canvas, animal: Animal, side: int) -> None:
    ear, head = EARS[animal.ears], HEADS[animal.head]
    x, y = animal.gaze.spot(side * ear.seat[0] * head.width, ear.seat[1] * head.height, -0.12)
    squash = animal.ear_width * max(0.55, cos(animal.gaze.yaw)) * side
    lean = side * (ear.lean + animal.ear_lean) * cos(animal.gaze.yaw) - 0.2 * sin(animal.gaze.yaw)
    draw_ear(canvas.within(x, y, animal.ear_size, lean, squash), animal.ears, animal.coat)


def _place_eye(canvas: Canvas, animal: Animal, side: int) -> None:
    across, up = side * animal.eye_gap, -0.14
    depth = 0.86 * (1 - across**2 - up**2) ** 0.5
    x, y = animal.gaze.spot(across, up, depth)
    facing = cos(animal.gaze.yaw + atan2(across, depth))
    if facing < TURNED_AWAY:
        return
    frame = canvas.within(x, y, animal.eye_size, 0, 0.3 + 0.7 * facing)
    draw_eye(frame, animal.eyes, animal.coat.iris, animal.look, side)


def _draw_muzzle(canvas: Canvas, animal: Animal) -> None:
    gaze, coat, width = animal.gaze, animal.coat, animal.muzzle_width
    drop, reach = 0.38 + 0.16 * animal.muzzle_length, 0.80 + animal.muzzle_length
    squash = max(0.5, cos(gaze.yaw))
    root, tip = gaze.spot(0, 0.34, 0.72), gaze.spot(0, drop, reach)
    canvas.soft(capsule(root, tip, width, width * 0.8), coat.pale, 0.8)
    front = canvas.within(*tip, width, 0, squash)
    for side in gaze.sides:
        front.soft(ellipse(side * 0.44, 0.22, 0.58, 0.46), coat.pale, 0.7)
    draw_mouth(front, coat.pale, animal.open_wide, animal.tongue)
    for side in gaze.sides:
        if animal.whiskers and cos(gaze.yaw + side * 0.9) > 0:
            draw_whiskers(canvas.within(*tip), coat.fur, animal.whiskers, side)
    x, y = gaze.spot(0, drop - width * 0.5, reach + width * 0.45)
    NOSES[animal.nose](canvas.within(x, y, animal.nose_size, 0, squash), coat)
