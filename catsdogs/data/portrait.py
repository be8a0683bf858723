"""A creature as data, and the one function that turns it into a picture of an animal in a place."""

from __future__ import annotations

from dataclasses import dataclass
from math import atan2, cos, sin

import numpy as np
from PIL import Image

from catsdogs.data.drawing import (
    DUSK,
    PAPER,
    SUPERSAMPLING,
    Canvas,
    Colour,
    Points,
    brightness,
    capsule,
    ellipse,
    jitter,
    mix,
    pick,
    points,
    smooth,
)
from catsdogs.data.parts import (
    EARS,
    HEADS,
    MARKINGS,
    NOSES,
    Coat,
    Gaze,
    draw_ear,
    draw_eye,
    draw_mouth,
    draw_whiskers,
)
from catsdogs.data.scenery import BACKDROPS, develop, draw_occluders, draw_place

Range = tuple[float, float]

FURS: tuple[Colour, ...] = (
    (246, 243, 238), (244, 226, 196), (226, 146, 78), (238, 184, 128), (212, 178, 134), (146, 98, 68),
    (102, 70, 54), (152, 152, 160), (116, 128, 146), (200, 200, 206), (74, 70, 78), (54, 50, 58), (180, 96, 60),
)  # fmt: skip
IRISES: tuple[Colour, ...] = (
    (232, 178, 60), (198, 196, 74), (122, 178, 96), (96, 164, 172), (110, 160, 214), (176, 112, 56), (134, 86, 54),
)  # fmt: skip
SKINS: tuple[Colour, ...] = ((236, 164, 158), (214, 132, 132), (160, 104, 98), (120, 88, 92))
NOSE_COLOURS: tuple[Colour, ...] = ((224, 130, 134), (150, 92, 84), (84, 62, 66), (50, 42, 48))
COLLARS: tuple[Colour, ...] = ((204, 70, 70), (60, 120, 170), (236, 186, 70), (80, 150, 110), (150, 90, 160))

TAIL = smooth(points((0.5, 2.7), (1.2, 2.85), (1.55, 2.4), (1.45, 1.95), (1.62, 1.65), (1.2, 2.85)))[:25:3]
CONTRAST = 0.16
OCCLUSION = 0.28
FRONTAL, THREE_QUARTER, PROFILE = (0.0, 0.25), (0.3, 0.75), (0.9, 1.15)
VIEWS = (FRONTAL, FRONTAL, FRONTAL, THREE_QUARTER, THREE_QUARTER, PROFILE)
SIZES = (0.19, 0.22, 0.25, 0.28, 0.31)


@dataclass(frozen=True, slots=True)
class Creature:
    """What one kind of animal may look like: names of parts, ranges of sizes, chances of extras."""

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
    """One animal of a kind, every choice made."""

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
    dark_ears: bool
    collar: Colour | None
    coat: Coat
    gaze: Gaze
    look: tuple[float, float]


def sample_coat(rng: np.random.Generator) -> Coat:
    """Colours for one animal, drawn without a thought for what animal it is."""
    fur = jitter(rng, pick(rng, FURS))
    other = jitter(rng, pick(rng, FURS))
    if abs(brightness(other) - brightness(fur)) < CONTRAST:
        other = mix(fur, DUSK if brightness(fur) > 0.5 else PAPER, 0.42)
    pale = mix(fur, PAPER, rng.uniform(0.1, 0.8)) if rng.random() < 0.6 else mix(fur, DUSK, rng.uniform(0.0, 0.25))
    return Coat(fur, other, pale, pick(rng, SKINS), jitter(rng, pick(rng, NOSE_COLOURS)), jitter(rng, pick(rng, IRISES)))


def sample_gaze(rng: np.random.Generator) -> Gaze:
    """A view of a head: from the front, from the side or between, either way round."""
    yaw = rng.uniform(*pick(rng, VIEWS)) * (1 if rng.random() < 0.5 else -1)
    return Gaze(yaw, rng.uniform(-0.22, 0.28))


