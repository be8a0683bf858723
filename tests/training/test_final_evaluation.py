"""Mistakes: wrong predictions, the most confident first, with thumbnails without metadata."""

import errno
import logging
import math
from pathlib import Path

import pytest
from PIL import Image
from PIL.Image import Exif

from catsdogs.runs.mistakes import Mistake, contact_sheet
from catsdogs.training import final_evaluation
from catsdogs.training.final_evaluation import MOST, keep_thumbnails, worst_mistakes
from tests.support.faults import failing
from tests.support.images import write_image

ORIENTATION, ROTATED = 0x0112, 6


def test_mistakes_are_the_wrong_predictions_the_most_confident_first_and_ties_by_path() -> None:
    predictions = [
        ("right_cat", 1, 9.0),
        ("right_dog", 0, -9.0),
        ("dog_z", 0, 2.0),
        ("cat", 1, -3.0),
        ("dog_a", 0, 2.0),
        ("cat_at_zero", 1, 0.0),  # 0 means dog
        ("dog_at_zero", 0, 0.0),
    ]
    assert worst_mistakes(predictions) == [
        Mistake(1, "cat", 1, -3.0),
        Mistake(2, "dog_a", 0, 2.0),
        Mistake(3, "dog_z", 0, 2.0),
        Mistake(4, "cat_at_zero", 1, 0.0),
    ]


def test_the_twelve_most_confident_mistakes_are_kept() -> None:
    mistakes = worst_mistakes((f"{n:02}", 0, float(n)) for n in range(1, 40))
    assert [mistake.logit for mistake in mistakes] == [float(n) for n in range(39, 39 - MOST, -1)]
    assert [mistake.rank for mistake in mistakes] == list(range(1, 13))


def test_a_logit_of_nan_means_dog_and_comes_last() -> None:
    predictions = [("b", 1, math.nan), ("a", 0, math.nan), ("c", 1, -1.0), ("d", 0, math.inf)]
    assert [mistake.path for mistake in worst_mistakes(predictions)] == ["d", "c", "b"]


def test_a_thumbnail_is_upright_and_small_with_its_aspect_and_without_metadata(
    tmp_path: Path,
) -> None:
    exif = Exif()
    exif[ORIENTATION] = ROTATED
    photo = Image.effect_noise((1200, 600), 100).convert("RGB")
    photo.save(tmp_path / "photo.jpg", exif=exif, comment=b"at home", icc_profile=b"profile")
    (kept,) = keep_thumbnails([Mistake(1, "photo.jpg", 1, -1.0)], tmp_path, tmp_path)
    assert kept.file == "mistakes/1.jpg"
    with Image.open(tmp_path / kept.file) as thumbnail:
        assert thumbnail.format == "JPEG"
        assert thumbnail.size == (80, 160)
        assert not thumbnail.getexif()
        assert not {"comment", "icc_profile", "exif"} & set(thumbnail.info)
    assert (tmp_path / kept.file).stat().st_size < 10_000


@pytest.mark.parametrize("mode", ["RGBA", "P", "L", "LA", "CMYK"])
def test_an_image_of_any_mode_has_a_thumbnail(tmp_path: Path, mode: str) -> None:
    name = "a.jpg" if mode == "CMYK" else "a.png"
    Image.new(mode, (300, 200)).save(tmp_path / name)
    (kept,) = keep_thumbnails([Mistake(1, name, 0, 1.0)], tmp_path, tmp_path)
    with Image.open(tmp_path / kept.file) as thumbnail:
        assert (thumbnail.mode, thumbnail.size) == ("RGB", (160, 107))


def test_an_absent_or_damaged_image_has_a_warning_instead_of_a_thumbnail(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_image(tmp_path / "here.jpg")
    (tmp_path / "damaged.jpg").write_bytes((tmp_path / "here.jpg").read_bytes()[:200])
    names = ["gone.jpg", "here.jpg", "damaged.jpg"]
    mistakes = [Mistake(rank, name, 0, 1.0) for rank, name in enumerate(names, start=1)]
    with caplog.at_level(logging.WARNING):
        kept = keep_thumbnails(mistakes, tmp_path, tmp_path)
    assert [mistake.file for mistake in kept] == ["", "mistakes/2.jpg", ""]
    assert [mistake.path for mistake in kept] == names
    assert [file.name for file in (tmp_path / "mistakes").iterdir()] == ["2.jpg"]
    assert [record.args[0] for record in caplog.records if isinstance(record.args, tuple)] == [
        "gone.jpg",
        "damaged.jpg",
    ]


def test_the_sheet_has_each_thumbnail_in_its_place_and_leaves_absent_ones_white(
    tmp_path: Path,
) -> None:
    colours = {1: (200, 0, 0), 6: (0, 0, 200)}
    (tmp_path / "mistakes").mkdir()
    for rank, colour in colours.items():
        Image.new("RGB", (160, 160), colour).save(tmp_path / f"mistakes/{rank}.jpg", quality=95)
    mistakes = [
        Mistake(rank, "x", 0, 1.0, f"mistakes/{rank}.jpg" if rank in colours else "")
        for rank in range(1, 7)
    ]
    sheet = contact_sheet(mistakes, tmp_path)
    assert sheet.size == (4 * 168 + 8, 2 * 194 + 8)
    assert sheet.getpixel((88, 88)) == pytest.approx(colours[1], abs=4)
    assert sheet.getpixel((256, 88)) == (236, 238, 241)
    assert sheet.getpixel((256, 282)) == pytest.approx(colours[6], abs=4)


def test_a_disk_that_fails_ends_the_run_which_can_be_resumed_with_every_thumbnail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(final_evaluation, "read_image", failing(errno.EIO))
    with pytest.raises(OSError, match="Input/output error"):
        keep_thumbnails([Mistake(1, "photo.jpg", 1, -1.0)], tmp_path, tmp_path)
    assert not (tmp_path / "mistakes").exists()
