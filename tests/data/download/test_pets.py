"""Download of the Oxford pets by torchvision from a server on this machine."""

import errno
import hashlib
import shutil
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image
from torchvision.datasets import OxfordIIITPet

from catsdogs.data.download import pets as pets_module
from catsdogs.data.download.pets import fetch_pets
from catsdogs.data.image_folder import LABELS, find_images
from catsdogs.data.manifest import make_manifest
from catsdogs.errors import UserError
from tests.support.images import write_image
from tests.support.loopback import FileServer, serving

# Breed: its number in the lists, and its species there, 1 for a cat and 2 for a dog.
BREEDS = {"Abyssinian": (1, 1), "american_bulldog": (2, 2), "Bengal": (6, 1), "beagle": (5, 2)}
NUMBERS = range(1, 13)


def make_set(folder: Path) -> None:
    """Write the images and lists of the two archives."""
    lists: dict[str, list[str]] = {"trainval": [], "test": []}
    for breed, (number, species) in BREEDS.items():
        for image in NUMBERS:
            write_image(folder / "images" / f"{breed}_{image}.jpg", 100 * number + image)
            split = "test" if image % 2 else "trainval"
            lists[split].append(f"{breed}_{image} {number} {species} 1\n")
    # One of the originals is a GIF named .jpg, and some files are not images.
    gif = folder / "images" / "Abyssinian_3.jpg"
    Image.new("RGB", (8, 8), "red").save(gif, format="GIF")
    (folder / "images" / "Abyssinian_100.mat").write_bytes(b"MATLAB")
    (folder / "annotations" / "trimaps").mkdir(parents=True)
    for split, lines in lists.items():
        (folder / "annotations" / f"{split}.txt").write_text("".join(lines))


def pack(folder: Path, name: str) -> str:
    """Write `NAME.tar.gz` and return its MD5."""
    archive = folder / f"{name}.tar.gz"
    with tarfile.open(archive, "w:gz") as packed:
        packed.add(folder / name, name)
    return hashlib.md5(archive.read_bytes()).hexdigest()


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[FileServer]]:
    """Yield a server of the two archives, to which torchvision connects."""

    class Server(FileServer):
        folder, status = tmp_path / "oxford", 200

    Server.cut, Server.requests = set(), []
    make_set(Server.folder)
    monkeypatch.setattr(pets_module, "BYTES", 10_000_000)
    with serving(Server) as address:
        resources = [
            (f"{address}/pets/data/{name}.tar.gz", pack(Server.folder, name))
            for name in ("images", "annotations")
        ]
        monkeypatch.setattr(OxfordIIITPet, "_RESOURCES", resources)
        yield Server


