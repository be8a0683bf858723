"""Odd images and odd folders of images: cases of the catalogue of bad input."""

import io
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from catsdogs.data.images import ImageFiles
from catsdogs.data.manifest import Split
from tests.support.catalogue import LONG_NAME, Case, ImageCase, Make
from tests.support.images import write_image

ONE_OF_EACH: dict[Split, int] = {"train": 1, "val": 1, "test": 1}


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    data = io.BytesIO()
    image.save(data, kind, **options)
    return data.getvalue()


def noise(mode: str = "RGB") -> Image.Image:
    values = np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8)
    return Image.fromarray(values).convert(mode)


def content(data: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(data)


def cut(data: bytes) -> bytes:
    return data[: len(data) * 3 // 4]


def png(width: int, height: int, rows: int, *more: tuple[bytes, bytes]) -> bytes:
    """Return a PNG of `rows` rows, whatever its header says, with `more` chunks."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = zlib.compress(bytes(3 * width + 1) * rows)
    parts = ((b"IHDR", header), *more, (b"IDAT", body), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in parts
    )


def progressive(side: int, scans: int) -> bytes:
    """Return a JPEG of one colour whose last scan is repeated: a few bytes for each scan."""
    data = saved(Image.new("L", (side, side), 7), "JPEG", progressive=True)
    last = data[data.rindex(b"\xff\xda") : -2]
    return data[:-2] + last * (scans - data.count(b"\xff\xda")) + b"\xff\xd9"


def turned(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return saved(noise(), "JPEG", exif=exif)


def not_utf8(path: Path) -> None:
    write_image(path)
    path.rename(path.with_name(os.fsdecode(b"\xff\xfe.jpg")))


def sparse(size: int) -> Callable[[Path], object]:
    """Return a function that writes a file of zeros which takes no space on the disk."""

    def make(path: Path) -> None:
        path.touch()
        os.truncate(path, size)

    return make


def animated(kind: str) -> bytes:
    frames = [Image.new("RGB", (9, 9), colour) for colour in ("red", "blue")]
    return saved(frames[0], kind, save_all=True, append_images=frames[1:])


USED = [
    ImageCase(
        "a PNG under the name of a JPEG",
        "x.jpg",
        content(saved(noise(), "PNG")),
        "its content decides",
    ),
    ImageCase(
        "a GIF under the name of a JPEG",
        "x.jpg",
        content(saved(noise(), "GIF")),
        "its content decides",
    ),
    ImageCase(
        "a BMP under the name of a JPEG",
        "x.jpg",
        content(saved(noise(), "BMP")),
        "its content decides",
    ),
    ImageCase("an animation (GIF)", "x.jpg", content(animated("GIF")), "its first frame"),
    ImageCase("an animation (PNG)", "x.png", content(animated("PNG")), "its first frame"),
    ImageCase("an animation (WebP)", "x.webp", content(animated("WEBP")), "its first frame"),
    ImageCase("in CMYK", "x.jpg", content(saved(noise("CMYK"), "JPEG")), "in RGB"),
    ImageCase("grey, with 8 bits", "x.png", content(saved(noise("L"), "PNG")), "in RGB"),
    ImageCase("black and white", "x.png", content(saved(noise("1"), "PNG")), "in RGB"),
    ImageCase(
        "transparent", "x.png", content(saved(noise("RGBA"), "PNG")), "without its transparency"
    ),
    ImageCase(
        "a transparent palette",
        "x.png",
        content(saved(noise("P"), "PNG", transparency=bytes(5))),
        "without its transparency",
    ),
    ImageCase("turned by EXIF", "x.jpg", content(turned(6)), "upright"),
    ImageCase("turned by an invalid EXIF value", "x.jpg", content(turned(77)), "as it is stored"),
    ImageCase(
        "one pixel",
        "x.png",
        content(saved(Image.new("RGB", (1, 1)), "PNG")),
        "stretched to 256 x 256",
    ),
    ImageCase(
        "a line of 9,999 pixels",
        "x.png",
        content(saved(Image.new("RGB", (9999, 1)), "PNG")),
        "stretched to 256 x 256",
    ),
    ImageCase(
        "a progressive JPEG of 1,000 x 1,000 pixels in 40 scans",
        "x.jpg",
        content(progressive(1000, 40)),
        "in RGB",
    ),
    ImageCase(
        "a link to an image",
        "x.jpg",
        lambda path: path.symlink_to(write_other(path)),
        "the image it points to",
    ),
    ImageCase(
        "named with quotes, commas and markup",
        'a,"b" <b>|`$.jpg',
        write_image,
        "with its name as it is",
    ),
    ImageCase("named in Cyrillic and emoji", "кошка 🐈.jpg", write_image, "with its name as it is"),
]
LEFT_OUT = [
    ImageCase("empty", "x.jpg", content(b"")),
    ImageCase("text", "x.jpg", content(b"<html>404 not found</html>")),
    ImageCase("a TIFF (an unsupported format)", "x.jpg", content(saved(noise(), "TIFF"))),
    ImageCase(
        "an EPS file (a program)",
        "x.jpg",
        content(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(ran) (w) file\n"),
    ),
    ImageCase("a truncated JPEG", "x.jpg", content(cut(saved(noise(), "JPEG")))),
    ImageCase("a truncated PNG", "x.png", content(cut(saved(noise(), "PNG")))),
    ImageCase("a truncated WebP", "x.webp", content(cut(saved(noise(), "WEBP")))),
    ImageCase("a truncated GIF", "x.jpg", content(cut(saved(noise(), "GIF")))),
    ImageCase("the header of a JPEG alone", "x.jpg", content(saved(noise(), "JPEG")[:200])),
    ImageCase("grey, with 16 bits", "x.png", content(saved(Image.new("I;16", (9, 9), 700), "PNG"))),
    ImageCase(
        "a comment of ten megabytes in a few kilobytes",
        "x.png",
        content(png(9, 9, 9, (b"zTXt", b"Comment\0\0" + zlib.compress(bytes(10**7))))),
    ),
    ImageCase(
        "30,000 x 30,000 pixels in a few kilobytes", "x.png", content(png(30_000, 30_000, 9))
    ),
    ImageCase("10,000 x 10,000 pixels", "x.png", content(png(10_000, 10_000, 9))),
    ImageCase("10 pixels more than 65,535 in a line", "x.png", content(png(65_545, 1, 1))),
    ImageCase(
        "a progressive JPEG of 5,000 x 5,000 pixels in 1,000 scans",
        "x.jpg",
        content(progressive(5000, 1000)),
    ),
    ImageCase("a file of a terabyte without content", "x.jpg", sparse(2**40)),
    ImageCase("a link to nowhere", "x.jpg", lambda path: path.symlink_to("nowhere.jpg")),
    ImageCase("a link to itself", "x.jpg", lambda path: path.symlink_to("x.jpg")),
    ImageCase("a pipe", "x.jpg", os.mkfifo),
    ImageCase("a link to an endless device", "x.jpg", lambda path: path.symlink_to("/dev/zero")),
    ImageCase("not UTF-8 in its name", "x.jpg", not_utf8),
    ImageCase("a line break in its name", "a\nb.jpg", write_image),
    ImageCase("a carriage return in its name", "a\rb.jpg", write_image),
    ImageCase("a terminal escape sequence in its name", "\x1b[2J.jpg", write_image),
]
IMAGES = [*USED, *LEFT_OUT]


def good_folder(parent: Path) -> Path:
    """Write a folder of classes with three good images of each and return it."""
    for name in ("cats", "dogs"):
        for number in range(3):
            write_image(parent / "root" / name / f"{number}.png", number + 3 * (name == "cats"))
    return parent / "root"


def written(*names: str, unreadable: str = "") -> Make:
    def make(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in names:
            write_image(folder / "d" / name)
        if unreadable:
            (folder / "d" / unreadable).write_text("not an image")

    return make


def write_other(path: Path) -> Path:
    other = path.parent.parent / "elsewhere.jpg"
    write_image(other)
    return other


CASES = [
    Case("a folder that does not exist", ["data=folder", "data.root=nowhere"]),
    Case(
        "a file in place of the folder",
        ["data=folder", "data.root=a_file"],
        make=lambda f, _: (f / "a_file").touch(),
    ),
    Case("an empty folder", ["data=folder", "data.root=d"], make=lambda f, _: (f / "d").mkdir()),
    Case(
        "a folder of other animals",
        ["data=folder", "data.root=d"],
        make=lambda f, _: write_image(f / "d" / "bird.1.jpg"),
    ),
    Case(
        "a folder of cats only",
        ["data=folder", "data.root=d"],
        make=lambda f, _: write_image(f / "d" / "cat.1.jpg"),
    ),
    Case(
        "a folder with both layouts",
        ["data=folder", "data.root=d"],
        make=written("cat.1.jpg", "dog.1.jpg", "cats/1.jpg", "dogs/1.jpg"),
    ),
    Case(
        "the parent of the folder of images",
        ["data=folder", "data.root=d"],
        make=written("train/cat.1.jpg", "train/dog.1.jpg"),
    ),
    Case("too few images", ["data=folder", "data.root=d"], make=written("cat.1.jpg", "dog.1.jpg")),
    Case(
        "too many unreadable images",
        ["data=folder", "data.root=d"],
        make=written("cat.1.jpg", unreadable="dog.1.jpg"),
    ),
    Case(
        "a folder that links to itself",
        ["data=folder", "data.root=d"],
        make=lambda f, _: (f / "d").symlink_to("d"),
    ),
    Case("a folder with too long a name", ["data=folder", f"data.root={LONG_NAME}"]),
    Case(
        "a folder in the home of an unknown user",
        ["data=folder", "data.root='~no_such_user/images'"],
    ),
    Case(
        "an image deleted after it was checked",
        make=lambda f, m: m.setattr(
            "catsdogs.features.shard_cache.ImageFiles",
            lambda files: ImageFiles([*files[:-1], (f / "gone.jpg", "")]),
        ),
        images=True,
    ),
    Case(
        "an image deleted after it was checked, with data.workers=1",
        ["data.workers=1"],
        make=lambda f, m: m.setattr(
            "catsdogs.features.shard_cache.ImageFiles",
            lambda files: ImageFiles([*files[:-1], (f / "gone.jpg", "")]),
        ),
        images=True,
    ),
]
