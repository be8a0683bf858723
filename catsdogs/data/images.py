"""Decoding and normalization of images, as in the monograph's notebooks.

The bytes of an image are read once, so that what is hashed is what is decoded. Memory and time for
one image are bounded, because images come from strangers.
"""

import contextlib
import hashlib
import io
import os
import re
import threading
import time
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from catsdogs.io.files import open_regular

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
LARGE_PIXELS = 50_000_000  # above, one at a time: each takes up to a gigabyte in this process
MAX_SIDE = 65_535  # that of a JPEG; resizing a longer side takes gigabytes
MAX_BYTES = 2**29  # of a file; an uncompressed image at the limit of pixels has half of it
# Each scan of a progressive JPEG visits all pixels, and may have a few bytes. 10 scans are usual.
MAX_SCANNED_PIXELS = 20 * MAX_PIXELS
MAX_SECONDS = 30  # of a processor; an image at the limits above takes 5
CHANGED = "it is not the file that was checked: its content has changed"
_LARGE = threading.Lock()
_JPEG = b"\xff\xd8"
_MARKER = re.compile(rb"\xff+([^\x00\xff\x01\xd0-\xd7])")  # those without a length left out
_START_OF_SCAN, _END_OF_IMAGE = b"\xda", b"\xd9"
# Pillow's conversion of these modes clips values above 255, which makes an image white.
WIDE_MODES = ("I", "F", "I;16", "I;16B", "I;16L", "I;16N")

# Pillow only warns above its limit, and refuses above twice that. It repairs what its other
# warnings are about.
warnings.filterwarnings("error", category=Image.DecompressionBombWarning)
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")


def read_content(file: str | os.PathLike[str]) -> bytes:
    """Return the bytes of an image file.

    Raises:
        OSError: If it cannot be read, is empty or too large, or is not a regular file.
    """
    with open_regular(Path(file)) as opened:
        if os.fstat(opened.fileno()).st_size > MAX_BYTES:
            raise OSError(f"larger than the limit of {MAX_BYTES:,} bytes")
        content = opened.read(MAX_BYTES)
    if not content:
        raise OSError("empty")
    return content


def read_image(source: str | os.PathLike[str] | bytes) -> Image.Image:
    """Decode an image completely, upright and in RGB; of an animation the first frame.

    An image is readable if this succeeds.

    Args:
        source: The file, or its bytes.

    Raises:
        OSError: If the file is absent or not a usable image; the message has the reason.
    """
    content = source if isinstance(source, bytes) else read_content(source)
    try:
        with Image.open(_Metered(content), formats=FORMATS) as image:
            _refuse_unusable(image, content)
            large = image.width * image.height > LARGE_PIXELS
            with _LARGE if large else contextlib.nullcontext():
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


def decode(file: str | os.PathLike[str], sha256: str | None = None) -> Tensor:
    """Decode an image to uint8 of shape (3, 256, 256), upright, without keeping its aspect ratio.

    Args:
        file: The image.
        sha256: Of the content that the file must have; None for any.

    Raises:
        OSError: If the file is absent, has another content or is not a readable image.
    """
    content = read_content(file)
    if sha256 is not None and hashlib.sha256(content).hexdigest() != sha256:
        raise OSError(f"{file}: {CHANGED}")
    resized = read_image(content).resize((SIZE, SIZE), Image.Resampling.BICUBIC)
    return torch.from_numpy(np.array(resized)).permute(2, 0, 1).contiguous()


def normalise(pixels: Tensor) -> Tensor:
    """Normalize uint8 of shape (n, 3, 256, 256) by ImageNet's mean and deviation, to float32."""
    mean = torch.tensor(MEAN, device=pixels.device).view(3, 1, 1)
    std = torch.tensor(STD, device=pixels.device).view(3, 1, 1)
    return pixels.float().div_(255).sub_(mean).div_(std)


class ImageFiles(torch.utils.data.Dataset[Tensor]):
    """Decoded images, in the order of the given files.

    Args:
        files: Each with the SHA-256 of the content that it must have, or None.
    """

    def __init__(self, files: Sequence[tuple[Path, str | None]]) -> None:
        self.files = files

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> Tensor:
        return decode(*self.files[index])


class _Metered(io.BytesIO):
    """The bytes of an image, which can no longer be read once decoding has taken too long."""

    def __init__(self, content: bytes) -> None:
        super().__init__(content)
        # The time of a processor: what else a machine does must not decide which images are used.
        self._end = time.thread_time() + MAX_SECONDS

    def read(self, size: int | None = -1) -> bytes:
        if time.thread_time() > self._end:
            raise OSError(f"takes more than {MAX_SECONDS} s to decode")
        return super().read(size)


def _refuse_unusable(image: Image.Image, content: bytes) -> None:
    """Refuse an image before anything is decoded."""
    pixels = image.width * image.height
    if pixels > MAX_PIXELS:
        raise OSError(TOO_LARGE)
    if max(image.size) > MAX_SIDE:
        raise OSError(f"a side longer than {MAX_SIDE:,} pixels")
    scans = _count_scans(content) if content.startswith(_JPEG) else 1
    if scans * pixels > MAX_SCANNED_PIXELS:
        raise OSError(f"{scans:,} scans of {pixels:,} pixels: save it again, not progressive")
    if image.mode in WIDE_MODES:
        raise OSError("16 bits or more per pixel of grey: save it with 8 bits")


def _count_scans(content: bytes) -> int:
    """Return the number of scans of a JPEG up to its end, behind which anything may follow."""
    scans, position = 0, len(_JPEG)
    while (marker := _MARKER.search(content, position)) and marker[1] != _END_OF_IMAGE:
        scans += marker[1] == _START_OF_SCAN
        length = int.from_bytes(content[marker.end() : marker.end() + 2], "big")
        position = marker.end() + length
    return scans
