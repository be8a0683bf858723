"""Results of a prediction: upright thumbnails, and a contact sheet of the right images."""

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from PIL.Image import Exif

from catsdogs.inference.predictions import Prediction
from catsdogs.inference.results import (
    MOST_ON_SHEET,
    SIDE,
    prediction_sheet,
    thumbnails,
    write_results,
)
from catsdogs.io.thumbnails import Tile
from tests.support.images import write_image

ORIENTATION = 0x0112


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_a_thumbnail_is_upright_and_keeps_the_aspect_ratio(
    tmp_path: Path, orientation: int
) -> None:
    upright = Image.new("RGB", (400, 200), "blue")
    upright.paste("red", (0, 0, 200, 200))  # the left half
    stored = {1: 0, 3: 180, 6: 90, 8: 270}[orientation]
    exif = Exif()
    exif[ORIENTATION] = orientation
    upright.rotate(stored, expand=True).save(tmp_path / "a.jpg", exif=exif, quality=95)
    (small,) = thumbnails([tmp_path / "a.jpg"])
    assert small is not None
    assert small.size == (SIDE, SIDE // 2)
    assert small.getpixel((10, 48)) == pytest.approx((254, 0, 0), abs=3)
    assert small.getpixel((SIDE - 10, 48)) == pytest.approx((0, 0, 254), abs=3)


def test_a_file_that_can_no_longer_be_read_has_no_thumbnail(tmp_path: Path) -> None:
    write_image(tmp_path / "here.png")
    (tmp_path / "damaged.png").write_bytes((tmp_path / "here.png").read_bytes()[:100])
    names = ("gone.png", "here.png", "damaged.png")
    small = thumbnails([tmp_path / name for name in names])
    assert [image is None for image in small] == [True, False, True]


def record_sheets(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Record what each contact sheet is made of instead of drawing it."""
    sheets = []

    def record(tiles: Sequence[Tile], **options: Any) -> Image.Image:
        sheets.append({"tiles": tiles, **options})
        return Image.new("RGB", (1, 1))

    monkeypatch.setattr("catsdogs.inference.results.contact_sheet", record)
    return sheets


def test_many_images_are_shown_from_the_most_confident_cat_to_the_most_confident_dog(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sheets = record_sheets(monkeypatch)
    logits = [float(n) for n in range(-70, 80)]
    random.Random(0).shuffle(logits)
    write_image(tmp_path / "a.png")
    for logit in logits:
        (tmp_path / f"{logit}.png").symlink_to("a.png")
    predictions = [Prediction(tmp_path / f"{logit}.png", logit) for logit in logits]
    write_results(predictions, "x", tmp_path / "out")
    (sheet,) = sheets
    shown = [float(tile.caption[1].text.removesuffix(".png")) for tile in sheet["tiles"]]
    assert (len(shown), shown[0], shown[-1]) == (MOST_ON_SHEET, 79.0, -70.0)
    assert shown == sorted(shown, reverse=True)
    assert sheet["heading"].text == (
        "150 images: 79 cats, 71 dogs; showing 60, evenly spaced from the most confident cat to "
        "the most confident dog"
    )


@pytest.mark.parametrize(("count", "columns"), [(1, 4), (7, 7), (60, 10)])
def test_a_sheet_has_four_to_ten_columns(
    count: int, columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    sheets = record_sheets(monkeypatch)
    prediction_sheet([(Prediction(Path("x.jpg"), -1.0), None)] * count, "heading")
    assert sheets[0]["columns"] == columns
    assert [line.text for line in sheets[0]["tiles"][0].caption] == ["dog 73.1 %", "x.jpg"]
