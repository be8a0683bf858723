"""Thumbnails and contact sheets: small, without metadata, and each image in its place."""

import pytest
from PIL import Image

from catsdogs.io.thumbnails import Line, Tile, contact_sheet, thumbnail

RED, BLUE, GREY, WHITE = (200, 0, 0), (0, 0, 200), (236, 238, 241), (255, 255, 255)


@pytest.mark.parametrize(
    ("size", "small"), [((600, 300), (48, 24)), ((30, 60), (24, 48)), ((3000, 1), (48, 1))]
)
def test_a_thumbnail_keeps_the_aspect_ratio(size: tuple[int, int], small: tuple[int, int]) -> None:
    assert thumbnail(Image.new("RGB", size), 48).size == small


def test_a_small_image_is_not_enlarged_and_the_image_itself_is_not_changed() -> None:
    image = Image.new("RGB", (20, 10), RED)
    image.info["comment"] = b"private"
    small = thumbnail(image, 48)
    assert (small.size, small.getpixel((0, 0)), small.info) == ((20, 10), RED, {})
    assert image.info == {"comment": b"private"}
    thumbnail(image, 8)
    assert image.size == (20, 10)


def test_each_image_is_fitted_into_its_place_above_its_caption() -> None:
    tiles = [
        Tile(Image.new("RGB", (48, 24), RED), [Line("wide", 10)]),
        Tile(None, [Line("missing", 10)]),
        Tile(Image.new("RGB", (6, 12), BLUE), [Line("tall and too small", 10)]),
    ]
    sheet = contact_sheet(tiles, side=48, columns=2, gap=6, heading=Line("two rows", 20))
    caption, heading = 14, 29  # 1.45 times the font size
    assert sheet.size == (6 + 2 * 54, 6 + heading + 6 + 2 * (48 + caption + 6))
    first, second = 6 + heading + 6, 6 + heading + 6 + 48 + caption + 6
    assert sheet.getbbox() is not None
    for (x, y), colour in {
        (6, first + 23): WHITE,
        (6, first + 24): RED,
        (53, first + 47): RED,
        (54, first + 47): WHITE,
        (60, first): GREY,
        (107, first + 47): GREY,
        (17, second + 20): WHITE,
        (18, second): BLUE,
        (41, second + 47): BLUE,
        (42, second + 20): WHITE,
        (60, second): WHITE,
    }.items():
        assert sheet.getpixel((x, y)) == colour, (x, y)


def test_a_caption_ends_at_the_edges_of_its_tile() -> None:
    tile = Tile(Image.new("RGB", (64, 64), "white"), [Line("a very long name " * 9, 14, "black")])
    sheet = contact_sheet([tile], side=64, columns=1, gap=16)
    inked = sheet.convert("L").point(lambda value: 255 * (value < 255)).getbbox()
    assert inked is not None
    left, _, right, _ = inked
    assert 15 <= left < 24 and 16 + 64 - 8 < right <= 16 + 64 + 1


def test_a_sheet_without_captions_or_heading_has_the_gap_as_its_only_margin() -> None:
    sheet = contact_sheet([Tile(Image.new("RGB", (8, 8), RED))] * 3, side=8, columns=3, gap=2)
    assert sheet.size == (3 * 10 + 2, 12)
    assert sheet.getpixel((2, 2)) == sheet.getpixel((29, 9)) == RED
