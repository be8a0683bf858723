"""Images: limits, orientation, Pillow's warnings, and odd names from the folder to the report."""

import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from PIL import Image

from catsdogs import report, train
from catsdogs.data.images import MAX_PIXELS, decode, read_image
from catsdogs.data.images import _count_scans as count_scans
from catsdogs.data.manifest import make_manifest
from catsdogs.runs.reader import read_run
from tests.bad_input.image_cases import (
    ONE_OF_EACH,
    USED,
    animated,
    good_folder,
    noise,
    not_utf8,
    png,
    progressive,
    saved,
)
from tests.support.catalogue import pinned_rows
from tests.support.images import write_image
from tests.support.processes import environment

# catsdogs.data.images filters warnings too, but pytest runs under filters of its own.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder of classes with three good images of each."""
    return good_folder(tmp_path)


@pytest.fixture(scope="module")
def too_large() -> str:
    """Return the reason with which an image of too many pixels is left out."""
    return pinned_rows()["10,000 x 10,000 pixels"].split(": ")[1].removesuffix(" |")


def test_a_bomb_is_refused_by_its_header_before_anything_is_decoded(
    folder: Path, too_large: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(*_: object) -> None:
        raise AssertionError("decoded")

    (folder / "cats" / "x.png").write_bytes(png(30_000, 30_000, 9))
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", forbidden)
    with pytest.raises(OSError, match=too_large):
        decode(folder / "cats" / "x.png")
    with pytest.raises(OSError, match="decoded"):
        decode(folder / "cats" / "1.png")


def test_a_jpeg_with_many_scans_is_refused_at_once_and_with_as_many_bytes_behind_its_end_used(
    tmp_path: Path,
) -> None:
    hostile = tmp_path / "hostile.jpg"
    hostile.write_bytes(progressive(8000, 20_000))
    started = time.thread_time()
    with pytest.raises(OSError, match="20,000 scans of 64,000,000 pixels: save it again"):
        decode(hostile)
    assert time.thread_time() - started < 5, "decoding it would take an hour"
    plain = saved(noise(), "JPEG")
    (tmp_path / "with_video.jpg").write_bytes(plain + b"\xff\xda" * 10**6)
    assert decode(tmp_path / "with_video.jpg").shape == (3, 256, 256)
    assert count_scans(plain) == 1
    assert count_scans(saved(noise(), "JPEG", progressive=True)) == 10


def test_an_image_that_takes_too_long_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pillow joins the comments of a GIF one by one, which takes the square of their number."""
    data = saved(noise(), "GIF")
    block = b"\xff" + b"x" * 255
    start = data.index(b",", 13 + 3 * 256)  # after the header and its palette
    (tmp_path / "x.gif").write_bytes(
        data[:start] + b"!\xfe" + block * 200_000 + b"\0" + data[start:]
    )
    monkeypatch.setattr("catsdogs.data.images.MAX_SECONDS", 0.2)
    with pytest.raises(OSError, match=r"takes more than 0\.2 s to decode"):
        decode(tmp_path / "x.gif")


def test_large_images_are_decoded_one_at_a_time(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_once = 0
    most: dict[tuple[int, int], int] = {}

    def transpose(image: Image.Image, in_place: bool) -> None:
        nonlocal at_once
        at_once += 1
        time.sleep(0.02)
        most[image.size] = max(most.get(image.size, 0), at_once)
        at_once -= 1

    monkeypatch.setattr("catsdogs.data.images.ImageOps.exif_transpose", transpose)
    monkeypatch.setattr("catsdogs.data.images.LARGE_PIXELS", 300)
    for rows in (100, 101):
        (folder / f"{rows}.png").write_bytes(saved(Image.new("RGB", (3, rows)), "PNG"))
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(read_image, [folder / f"{rows}.png"] * 4))
    assert most[3, 100] > 1
    assert most[3, 101] == 1


def test_the_largest_image_that_is_decoded_is_used(
    folder: Path, too_large: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert MAX_PIXELS == Image.MAX_IMAGE_PIXELS
    for bound in ("PIL.Image.MAX_IMAGE_PIXELS", "catsdogs.data.images.MAX_PIXELS"):
        monkeypatch.setattr(bound, 300)
    for rows in (100, 101):
        Image.new("RGB", (3, rows)).save(folder / "cats" / f"{rows}.png")
    status = {
        p.path: p.status for p in make_manifest(folder, ONE_OF_EACH, max_bad_fraction=1).images
    }
    assert (status["cats/100.png"], status["cats/101.png"]) == ("ok", too_large)


def test_pillows_warnings_are_not_printed_beside_the_one_line(
    tmp_path: Path, too_large: str
) -> None:
    (tmp_path / "palette.png").write_bytes(saved(noise("P"), "PNG", transparency=bytes(5)))
    (tmp_path / "large.png").write_bytes(png(10_000, 10_000, 9))
    code = """
from catsdogs.data.images import decode
decode("palette.png")
try:
    decode("large.png")
except OSError as error:
    print(error)
"""
    result = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
    )
    assert (result.stdout, result.stderr) == (f"{too_large}\n", "")


def test_an_orientation_and_a_first_frame_are_seen_in_the_pixels(tmp_path: Path) -> None:
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
    assert "skipped: 2 unreadable images, the first dogs/a\\nb.jpg" in capfd.readouterr().out
    (directory,) = Path("runs").iterdir()
    test = read_run(directory).test
    assert test is not None
    assert {f"{kind}/{name}" for kind in ("cats", "dogs") for name in names} <= set(test.paths)
    assert run(report.main, "runs=runs") == 0
    assert "<b>|" not in Path("runs/report/index.html").read_text()