def sample_animal(kind: Creature, rng: np.random.Generator) -> Animal:
    """Make every choice that a kind leaves open."""
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
        dark_ears=rng.random() < 0.3,
        collar=jitter(rng, pick(rng, COLLARS)) if rng.random() < 0.3 else None,
        coat=sample_coat(rng),
        gaze=sample_gaze(rng),
        look=(rng.uniform(-0.2, 0.2), rng.uniform(-0.1, 0.15)),
    )


def draw_portrait(animal: Animal, rng: np.random.Generator, size: int) -> Image.Image:
    """Draw one animal somewhere in some place."""
    light = 1.0 if rng.random() < 0.5 else -1.0
    paper = Canvas.over(draw_place(rng, _backdrop(rng, animal.coat), light, size), light)
    scale = pick(rng, SIZES) * rng.uniform(0.92, 1.08)
    x, y = rng.uniform(0.39, 0.61) - 0.6 * scale * sin(animal.gaze.yaw), rng.uniform(0.38, 0.56)
    body = paper.within(x, y, scale, float(np.clip(rng.normal(0, 0.09), -0.3, 0.3)))
    head = body.within(0, 0, 1, float(np.clip(rng.normal(0, 0.14), -0.5, 0.5)))
    _draw_body(body, animal, rng)
    _draw_head(head, animal, rng)
    draw_occluders(paper, rng, OCCLUSION)
    return develop(paper.image.reduce(SUPERSAMPLING), rng)


def _backdrop(rng: np.random.Generator, coat: Coat) -> Colour:
    """The backdrop of three against which the fur is seen best."""
    choices = [jitter(rng, pick(rng, BACKDROPS)) for _ in range(3)]
    return max(choices, key=lambda tone: sum(abs(a - b) for a, b in zip(tone, coat.fur, strict=True)))


def _draw_body(canvas: Canvas, animal: Animal, rng: np.random.Generator) -> None:
    coat, away = animal.coat, -0.7 * sin(animal.gaze.yaw)
    tail = 1 if rng.random() < 0.5 else -1
    canvas.glaze([ellipse(away, 3.02, 1.5, 0.24)], DUSK, 0.3)
    bends = TAIL * (tail, 1) + (away, 0)
    for start, end in zip(bends, bends[1:], strict=False):
        canvas.fill(capsule(start, end, 0.15, 0.15), mix(coat.mark if animal.dark_ears else coat.fur, DUSK, 0.16))
    torso = smooth(points(
        (-0.5, 0.4), (-0.72 + away * 0.3, 1.2), (-1.0 + away, 2.2), (-0.8 + away, 2.95),
        (0.8 + away, 2.95), (1.0 + away, 2.2), (0.72 + away * 0.3, 1.2), (0.5, 0.4),
    ))  # fmt: skip
    canvas.soft(torso, coat.fur)
    shift = np.array([away * 0.6, 1.9])
    canvas.glaze([mark * (0.9, 1.1) + shift for mark in MARKINGS[animal.markings](rng)], coat.mark, 0.9, inside=torso)
    canvas.glaze([ellipse(away * 0.2, 1.5, 0.42, 0.62)], coat.pale, 0.85, inside=torso)
    for side in (-1, 1):
        leg = capsule((side * 0.34 + away * 0.4, 1.8), (side * 0.36 + away * 0.4, 2.85), 0.26, 0.22)
        canvas.soft(leg, coat.fur, 0.9)
        canvas.soft(ellipse(side * 0.38 + away * 0.4, 2.95, 0.30, 0.18), coat.pale)
    for reach in (0.36, 0.5):
        canvas.glaze([ellipse(0, 0.7, 0.75, reach)], DUSK, 0.15, inside=torso)
    if animal.collar:
        canvas.line(ellipse(0, 0.72, 0.62, 0.34)[:19], animal.collar, 0.15)
        canvas.soft(ellipse(0, 1.1, 0.12, 0.12), (240, 200, 90))


