"""The drawn images as a folder of files."""

from pathlib import Path

from PIL import Image

from catsdogs.data.image_folder import find_images
from catsdogs.data.sources import draw_folder


def test_a_drawn_folder_has_the_competition_layout_and_both_classes() -> None:
    folder = draw_folder(3)
    assert sorted(find_images(folder).values()) == [0, 0, 0, 1, 1, 1]
    with Image.open(folder / "cat.2.jpg") as image:
        assert (image.size, image.mode) == ((256, 256), "RGB")


def test_an_image_is_the_same_in_a_folder_of_any_size() -> None:
    small, large = draw_folder(1), draw_folder(2)
    assert small != large
    assert (small / "dog.0.jpg").read_bytes() == (large / "dog.0.jpg").read_bytes()


def test_a_folder_is_drawn_once(cache: Path) -> None:
    folder = draw_folder(1)
    before = (folder / "cat.0.jpg").stat().st_mtime_ns
    assert draw_folder(1) == folder
    assert (folder / "cat.0.jpg").stat().st_mtime_ns == before


def test_another_seed_draws_other_images() -> None:
    first, second = draw_folder(1, seed=0), draw_folder(1, seed=1)
    assert (first / "cat.0.jpg").read_bytes() != (second / "cat.0.jpg").read_bytes()
