"""Pictures that are not as they should be: used as what, or left out with which reason."""

import io
import os
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image

from catsdogs import report, train
from catsdogs.data.images import MAX_PIXELS, ImageFiles, decode, read_image
from catsdogs.data.manifest import Split, make_manifest
from catsdogs.io.text import is_one_line
from catsdogs.runs.reader import read_run
from tests.support.catalogue import Case, ImageCase, Make, judge
from tests.support.images import write_image

NO_IMAGE = "no picture of JPEG, PNG, WebP, GIF or BMP"
GREY = "grey of 16 bits or more, of which 8 would be used: save it with 8"
TOO_LARGE = "more than the 89,478,485 pixels that are decoded"
BAD_NAME = "its name is not one line of UTF-8: rename it"
# The filters that catsdogs.data.images sets are not those under which pytest runs.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")
ONE: dict[Split, int] = {"train": 1, "val": 1, "test": 1}


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    data = io.BytesIO()
    image.save(data, kind, **options)
    return data.getvalue()


def noise(mode: str = "RGB") -> Image.Image:
    return Image.effect_noise((64, 64), 80).convert(mode)


def content(data: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(data)


def cut(data: bytes) -> bytes:
    return data[: len(data) * 3 // 4]


def png(width: int, height: int, rows: int, *more: tuple[bytes, bytes]) -> bytes:
    """Return a PNG whose header may tell another size than its rows have, with more chunks."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = zlib.compress(bytes(3 * width + 1) * rows)
    parts = ((b"IHDR", header), *more, (b"IDAT", body), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in parts
    )


def turned(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return saved(noise(), "JPEG", exif=exif)


def not_utf8(path: Path) -> None:
    write_image(path)
    path.rename(path.with_name(os.fsdecode(b"\xff\xfe.jpg")))


def animated(kind: str) -> bytes:
    frames = [Image.new("RGB", (9, 9), colour) for colour in ("red", "blue")]
    return saved(frames[0], kind, save_all=True, append_images=frames[1:])


USED = [
    ImageCase(
        "a PNG under the name of a JPEG",
        "used",
        "x.jpg",
        content(saved(noise(), "PNG")),
        "its content decides",
    ),
    ImageCase(
        "a GIF under the name of a JPEG",
        "used",
        "x.jpg",
        content(saved(noise(), "GIF")),
        "its content decides",
    ),
    ImageCase(
        "a BMP under the name of a JPEG",
        "used",
        "x.jpg",
        content(saved(noise(), "BMP")),
        "its content decides",
    ),
    ImageCase("animated (GIF)", "used", "x.jpg", content(animated("GIF")), "its first image"),
    ImageCase("animated (PNG)", "used", "x.png", content(animated("PNG")), "its first image"),
    ImageCase("animated (WebP)", "used", "x.webp", content(animated("WEBP")), "its first image"),
    ImageCase("in CMYK", "used", "x.jpg", content(saved(noise("CMYK"), "JPEG")), "in RGB"),
    ImageCase("grey, with 8 bits", "used", "x.png", content(saved(noise("L"), "PNG")), "in RGB"),
    ImageCase("black and white", "used", "x.png", content(saved(noise("1"), "PNG")), "in RGB"),
    ImageCase(
        "transparent",
        "used",
        "x.png",
        content(saved(noise("RGBA"), "PNG")),
        "without its transparency",
    ),
    ImageCase(
        "a transparent palette",
        "used",
        "x.png",
        content(saved(noise("P"), "PNG", transparency=bytes(5))),
        "without its transparency",
    ),
    ImageCase("turned by EXIF", "used", "x.jpg", content(turned(6)), "upright"),
    ImageCase(
        "turned by EXIF that makes no sense",
        "used",
        "x.jpg",
        content(turned(77)),
        "as it is stored",
    ),
    ImageCase(
        "one pixel",
        "used",
        "x.png",
        content(saved(Image.new("RGB", (1, 1)), "PNG")),
        "stretched to 256 x 256",
    ),
    ImageCase(
        "a line of 9,999 pixels",
        "used",
        "x.png",
        content(saved(Image.new("RGB", (9999, 1)), "PNG")),
        "stretched to 256 x 256",
    ),
    ImageCase(
        "a link to a picture",
        "used",
        "x.jpg",
        lambda path: path.symlink_to(write_other(path)),
        "the picture it leads to",
    ),
    ImageCase(
        "named with quotes, commas and markup",
        "used",
        'a,"b" <b>|`$.jpg',
        write_image,
        "with its name as it is",
    ),
    ImageCase(
        "named in another script", "used", "кошка 🐈.jpg", write_image, "with its name as it is"
    ),
]
LEFT_OUT = [
    ImageCase("empty", "empty", "x.jpg", content(b"")),
    ImageCase("text", NO_IMAGE, "x.jpg", content(b"<html>404 not found</html>")),
    ImageCase(
        "a TIFF, a format that is not read", NO_IMAGE, "x.jpg", content(saved(noise(), "TIFF"))
    ),
    ImageCase(
        "EPS, which is a program",
        NO_IMAGE,
        "x.jpg",
        content(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(ran) (w) file\n"),
    ),
    ImageCase(
        "a truncated JPEG",
        "image file is truncated...",
        "x.jpg",
        content(cut(saved(noise(), "JPEG"))),
    ),
    ImageCase(
        "a truncated PNG",
        "image file is truncated...",
        "x.png",
        content(cut(saved(noise(), "PNG"))),
    ),
    ImageCase(
        "a truncated WebP",
        "could not create decoder object",
        "x.webp",
        content(cut(saved(noise(), "WEBP"))),
    ),
    ImageCase(
        "a truncated GIF",
        "image file is truncated...",
        "x.jpg",
        content(cut(saved(noise(), "GIF"))),
    ),
    ImageCase(
        "the header of a JPEG and no more",
        "...Truncated File Read...",
        "x.jpg",
        content(saved(noise(), "JPEG")[:200]),
    ),
    ImageCase(
        "grey, with 16 bits", GREY, "x.png", content(saved(Image.new("I;16", (9, 9), 700), "PNG"))
    ),
    ImageCase(
        "a comment of ten megabytes in a few kilobytes",
        "damaged (ValueError: ...)",
        "x.png",
        content(png(9, 9, 9, (b"zTXt", b"Comment\0\0" + zlib.compress(bytes(10**7))))),
    ),
    ImageCase(
        "30,000 x 30,000 pixels in a few kilobytes",
        TOO_LARGE,
        "x.png",
        content(png(30_000, 30_000, 9)),
    ),
    ImageCase("10,000 x 10,000 pixels", TOO_LARGE, "x.png", content(png(10_000, 10_000, 9))),
    ImageCase(
        "a link to nowhere",
        "No such file or directory",
        "x.jpg",
        lambda path: path.symlink_to("nowhere.jpg"),
    ),
    ImageCase(
        "a link to itself",
        "Too many levels of symbolic links",
        "x.jpg",
        lambda path: path.symlink_to("x.jpg"),
    ),
    ImageCase("a pipe", "no regular file", "x.jpg", os.mkfifo),
    ImageCase(
        "a link to a device without end",
        "no regular file",
        "x.jpg",
        lambda path: path.symlink_to("/dev/zero"),
    ),
    ImageCase("not UTF-8 in its name", BAD_NAME, "x.jpg", not_utf8),
    ImageCase("a line break in its name", BAD_NAME, "a\nb.jpg", write_image),
    ImageCase("a carriage return in its name", BAD_NAME, "a\rb.jpg", write_image),
    ImageCase("a command for the terminal in its name", BAD_NAME, "\x1b[2J.jpg", write_image),
]
IMAGES = [*USED, *LEFT_OUT]


def written(*names: str, unreadable: str = "") -> Make:
    def make(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in names:
            write_image(folder / "d" / name)
        if unreadable:
            (folder / "d" / unreadable).write_text("no picture")

    return make


def write_other(path: Path) -> Path:
    other = path.parent.parent / "elsewhere.jpg"
    write_image(other)
    return other


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder of classes with three good pictures of each."""
    for name in ("cats", "dogs"):
        for number in range(3):
            write_image(tmp_path / "root" / name / f"{number}.png", number)
    return tmp_path / "root"


@pytest.mark.parametrize("case", IMAGES, ids=str)
def test_an_image_is_used_or_left_out_with_its_reason(folder: Path, case: ImageCase) -> None:
    case.make(folder / "cats" / case.name)
    manifest = make_manifest(folder, ONE, max_bad_fraction=0.5)
    assert len(manifest.images) == 7
    if case.outcome == "used":
        assert not manifest.unreadable
        seen = decode(folder / "cats" / case.name)
        assert (seen.shape, seen.dtype) == ((3, 256, 256), torch.uint8)
        return
    (left_out,) = manifest.unreadable
    assert case.pattern.fullmatch(left_out.status), left_out.status
    assert is_one_line(left_out.path)
    assert make_manifest(folder, ONE, max_bad_fraction=0.5) == manifest, "kept otherwise"


def test_a_bomb_is_refused_by_its_header_before_anything_is_decoded(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(*_: object) -> None:
        raise AssertionError("opened up")

    (folder / "cats" / "x.png").write_bytes(png(30_000, 30_000, 9))
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", forbidden)
    with pytest.raises(OSError, match=TOO_LARGE):
        decode(folder / "cats" / "x.png")
    with pytest.raises(OSError, match="opened up"):
        decode(folder / "cats" / "1.png")


def test_the_largest_image_that_is_decoded_is_used(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert MAX_PIXELS == Image.MAX_IMAGE_PIXELS
    for bound in ("PIL.Image.MAX_IMAGE_PIXELS", "catsdogs.data.images.MAX_PIXELS"):
        monkeypatch.setattr(bound, 300)
    for rows in (100, 101):
        Image.new("RGB", (3, rows)).save(folder / "cats" / f"{rows}.png")
    status = {p.path: p.status for p in make_manifest(folder, ONE, max_bad_fraction=1).images}
    assert (status["cats/100.png"], status["cats/101.png"]) == ("ok", TOO_LARGE)


def test_what_pillow_warns_of_is_not_said_beside_the_one_line(tmp_path: Path) -> None:
    (tmp_path / "palette.png").write_bytes(saved(noise("P"), "PNG", transparency=bytes(5)))
    (tmp_path / "large.png").write_bytes(png(10_000, 10_000, 9))
    code = """
from catsdogs.data.images import MAX_PIXELS, PictureFiles, decode, read_picture
decode("palette.png")
try:
    decode("large.png")
except OSError as error:
    print(error)
"""
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    answer = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert (answer.stdout, answer.stderr) == (f"{TOO_LARGE}\n", "")


def test_an_orientation_and_a_first_image_are_seen_in_the_pixels(tmp_path: Path) -> None:
    (tmp_path / "animated.gif").write_bytes(animated("GIF"))
    assert decode(tmp_path / "animated.gif")[:, 9, 9].tolist() == [255, 0, 0]
    wide = Image.new("RGB", (40, 20))
    wide.paste((255, 0, 0), (0, 0, 20, 20))
    exif = Image.Exif()
    exif[0x0112] = 6
    (tmp_path / "turned.png").write_bytes(saved(wide, "PNG", exif=exif))
    assert read_image(tmp_path / "turned.png").size == (20, 40)


def test_odd_names_pass_through_a_run_and_its_report(
    folder: Path, run: Callable[..., int], capfd: pytest.CaptureFixture[str]
) -> None:
    names = [case.name for case in USED if case.make is write_image]
    assert len(names) == 2
    for kind, seed in (("cats", 0), ("dogs", 9)):
        for number, name in enumerate(names):
            write_image(folder / kind / name, seed + number)
    not_utf8(folder / "cats" / "x.jpg")
    write_image(folder / "dogs" / "a\nb.jpg")
    sizes = ["data.train_per_class=1", "data.val_per_class=1", "data.test_per_class=3"]
    data = ["data=folder", f"data.root={folder}", "data.max_bad_fraction=0.5", "data.workers=0"]
    assert run(train.main, *data, *sizes, "epochs=1", "output_dir=runs") == 0
    assert "left out: 2 unreadable pictures, the first dogs/a\\nb.jpg" in capfd.readouterr().out
    (directory,) = Path("runs").iterdir()
    test = read_run(directory).test
    assert test is not None
    assert {f"{kind}/{name}" for kind in ("cats", "dogs") for name in names} <= set(test.paths)
    assert run(report.main, "runs=runs") == 0
    assert "<b>|" not in Path("runs/report/index.html").read_text()


CASES = [
    Case(
        "a folder that does not exist",
        "data.root=.../nowhere: there is no such folder",
        ["data=folder", "data.root=nowhere"],
    ),
    Case(
        "a file in place of the folder",
        "data.root=.../a_file: there is no such folder",
        ["data=folder", "data.root=a_file"],
        make=lambda f, _: (f / "a_file").touch(),
    ),
    Case(
        "an empty folder",
        "data.root=.../d: no pictures found; expected pictures named cat.N.jpg and dog.N.jpg, or folders cats/ and dogs/",
        ["data=folder", "data.root=d"],
        make=lambda f, _: (f / "d").mkdir(),
    ),
    Case(
        "a folder of other pictures",
        "data.root=.../d: no pictures found; expected pictures named cat.N.jpg and dog.N.jpg, or folders cats/ and dogs/",
        ["data=folder", "data.root=d"],
        make=lambda f, _: write_image(f / "d" / "bird.1.jpg"),
    ),
    Case(
        "a folder of cats alone",
        "data.root=.../d: 1 pictures, and no dogs among them",
        ["data=folder", "data.root=d"],
        make=lambda f, _: write_image(f / "d" / "cat.1.jpg"),
    ),
    Case(
        "a folder of both layouts",
        "data.root=.../d: holds both layouts; keep one: pictures named cat.N.jpg and dog.N.jpg, or folders cats/ and dogs/",
        ["data=folder", "data.root=d"],
        make=written("cat.1.jpg", "dog.1.jpg", "cats/1.jpg", "dogs/1.jpg"),
    ),
    Case(
        "the folder above the pictures",
        "data.root=.../d: no pictures found; expected pictures named cat.N.jpg and dog.N.jpg, or folders cats/ and dogs/. Did you mean data.root=.../d/train?",
        ["data=folder", "data.root=d"],
        make=written("train/cat.1.jpg", "train/dog.1.jpg"),
    ),
    Case(
        "too few pictures",
        "too few dogs: data.train_per_class=1000, data.val_per_class=100, data.test_per_class=100 ask for 1200, and 1 are readable",
        ["data=folder", "data.root=d"],
        make=written("cat.1.jpg", "dog.1.jpg"),
    ),
    Case(
        "too many pictures that are unreadable",
        "data.root=.../d: 1 of 2 pictures are unreadable, more than data.max_bad_fraction=0.01 allows; the first: dog.1.jpg (no picture of JPEG, PNG, WebP, GIF or BMP)",
        ["data=folder", "data.root=d"],
        make=written("cat.1.jpg", unreadable="dog.1.jpg"),
    ),
    Case(
        "a folder that links to itself",
        ".../d: a link leads back to itself; choose another path",
        ["data=folder", "data.root=d"],
        make=lambda f, _: (f / "d").symlink_to("d"),
    ),
    Case(
        "a folder of which the name is too long",
        ".../...: the name is too long; choose a shorter one",
        ["data=folder", f"data.root={'a' * 300}"],
    ),
    Case(
        "a home that does not exist",
        "data.root=~no_such_user/pictures: there is no such home; write it out",
        ["data=folder", "data.root='~no_such_user/pictures'"],
    ),
    Case(
        "a picture that vanished after it was checked",
        "data.root=...: a picture that the manifest found readable is no more; run again ([Errno 2] No such file or directory: '.../gone.jpg')",
        make=lambda f, m: m.setattr(
            "catsdogs.features.shard_cache.ImageFiles",
            lambda files: ImageFiles([*files[:-1], f / "gone.jpg"]),
        ),
        images=True,
    ),
    Case(
        "a picture that vanished, seen by another process",
        "data.root=...: a picture that the manifest found readable is no more; run again (FileNotFoundError: [Errno 2] No such file or directory: '.../gone.jpg')",
        ["data.workers=1"],
        make=lambda f, m: m.setattr(
            "catsdogs.features.shard_cache.ImageFiles",
            lambda files: ImageFiles([*files[:-1], f / "gone.jpg"]),
        ),
        images=True,
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_folder_of_images_that_cannot_work_is_refused(
    case: Case,
    run: Callable[..., int],
    small: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    judge(case, run, small, tmp_path, monkeypatch, capfd)
