"""Manifest: every image decoded once, unreadable ones listed, the others split."""

import dataclasses
from pathlib import Path

import pytest
from PIL import Image

from catsdogs.data import manifest as manifest_module
from catsdogs.data.manifest import Manifest, ManifestEntry, Split, make_manifest, split_per_class
from catsdogs.errors import UserError
from tests.support.images import PER_CLASS, write_image


def paths(manifest: Manifest, split: str) -> list[str]:
    return [p.path for p in manifest.images if p.split == split]


def test_each_class_gives_its_first_images_to_train_the_next_to_val_the_next_to_test(
    images: Path,
) -> None:
    manifest = make_manifest(images, {"train": 3, "val": 2, "test": 1})
    assert paths(manifest, "train") == [
        *(f"dog.{n}.jpg" for n in (0, 1, 2)),
        *(f"cat.{n}.jpg" for n in (0, 1, 2)),
    ]
    assert paths(manifest, "val") == ["dog.3.jpg", "dog.4.jpg", "cat.3.jpg", "cat.4.jpg"]
    assert paths(manifest, "test") == ["dog.5.jpg", "cat.5.jpg"]
    assert len(paths(manifest, "")) == 6


def test_the_monograph_split_of_the_competition_takes_file_names_as_strings() -> None:
    names = sorted(f"cat.{n}.jpg" for n in range(1200)) + sorted(
        f"dog.{n}.jpg" for n in range(1200)
    )
    rows = [ManifestEntry(name, int(name.startswith("cat")), 1, 1, name, "ok") for name in names]
    split = split_per_class(rows, {"train": 1000, "val": 100, "test": 100})
    val = [p.path for p in split if p.split == "val" and p.label == 1]
    assert (val[0], val[-1]) == ("cat.819.jpg", "cat.908.jpg")  # by hand: names 1001 and 1100


