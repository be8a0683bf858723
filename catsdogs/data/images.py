"""Decoding and normalization of images, as in the monograph's notebooks."""

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
# Part of a feature store's key: identifies everything that determines the values.
PIPELINE = f"exif-rgb-resize{SIZE}x{SIZE}-bicubic-imagenet"
# The content decides, not the name: data sets have GIF and BMP files named .jpg. Pillow's other
# formats are refused, because it passes one of them (EPS) to a program that executes it.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP")
MAX_PIXELS = 89_478_485  # Pillow's default limit, a quarter of a gigabyte of RGB
TOO_LARGE = f"larger than the limit of {MAX_PIXELS:,} pixels"
# Pillow's conversion of these modes clips values above 255, which makes an image white.
WIDE_MODES = ("I", "F", "I;16", "I;16B", "I;16L", "I;16N")

# Pillow only warns above its limit, and refuses above twice that. It repairs what its other
# warnings are about.
warnings.filterwarnings("error", category=Image.DecompressionBombWarning)
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")


def read_image(file: str | os.PathLike[str] | BinaryIO) -> Image.Image:
    """Decode an image completely, upright and in RGB; of an animation the first frame.

    An image is readable if this succeeds.

    Raises:
        OSError: If the file is absent or not a usable image; the message has the reason.
    """
    try:
        with Image.open(file, formats=FORMATS) as image:
            _refuse_unusable(image)
            ImageOps.exif_transpose(image, in_place=True)
            return image.convert("RGB")
    except UnidentifiedImageError as error:
        raise OSError("not a JPEG, PNG, WebP, GIF or BMP image") from error
    except (OSError, MemoryError):
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise OSError(TOO_LARGE) from error
    # Pillow's decoders raise many types for a damaged file; the message names the type.
    except Exception as error:
        raise OSError(f"damaged ({type(error).__name__}: {error})") from error


def decode(file: str | os.PathLike[str]) -> Tensor:
    """Decode an image to uint8 of shape (3, 256, 256), upright, without keeping its aspect ratio.

    Raises:
        OSError: If the file is absent or not a readable image.
    """
    resized = read_image(file).resize((SIZE, SIZE), Image.Resampling.BICUBIC)
    return torch.from_numpy(np.array(resized)).permute(2, 0, 1).contiguous()


def normalise(pixels: Tensor) -> Tensor:
    """Normalize uint8 of shape (n, 3, 256, 256) by ImageNet's mean and deviation, to float32."""
    mean = torch.tensor(MEAN, device=pixels.device).view(3, 1, 1)
    std = torch.tensor(STD, device=pixels.device).view(3, 1, 1)
    return pixels.float().div_(255).sub_(mean).div_(std)


class ImageFiles(torch.utils.data.Dataset[Tensor]):
    """Decoded images, in the order of the given files."""

    def __init__(self, files: list[Path]) -> None:
        self.files = files

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> Tensor:
        return decode(self.files[index])


def _refuse_unusable(image: Image.Image) -> None:
    """Refuse an image by its header, before anything is decoded."""
    if image.width * image.height > MAX_PIXELS:
        raise OSError(TOO_LARGE)
    if image.mode in WIDE_MODES:
        raise OSError("16 bits or more per pixel of grey: save it with 8 bits")
