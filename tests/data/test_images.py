"""Decoding and normalization, compared with torchvision's transforms."""

from pathlib import Path

import pytest
import torch
from PIL import Image
from torchvision.transforms import v2

from catsdogs.data.images import MEAN, STD, decode, normalise
from tests.support.images import write_image


def test_pixels_equal_those_of_torchvisions_resize_and_normalize(tmp_path: Path) -> None:
    write_image(tmp_path / "picture.png")
    image = Image.open(tmp_path / "picture.png")
    expected = v2.Compose(
        [
            v2.Resize((256, 256), interpolation=v2.InterpolationMode.BICUBIC),
            v2.ToImage(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(MEAN, STD),
        ]
    )(image)
    ours = normalise(decode(tmp_path / "picture.png")[None])[0]
    torch.testing.assert_close(ours, expected.as_subclass(torch.Tensor), atol=1e-6, rtol=0)


def test_a_photograph_taken_sideways_is_turned_upright(tmp_path: Path) -> None:
    image = Image.new("RGB", (40, 20))
    image.paste((255, 0, 0), (0, 0, 20, 20))
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera's top is the image's right
    image.save(tmp_path / "sideways.png", exif=exif)
    red = decode(tmp_path / "sideways.png")[0].float()
    assert red[:100].mean() > 250
    assert red[156:].mean() < 5


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "LA", "CMYK"])
def test_every_mode_becomes_three_channels(tmp_path: Path, mode: str) -> None:
    suffix = "jpg" if mode == "CMYK" else "png"
    Image.new(mode, (5, 7)).save(tmp_path / f"picture.{suffix}")
    pixels = decode(tmp_path / f"picture.{suffix}")
    assert (pixels.shape, pixels.dtype) == ((3, 256, 256), torch.uint8)
