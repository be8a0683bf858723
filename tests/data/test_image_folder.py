"""Labels and order of the images that are found in a folder."""

from pathlib import Path

import pytest

from catsdogs.data.image_folder import find_images
from catsdogs.errors import UserError
from tests.support.images import close_folder


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
        (["train/train/cat.1.jpg", "a/dog.jpg"], r"; did you mean data.root=\S*/train/train\?"),
        (["training_set/training_set/cats/1.jpg"], r"data.root=\S*/training_set/training_set\?"),
        (["cats/1.heic", "dogs/.1.jpg"], r"\(skipped 1 \.heic file .*, 1 hidden or system file"),
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


def test_hidden_and_system_files_are_ignored_in_every_layout_and_counted_with_the_first(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    hidden = [".DS_Store", "._1.jpg", "Thumbs.db", "@eaDir/1.jpg", ".thumbs/1.jpg", "desktop.ini"]
    touch(tmp_path, *(f"{kind}/{name}" for kind in ("cats", "dogs") for name in ["1.jpg", *hidden]))
    touch(tmp_path, "__MACOSX/cats/._1.jpg", "dogs/2.HEIC", "dogs/3.heic", "birds/1.jpg")
    assert list(find_images(tmp_path)) == ["dogs/1.jpg", "cats/1.jpg"]
    flat = tmp_path / "flat"
    touch(flat, "cat.1.jpg", "dog.1.jpg", "._cat.1.jpg", "dog.JPG", "notes", ".hidden/cat.2.jpg")
    assert list(find_images(flat)) == ["dog.1.jpg", "cat.1.jpg"]
    assert caplog.messages == [
        f"data.root={tmp_path}: skipped 13 hidden or system files (first: {tmp_path}/__MACOSX), "
        f"1 other folder (first: {tmp_path}/birds), 2 .heic files (first: {tmp_path}/dogs/2.HEIC)",
        f"data.root={flat}: skipped 2 hidden or system files (first: {flat}/._cat.1.jpg), "
        f"1 image with another name (first: {flat}/dog.JPG), "
        f"1 extensionless file (first: {flat}/notes)",
    ]


def test_a_folder_that_cannot_be_read_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    touch(tmp_path, "cats/1.jpg", "cats/closed/2.jpg", "dogs/1.jpg")
    close_folder(tmp_path / "cats" / "closed", monkeypatch)
    assert list(find_images(tmp_path)) == ["dogs/1.jpg", "cats/1.jpg"]
    (line,) = caplog.messages
    assert line.endswith(
        f"skipped 1 unreadable folder (first: {tmp_path}/cats/closed, Permission denied)"
    )
    close_folder(tmp_path / "dogs", monkeypatch)
    with pytest.raises(UserError, match="but no dogs .skipped 2 unreadable folders"):
        find_images(tmp_path)


def test_a_linked_folder_is_searched(tmp_path: Path) -> None:
    touch(tmp_path, "elsewhere/2.jpg", "root/cats/1.jpg", "root/dogs/1.jpg")
    (tmp_path / "root" / "cats" / "more").symlink_to(tmp_path / "elsewhere")
    assert list(find_images(tmp_path / "root")) == ["dogs/1.jpg", "cats/1.jpg", "cats/more/2.jpg"]
