"""Labels and order of the images that are found in a folder."""

from pathlib import Path

import pytest

from catsdogs.data.image_folder import find_images
from catsdogs.errors import UserError


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def test_the_flat_layout_is_sorted_by_file_name_as_strings(tmp_path: Path) -> None:
    touch(tmp_path, "cat.2.jpg", "cat.10.jpg", "cat.1.jpg", "dog.9.jpg", "dog.10.jpg")
    assert list(find_images(tmp_path).items()) == [
        ("dog.10.jpg", 0),
        ("dog.9.jpg", 0),
        ("cat.1.jpg", 1),
        ("cat.10.jpg", 1),
        ("cat.2.jpg", 1),
    ]


def test_class_folders_of_any_letter_case_are_read_in_depth(tmp_path: Path) -> None:
    touch(tmp_path, "Cats/b.JPG", "Cats/more/a.webp", "DOG/x.jpeg", "DOG/y.png", "birds/z.jpg")
    assert find_images(tmp_path) == {
        "DOG/x.jpeg": 0,
        "DOG/y.png": 0,
        "Cats/more/a.webp": 1,
        "Cats/b.JPG": 1,
    }


def test_files_that_are_not_images_are_skipped(tmp_path: Path) -> None:
    touch(tmp_path, "cat.1.jpg", "dog.1.jpg", "cat.1.txt", "Thumbs.db", "cat.jpg", "mycat.1.jpg")
    (tmp_path / "dog.2.jpg").mkdir()
    assert list(find_images(tmp_path)) == ["dog.1.jpg", "cat.1.jpg"]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], "no images found"),
        (["cat.1.jpg", "cat.2.jpg"], "2 images, but no dogs; both classes are needed"),
        (["cat.1.jpg", "dog.1.jpg", "cats/1.jpg", "dogs/1.jpg"], "both layouts"),
        (["train/cat.1.jpg", "train/dog.1.jpg"], "; did you mean data.root=.*train"),
    ],
)
def test_an_unusable_folder_is_refused_with_the_reason(
    tmp_path: Path, names: list[str], message: str
) -> None:
    touch(tmp_path, *names)
    with pytest.raises(UserError, match=message):
        find_images(tmp_path)


def test_a_folder_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"data\.root=.*nowhere: no such folder; give"):
        find_images(tmp_path / "nowhere")
