"""The pictures with which an exported file is held against PyTorch: one's own, or drawn ones."""

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from catsdogs.data.decoding import decoded_batches
from catsdogs.data.images import SIZE
from catsdogs.drawing.species import draw_cat_or_dog
from catsdogs.errors import UserError
from catsdogs.inference.image_paths import list_pictures
from catsdogs.io.formatting import count
from catsdogs.io.progress import progress
from catsdogs.io.text import printable

DRAWN = 8


@dataclasses.dataclass(frozen=True)
class CheckPictures:
    """What to check with.

    Attributes:
        pixels: uint8 (n, 3, 256, 256).
        described: What the pictures are.
        first: A file to show the use with; it need not be there.
    """

    pixels: Tensor
    described: str
    first: Path


def check_pictures(sources: Sequence[str] | None) -> CheckPictures:
    """Read the pictures named, those that can be read; without any, draw a few.

    Raises:
        UserError: If none can be read.
    """
    if sources is None:
        drawn = [draw_cat_or_dog(index % 2, index // 2, size=SIZE) for index in range(DRAWN)]
        pixels = torch.from_numpy(np.stack([np.array(image) for image in drawn]))
        pixels = pixels.permute(0, 3, 1, 2).contiguous()
        return CheckPictures(pixels, count(DRAWN, "drawn picture"), Path("picture.jpg"))
    files = list(dict.fromkeys(list_pictures(sources)))
    batches = decoded_batches(files, 1, os.cpu_count() or 1)
    bar = progress(batches, total=len(files), description="decoding", unit="picture")
    read = {file: one for file, (one,) in zip(files, bar, strict=True) if isinstance(one, Tensor)}
    if not read:
        raise UserError(f"pictures={printable(','.join(sources))}: none of them can be read")
    described = count(len(read), "picture")
    if len(read) < len(files):
        described += f" ({len(files) - len(read)} more could not be read)"
    return CheckPictures(torch.stack(list(read.values())), described, next(iter(read)))