def test_an_unreadable_image_is_listed_and_the_next_one_takes_its_place(tmp_path: Path) -> None:
    for number in range(4):
        write_image(tmp_path / f"cat.{number}.jpg", number)
        write_image(tmp_path / f"dog.{number}.jpg", 10 + number)
    Image.effect_noise((64, 64), 80).save(tmp_path / "cat.1.jpg")
    whole = (tmp_path / "cat.1.jpg").read_bytes()
    (tmp_path / "cat.1.jpg").write_bytes(whole[: -len(whole) // 4])  # its header is intact
    manifest = make_manifest(tmp_path, {"train": 1, "val": 1, "test": 1}, max_bad_fraction=0.2)
    assert [p.path for p in manifest.unreadable] == ["cat.1.jpg"]
    assert "truncated" in manifest.unreadable[0].status.lower()
    assert [p.path for p in manifest.used if p.label == 1] == [
        "cat.0.jpg",
        "cat.2.jpg",
        "cat.3.jpg",
    ]


def test_a_file_whose_escaped_name_is_that_of_a_readable_one_belongs_to_no_split() -> None:
    good, bad = (ManifestEntry(r"a\xff.jpg", 0, 1, 1, "", status) for status in ("ok", "bad"))
    cat = dataclasses.replace(good, path="cat.jpg", label=1)
    split = split_per_class([bad, good, cat], {"train": 1, "val": 0, "test": 0})
    assert [entry.split for entry in split] == ["", "train", "train"]


def test_more_unreadable_images_than_allowed_stop_the_run(images: Path, tmp_path: Path) -> None:
    for file in images.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "dog.0.jpg").write_bytes(b"no picture")
    with pytest.raises(UserError, match=r"1 of 18 images are unreadable.*dog\.0\.jpg"):
        make_manifest(tmp_path, PER_CLASS, max_bad_fraction=0.01)


def rows(dogs: str, cats: str) -> list[ManifestEntry]:
    """Return readable images, one for each letter; equal letters are equal contents."""
    return [
        ManifestEntry(f"{kind}{number}", label, 1, 1, letter, "ok")
        for kind, label, letters in (("dog", 0, dogs), ("cat", 1, cats))
        for number, letter in enumerate(letters)
    ]


def contents(split: tuple[ManifestEntry, ...], name: str) -> str:
    return "".join(p.sha256 for p in split if p.split == name)


ONE_TRAIN: dict[Split, int] = {"train": 2, "val": 1, "test": 1}


def test_a_copy_is_left_out_of_validation_and_test_and_the_next_image_takes_its_place(
    caplog: pytest.LogCaptureFixture,
) -> None:
    # a: in train and val; c: in val and test; e: in test under both labels; x: twice in train.
    images = rows(dogs="abaccdz", cats="xxfegeh")
    images[5] = dataclasses.replace(images[5], sha256="e")
    split = split_per_class(images, ONE_TRAIN)
    assert [contents(split, name) for name in ("train", "val", "test")] == ["abxx", "cf", "zg"]
    assert [record.getMessage() for record in caplog.records] == [
        "data.duplicates=drop: 5 images are copies of another (first: dog2, the same as dog0), "
        "2 of them under the other label; 4 left out of val and test"
    ]


def test_copies_can_be_kept_or_refused(caplog: pytest.LogCaptureFixture) -> None:
    images = rows(dogs="abac", cats="mnop")
    split = split_per_class(images, ONE_TRAIN, "keep")
    assert [contents(split, name) for name in ("train", "val", "test")] == ["abmn", "ao", "cp"]
    assert caplog.messages == [
        "data.duplicates=keep: 1 image is a copy of another (first: dog2, the same as dog0); "
        "all kept"
    ]
    with pytest.raises(UserError, match=r"refuse: 1 image is a copy .* or use data.duplicates=dro"):
        split_per_class(images, ONE_TRAIN, "refuse")
    split_per_class(rows(dogs="abcd", cats="mnop"), ONE_TRAIN, "refuse")


def test_the_copies_are_named_if_too_few_images_are_left() -> None:
    message = "too few dogs: 4 are needed, 4 are readable, 1 of them copies that data.duplicates="
    with pytest.raises(UserError, match=message):
        split_per_class(rows(dogs="abac", cats="mnop"), ONE_TRAIN)


def test_too_few_images_are_refused_with_the_numbers(images: Path) -> None:
    with pytest.raises(UserError, match="too few dogs: 1200 are needed, 9 are readable"):
        make_manifest(images, {"train": 1000, "val": 100, "test": 100})


def test_an_unchanged_folder_is_decoded_once_and_a_changed_file_again(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "copy"
    root.mkdir()
    for file in images.iterdir():
        (root / file.name).write_bytes(file.read_bytes())
    decoded: list[str] = []
    original = manifest_module._decode

    def spy(root: Path, path: str, label: int) -> ManifestEntry:
        decoded.append(path)
        return original(root, path, label)

    monkeypatch.setattr(manifest_module, "_decode", spy)
    first = make_manifest(root, PER_CLASS)
    second = make_manifest(root, PER_CLASS)
    assert (first, len(decoded)) == (second, 18)
    write_image(root / "cat.0.jpg", seed=999)
    assert make_manifest(root, PER_CLASS).sha256 != first.sha256


def test_the_hash_depends_on_content_label_and_split_but_not_on_names_or_folder() -> None:
    image = ManifestEntry("cat.0.jpg", 1, 16, 12, "aa", "ok", "train")

    def digest(**changes: object) -> str:
        return Manifest(Path("x"), (dataclasses.replace(image, **changes),)).sha256  # type: ignore[arg-type]

    same = digest()
    assert digest(path="elsewhere.jpg") == same
    assert len({same, digest(sha256="bb"), digest(label=0), digest(split="val")}) == 4


def test_the_csv_has_a_line_per_image_with_its_facts(images: Path) -> None:
    manifest = make_manifest(images, PER_CLASS)
    header, first, *rest = manifest.to_csv().splitlines()
    assert header == "path,label,width,height,sha256,status,split"
    assert first.startswith("dog.0.jpg,0,16,12,")
    assert first.endswith(",ok,train")
    assert len(rest) == 17


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "CMYK"])
def test_every_mode_of_eight_bits_counts_as_readable(tmp_path: Path, mode: str) -> None:
    suffix = "jpg" if mode == "CMYK" else "png"
    for name in ("cat", "dog"):
        for number in range(3):
            Image.new(mode, (9, 9), number).save(tmp_path / f"{name}.{number}.{suffix}")
    one: dict[Split, int] = {"train": 1, "val": 1, "test": 1}
    assert not make_manifest(tmp_path, one, duplicates="keep").unreadable
