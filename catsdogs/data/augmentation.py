"""Random views of pictures, as the monograph's notebooks train, validate and test on them.

A view is an angle, a shift and a scale, drawn as torchvision's
`RandomAffine(degrees=(-90, 90), translate=(0, 0.15), scale=(0.9, 1.1))` draws them, but from the
seed, the epoch and the picture alone: whoever asks for the same gets the same. A picture is known
by the hash of its file, so neither its name nor its place in a split changes its views.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from catsdogs.data.images import SIZE

DEGREES = 90.0
SHIFT = 0.15  # of the height; the notebooks never shift to the side
SCALE = (0.9, 1.1)
# Names all that turns seed, epoch and picture into pixels; a store of views is keyed by it.
VIEWS = f"affine-{DEGREES:g}-{SHIFT:g}-{SCALE[0]:g}-{SCALE[1]:g}-nearest-black"


class View(NamedTuple):
    """How a picture is turned about its centre (degrees, clockwise), moved down and enlarged."""

    angle: float
    shift: int
    scale: float


def draw_view(seed: int, epoch: int, image: str) -> View:
    """Draw the view of a picture in an epoch.

    Args:
        seed: Of the run.
        epoch: From 1.
        image: The SHA-256 of its file, in hexadecimal digits.
    """
    generator = np.random.default_rng([seed, epoch, int(image, 16)])
    angle = generator.uniform(-DEGREES, DEGREES)
    shift = round(generator.uniform(-SHIFT * SIZE, SHIFT * SIZE))
    return View(angle, shift, generator.uniform(*SCALE))


def apply_views(pixels: Tensor, views: Sequence[View]) -> Tensor:
    """Return each picture in its view, by the nearest pixel and black where there is none.

    The same in every batch and on every device. Equal to torchvision's `affine` of each picture but
    for the odd pixel, a few in a million, whose source lies between two others to the last bits of
    float32: there torchvision takes one or the other by the order in which the CPU adds.

    Args:
        pixels: Of shape (n, channels, side, side), uint8 or float32.
        views: One for each of the n.
    """
    grid = _grid(views, pixels.shape[-1], pixels.device).to(pixels.device)
    seen = functional.grid_sample(pixels.float(), grid, mode="nearest", align_corners=False)
    return seen.to(pixels.dtype)


def _grid(views: Sequence[View], side: int, device: torch.device) -> Tensor:
    """Return where each output pixel comes from: (n, side, side, 2) of x and y, -1 to 1, float32.

    torchvision multiplies (x, y, 1) with a 3x2 matrix in float32, on Intel's CPUs by a chain of
    fused multiply-adds. A pixel halfway between two others falls to one by the last bit, so the
    chain is written out, each link exact in float64 and then rounded.
    """
    inverse = torch.tensor([_inverse(view) for view in views]) / (0.5 * side)
    if device.type == "cuda":  # MPS has no float64
        inverse = inverse.to(device)
    along_x, along_y, constant = inverse.double()[:, None, None].unbind(-1)
    places = torch.arange(side, dtype=torch.float64, device=inverse.device) - (0.5 * side - 0.5)
    by_x = (places.view(1, 1, side, 1) * along_x).float().double()
    by_y = places.view(1, side, 1, 1) * along_y
    return (by_y + by_x).float() + constant.float()


def _inverse(view: View) -> list[list[float]]:
    """Return the map from a place in the view to the place in the picture, both from the centre."""
    cos = math.cos(math.radians(view.angle)) / view.scale
    sin = math.sin(math.radians(view.angle)) / view.scale
    return [[cos, sin, -sin * view.shift], [-sin, cos, -cos * view.shift]]
