"""Random views of images, as the monograph's notebooks train, validate and test on them.

A view is an angle, a shift and a scale with the distribution of torchvision's
`RandomAffine(degrees=(-90, 90), translate=(0, 0.15), scale=(0.9, 1.1))`, but a function of the
seed, the epoch and the image alone. The image is identified by the hash of its file, so neither its
name nor its position in a split changes its views.
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
SHIFT = 0.15  # of the height; the notebooks never shift sideways
SCALE = (0.9, 1.1)
# Part of a store's key: identifies everything that turns seed, epoch and image into pixels.
VIEWS = f"affine-{DEGREES:g}-{SHIFT:g}-{SCALE[0]:g}-{SCALE[1]:g}-nearest-black"


class View(NamedTuple):
    """An affine transform of an image about its centre.

    Attributes:
        angle: Clockwise, in degrees.
        shift: Downwards, in pixels.
        scale: Above 1 enlarges.
    """

    angle: float
    shift: int
    scale: float


def draw_view(seed: int, epoch: int, image: str) -> View:
    """Draw the view of an image in an epoch.

    Args:
        seed: Of the run.
        epoch: From 1.
        image: SHA-256 of its file, as hexadecimal digits.
    """
    generator = np.random.default_rng([seed, epoch, int(image, 16)])
    angle = generator.uniform(-DEGREES, DEGREES)
    shift = round(generator.uniform(-SHIFT * SIZE, SHIFT * SIZE))
    return View(angle, shift, generator.uniform(*SCALE))


def apply_views(pixels: Tensor, views: Sequence[View]) -> Tensor:
    """Return each image in its view, sampled at the nearest pixel and black outside.

    The result is the same in every batch and on every device. It equals torchvision's `affine` of
    each image except for a few pixels in a million, whose source lies halfway between two others to
    the last bits of float32: there torchvision's choice depends on the order of the CPU's sums.

    Args:
        pixels: Shape (n, channels, side, side), uint8 or float32.
        views: One for each of the n images.
    """
    grid = _grid(views, pixels.shape[-1], pixels.device).to(pixels.device)
    seen = functional.grid_sample(pixels.float(), grid, mode="nearest", align_corners=False)
    return seen.to(pixels.dtype)


def _grid(views: Sequence[View], side: int, device: torch.device) -> Tensor:
    """Return the source of each output pixel: x and y from -1 to 1, (n, side, side, 2), float32.

    torchvision multiplies (x, y, 1) by a 3x2 matrix in float32, on Intel's CPUs as a chain of fused
    multiply-adds. The last bit decides for a pixel halfway between two others, so the chain is
    written out, each link exact in float64 and then rounded.
    """
    inverse = torch.tensor([_inverse(view) for view in views]) / (0.5 * side)
    if device.type == "cuda":  # MPS has no float64
        inverse = inverse.to(device)
    along_x, along_y, constant = inverse.double()[:, None, None].unbind(-1)
    positions = torch.arange(side, dtype=torch.float64, device=inverse.device) - (0.5 * side - 0.5)
    by_x = (positions.view(1, 1, side, 1) * along_x).float().double()
    by_y = positions.view(1, side, 1, 1) * along_y
    return (by_y + by_x).float() + constant.float()


def _inverse(view: View) -> list[list[float]]:
    """Return the matrix from a position in the view to that in the image, both from the centre."""
    cos = math.cos(math.radians(view.angle)) / view.scale
    sin = math.sin(math.radians(view.angle)) / view.scale
    return [[cos, sin, -sin * view.shift], [-sin, cos, -cos * view.shift]]
