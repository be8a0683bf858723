"""From a picture file to the numbers that the backbone sees, as the monograph's notebooks do it."""

import os
import warnings
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

SIZE = 256
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
# Names all that decides the numbers; a feature store is keyed by it.
PIPELINE = f"exif-rgb-resize{SIZE}x{SIZE}-bicubic-imagenet"
# The content decides, not the name: sets of pictures hold GIF and BMP under names of JPEG. Others
# of Pillow's formats stay closed, since it hands one of them (EPS) to a program that runs it.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP")
MAX_PIXELS = 89_478_485  # Pillow's own bound, a quarter of a gigabyte of RGB
TOO_LARGE = f"more than the {MAX_PIXELS:,} pixels that are decoded"
# Pillow's conversion of these cuts what is above 255, and so turns a picture white.
WIDE_MODES = ("I", "F", "I;16", "I;16B", "I;16L", "I;16N")

# Above its bound Pillow warns, and refuses at twice as much only. What else it warns of, it mends.
warnings.filterwarnings("error", category=Image.DecompressionBombWarning)
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")


def read_image(file: str | os.PathLike[str] | BinaryIO) -> Image.Image:
    """Decode a picture in full: upright, in RGB, of an animation the first image.

    This is what decides whether a picture is readable.

    Raises:
        OSError: If the file is absent, or no picture that can be used; the message says why.
    """
    try:
        with Image.open(file, formats=FORMATS) as image:
            _refuse_unusable(image)
            ImageOps.exif_transpose(image, in_place=True)
            return image.convert("RGB")
    except UnidentifiedImageError as error:
        raise OSError("no picture of JPEG, PNG, WebP, GIF or BMP") from error
    except (OSError, MemoryError):
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise OSError(TOO_LARGE) from error
    # Pillow's decoders raise many types for a damaged file; the message keeps which.
    except Exception as error:
        raise OSError(f"damaged ({type(error).__name__}: {error})") from error


def decode(file: str | os.PathLike[str]) -> Tensor:
    """Read a picture as uint8 of shape (3, 256, 256), upright, its aspect ratio not kept.

    Raises:
        OSError: If the file is absent or no readable picture.
    """
    resized = read_image(file).resize((SIZE, SIZE), Image.Resampling.BICUBIC)
    return torch.from_numpy(np.array(resized)).permute(2, 0, 1).contiguous()


def normalise(pixels: Tensor) -> Tensor:
    """Turn uint8 of shape (n, 3, 256, 256) into float32, with ImageNet's mean and deviation."""
    mean = torch.tensor(MEAN, device=pixels.device).view(3, 1, 1)
    std = torch.tensor(STD, device=pixels.device).view(3, 1, 1)
    return pixels.float().div_(255).sub_(mean).div_(std)


class ImageFiles(torch.utils.data.Dataset[Tensor]):
    """Decode the picture at an index; the order is that of the given files."""

    def __init__(self, files: list[Path]) -> None:
        self.files = files

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> Tensor:
        return decode(self.files[index])


def _refuse_unusable(image: Image.Image) -> None:
    """Refuse by what the header says, before anything is decoded."""
    if image.width * image.height > MAX_PIXELS:
        raise OSError(TOO_LARGE)
    if image.mode in WIDE_MODES:
        raise OSError("grey of 16 bits or more, of which 8 would be used: save it with 8")
