"""From a picture file to the numbers that the backbone sees, as the monograph's notebooks do it."""

import os
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

SIZE = 256
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
# Names all that decides the numbers; a feature store is keyed by it.
PIPELINE = f"exif-rgb-resize{SIZE}x{SIZE}-bicubic-imagenet"


def decode(file: str | os.PathLike[str]) -> Tensor:
    """Read a picture as uint8 of shape (3, 256, 256), upright, its aspect ratio not kept.

    Raises:
        OSError: If the file is absent or no readable picture.
    """
    with Image.open(file) as image:
        upright = ImageOps.exif_transpose(image).convert("RGB")
    resized = upright.resize((SIZE, SIZE), Image.Resampling.BICUBIC)
    return torch.from_numpy(np.array(resized)).permute(2, 0, 1).contiguous()


def normalise(pixels: Tensor) -> Tensor:
    """Turn uint8 of shape (n, 3, 256, 256) into float32, with ImageNet's mean and deviation."""
    mean = torch.tensor(MEAN, device=pixels.device).view(3, 1, 1)
    std = torch.tensor(STD, device=pixels.device).view(3, 1, 1)
    return pixels.float().div_(255).sub_(mean).div_(std)


class PictureFiles(torch.utils.data.Dataset[Tensor]):
    """Decode the picture at an index; the order is that of the given files."""

    def __init__(self, files: list[Path]) -> None:
        self.files = files

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> Tensor:
        return decode(self.files[index])