def repack(server: type[FileServer], name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Serve an archive with its current content and MD5."""
    md5 = pack(server.folder, name)
    resources = [(url, md5 if name in url else before) for url, before in OxfordIIITPet._RESOURCES]
    monkeypatch.setattr(OxfordIIITPet, "_RESOURCES", resources)


def test_every_image_of_both_lists_is_there_with_cats_labelled_1(
    server: type[FileServer], cache: Path
) -> None:
    folder = fetch_pets()
    assert folder == cache / "pets" / "pictures"
    found = find_images(folder)
    assert len(found) == len(BREEDS) * len(NUMBERS)
    for breed, (_, species) in BREEDS.items():
        for number in NUMBERS:
            path = f"{'cats' if species == 1 else 'dogs'}/{number:03d}_{breed}.jpg"
            assert found[path] == (LABELS["cat"] if species == 1 else LABELS["dog"])
            original = server.folder / "images" / f"{breed}_{number}.jpg"
            assert (folder / path).read_bytes() == original.read_bytes()


@pytest.mark.usefixtures("server")
def test_splits_are_balanced_and_have_every_breed() -> None:
    manifest = make_manifest(fetch_pets(), {"train": 12, "val": 4, "test": 4})
    for split, count in {"train": 12, "val": 4, "test": 4}.items():
        breeds = [Path(p.path).stem[4:] for p in manifest.used if p.split == split]
        assert {breed: breeds.count(breed) for breed in BREEDS} == dict.fromkeys(BREEDS, count // 2)


@pytest.mark.usefixtures("server")
def test_archives_are_removed_unless_they_should_be_kept(cache: Path) -> None:
    fetch_pets()
    assert {path.name for path in (cache / "pets").iterdir()} == {"pictures", "pictures.lock"}
    assert {path.name for path in (cache / "pets" / "pictures").iterdir()} == {"cats", "dogs"}
    shutil.rmtree(cache)
    fetch_pets(keep_archive=True)
    kept = {path.name for path in (cache / "pets" / "archives").iterdir()}
    assert kept == {"images.tar.gz", "annotations.tar.gz"}


def test_a_second_call_makes_no_request(server: type[FileServer]) -> None:
    folder = fetch_pets()
    server.requests.clear()
    assert fetch_pets() == folder
    assert server.requests == []


def test_an_interrupted_extraction_is_repeated_from_the_downloaded_archives(
    server: type[FileServer], cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(pets_module, "_sort", interrupted)
        with pytest.raises(KeyboardInterrupt):
            fetch_pets()
    # As a killed process leaves it: torchvision would accept these two folders as complete.
    unpacked = cache / "pets" / ".pictures.partial" / "oxford-iiit-pet"
    (unpacked / "images").mkdir(parents=True)
    (unpacked / "annotations").mkdir()
    server.requests.clear()
    assert len(find_images(fetch_pets())) == len(BREEDS) * len(NUMBERS)
    assert server.requests == []


def test_an_incomplete_download_is_detected_and_repeated(server: type[FileServer]) -> None:
    server.cut.add("annotations.tar.gz")
    with pytest.raises(UserError, match="annotations.tar.gz is incomplete or changed"):
        fetch_pets()
    server.cut.clear()
    server.requests.clear()
    assert find_images(fetch_pets())
    assert set(server.requests) == {"annotations.tar.gz"}


def test_an_image_that_a_list_names_and_no_archive_holds_is_named(
    server: type[FileServer], cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (server.folder / "images" / "Bengal_7.jpg").unlink()
    repack(server, "images", monkeypatch)
    with pytest.raises(UserError, match="Bengal_7.jpg is in the list of test but not among"):
        fetch_pets()
    assert not (cache / "pets" / "pictures").exists()


@pytest.mark.parametrize("lines", [None, "Bengal_7 6 1\n", "Bengal_7 cat 1 1\n"])
def test_lists_that_have_changed_are_refused(
    server: type[FileServer], lines: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = server.folder / "annotations" / "trainval.txt"
    file.write_text(lines) if lines else file.unlink()
    repack(server, "annotations", monkeypatch)
    with pytest.raises(UserError, match="torchvision cannot read the list of trainval"):
        fetch_pets()


def test_a_server_error_is_reported_with_its_address(server: type[FileServer]) -> None:
    server.status = 503
    with pytest.raises(UserError, match=r"images.tar.gz responds with an error \(503\)") as raised:
        fetch_pets()
    assert "\n" not in str(raised.value)


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize(
    ("error", "message"),
    [
        (TimeoutError("timed out"), r"cannot reach .*tar.gz \(timed out\)"),
        (OSError(errno.ENOSPC, "No space left"), "no space left on the disk for http"),
    ],
)
def test_a_failed_download_has_its_message(
    monkeypatch: pytest.MonkeyPatch, error: OSError, message: str
) -> None:
    def download(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(pets_module, "download_url", download)
    with pytest.raises(UserError, match=message):
        fetch_pets()


def test_an_unreachable_server_is_reported_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        OxfordIIITPet, "_RESOURCES", [("http://127.0.0.1:9/images.tar.gz", "0" * 32)]
    )
    monkeypatch.setattr(pets_module, "BYTES", 0)
    with pytest.raises(UserError, match="cannot reach .*Connection refused") as raised:
        fetch_pets()
    assert "\n" not in str(raised.value)


@pytest.mark.usefixtures("server")
def test_too_small_a_disk_is_reported_before_the_download(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pets_module, "BYTES", 10**18)
    with pytest.raises(UserError, match="needs 1,000,000,000,000 MB and"):
        fetch_pets()


@pytest.mark.usefixtures("server")
def test_train_runs_on_the_pets(run_train: Callable[..., int]) -> None:
    sizes = ["data.train_per_class=8", "data.val_per_class=2", "data.test_per_class=2"]
    arguments = ["data.workers=0", "epochs=1", "batch_size=4", "data.keep_archive=true"]
    assert run_train("data=pets", *sizes, *arguments) == 0