def _draw_head(canvas: Canvas, animal: Animal, rng: np.random.Generator) -> None:
    gaze, coat = animal.gaze, animal.coat
    outline = HEADS[animal.head].outline(gaze, animal.shaggy)
    hanging = EARS[animal.ears].hangs
    far = 1 if gaze.yaw > 0 else -1
    for side in (far, -far):
        if not hanging or (side == far and abs(gaze.yaw) > 0.6):
            _place_ear(canvas, animal, side)
    canvas.soft(outline, coat.fur)
    canvas.glaze([gaze.wrap(mark) for mark in MARKINGS[animal.markings](rng)], coat.mark, 0.9, inside=outline)
    if animal.blaze:
        canvas.glaze([gaze.wrap(smooth(points((0, -0.9), (0.12, -0.2), (0.3, 0.6), (-0.3, 0.6), (-0.12, -0.2))))], PAPER, 0.85, inside=outline)
    for side in (far, -far):
        _place_eye(canvas, animal, side)
    _draw_muzzle(canvas, animal)
    for side in (far, -far):
        if hanging and not (side == far and abs(gaze.yaw) > 0.6):
            _place_ear(canvas, animal, side)


def _place_ear(canvas: Canvas, animal: Animal, side: int) -> None:
    ear, head = EARS[animal.ears], HEADS[animal.head]
    x, y, _ = animal.gaze.spot(side * ear.seat[0] * head.width, ear.seat[1] * head.height, -0.12)
    squash = animal.ear_width * max(0.55, cos(animal.gaze.yaw)) * side
    lean = side * (ear.lean + animal.ear_lean) * cos(animal.gaze.yaw) - 0.2 * sin(animal.gaze.yaw)
    fur = animal.coat.mark if animal.dark_ears else animal.coat.fur
    draw_ear(canvas.within(x, y, animal.ear_size, lean, squash), animal.ears, animal.coat, fur)


def _place_eye(canvas: Canvas, animal: Animal, side: int) -> None:
    across, up = side * animal.eye_gap, -0.14
    depth = 0.86 * (1 - across**2 - up**2) ** 0.5
    x, y, _ = animal.gaze.spot(across, up, depth)
    facing = cos(animal.gaze.yaw + atan2(across, depth))
    if facing < 0.32:
        return
    frame = canvas.within(x, y, animal.eye_size, 0, 0.3 + 0.7 * facing)
    draw_eye(frame, animal.eyes, animal.coat.iris, animal.look, side)


def _draw_muzzle(canvas: Canvas, animal: Animal) -> None:
    gaze, coat, width = animal.gaze, animal.coat, animal.muzzle_width
    far = 1 if gaze.yaw > 0 else -1
    root = gaze.spot(0, 0.34, 0.72)
    tip = gaze.spot(0, 0.38 + 0.16 * animal.muzzle_length, 0.80 + animal.muzzle_length)
    canvas.soft(capsule(root, tip, width, width * 0.8) , coat.pale, 0.8)
    squash = max(0.5, cos(gaze.yaw))
    front = canvas.within(tip[0], tip[1], width, 0, squash)
    for side in (far, -far):
        front.soft(ellipse(side * 0.44, 0.22, 0.58, 0.46), coat.pale, 0.7)
    draw_mouth(front, coat.pale, animal.open_wide, animal.tongue)
    if animal.whiskers:
        for side in (-1, 1):
            if cos(gaze.yaw + side * 0.9) > 0:
                draw_whiskers(canvas.within(tip[0], tip[1]), coat.fur, animal.whiskers, side)
    nose = gaze.spot(0, 0.38 + 0.16 * animal.muzzle_length - width * 0.5, 0.80 + animal.muzzle_length + width * 0.45)
    NOSES[animal.nose](canvas.within(nose[0], nose[1], animal.nose_size, 0, squash), coat)
