"""The cache command: what is there, and its removal unless it is in use."""

import gc
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock

from catsdogs import cache as command
from catsdogs.data.manifest import make_manifest
from catsdogs.features.shard_cache import Pixels
from catsdogs.io.cache import list_cache
from catsdogs.io.files import this_process
from tests.support.images import PER_CLASS

Run = Callable[..., int]


def names(cache: Path) -> set[str]:
    return {f"{entry.kind}/{entry.path.name}" for entry in list_cache(cache)}


def write(path: Path, days: float = 0, content: bytes = b"x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    then = time.time() - days * 86_400
    for each in (path, path.parent):
        os.utime(each, (then, then))
    return path


def test_what_a_training_left_is_listed_with_its_size_use_and_origin(
    run: Run,
    run_train: Run,
    small: list[str],
    images: Path,
    cache: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run_train(*small, "epochs=1") == 0
    gc.collect()
    capsys.readouterr()
    assert run(command.main) == 0
    features, manifest, total = capsys.readouterr().out.splitlines()
    assert re.fullmatch(
        rf" +2\.4 MB  used just now        features/[0-9a-f]{{16}}  +18 images of {images}, "
        r"weights [0-9a-f]{8}, dtype float32, device cpu",
        features,
    )
    assert re.fullmatch(r".* manifests/[0-9a-f]{16}\.csv  +checks of images", manifest)
    assert re.fullmatch(rf"{cache}: 2 entries, 2\.4 MB", total)


def test_only_what_the_package_made_is_listed_and_removed(
    run: Run, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    foreign = [write(cache / name) for name in ("a.txt", "features/mine/x", "drawn/cat.jpg")]
    store = "0123456789abcdef"
    write(cache / "features" / store / "000000-x.npy", content=bytes(10))
    write(cache / "features" / f".{store}.partial" / "x")
    write(cache / "pixels" / f"{store}.damaged" / "x")
    write(cache / "drawn" / "edition1-seed0-9-pillow13.0.0" / "cat.0.jpg")
    write(cache / "kaggle" / "train.zip")
    assert run(command.main, "remove=all") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-2:] == [f"{cache}: 5 entries, 14 B", "removed: 5 entries, 14 B"]
    assert any("damaged, and set aside" in line for line in lines)
    assert sum("unfinished" in line for line in lines) == 2
    assert names(cache) == set()
    assert all(path.exists() for path in foreign)


def test_what_is_older_than_the_given_days_is_removed(run: Run, cache: Path) -> None:
    for days, digit in ((1, "1"), (8, "2"), (40, "3")):
        write(cache / "features" / (16 * digit) / "x", days)
    assert run(command.main, "remove=7.5") == 0
    assert names(cache) == {f"features/{16 * '1'}"}


def test_what_another_process_uses_is_kept_until_it_ends(
    run: Run, images: Path, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script = f"""
from pathlib import Path
from catsdogs.data.manifest import make_manifest
from catsdogs.features.shard_cache import Pixels
pixels = Pixels(make_manifest(Path({str(images)!r}), {PER_CLASS!r}), 0).rows
print("open", flush=True)
input()
"""
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    with process:
        assert process.stdout.readline() == "open\n"
        assert run(command.main, "remove=all") == 0
        shown = capsys.readouterr().out
        assert re.search(r"^ +3\.5 MB  in use  +pixels/", shown, re.MULTILINE)
        assert shown.endswith("in use, and so kept: 1 entry, 3.5 MB\n")
        process.communicate("\n")
    assert [entry.kind for entry in list_cache(cache)] == ["pixels"]
    assert run(command.main, "remove=all") == 0
    assert names(cache) == set()


def test_an_open_store_of_this_process_counts_as_used_now(images: Path, cache: Path) -> None:
    rows = Pixels(make_manifest(images, PER_CLASS), 0).rows
    (store,) = (entry for entry in list_cache(cache) if entry.kind == "pixels")
    for path in (store.path, *store.path.iterdir()):
        os.utime(path, (0, 0))
    again = Pixels(make_manifest(images, PER_CLASS), 0).rows
    (store,) = (entry for entry in list_cache(cache) if entry.kind == "pixels")
    assert time.time() - store.last_use < 60
    assert not store.remove()
    del rows, again
    gc.collect()
    assert store.remove()


@pytest.mark.parametrize(
    ("made", "lock"),
    [
        ("features/0123456789abcdef/x", "features/0123456789abcdef.0of1.lock"),
        ("features/.0123456789abcdef.partial/x", "features/0123456789abcdef.lock"),
        ("drawn/edition1-seed0-9-pillow13.0/x", "drawn/edition1-seed0-9-pillow13.0.lock"),
        ("kaggle/train.zip.download", "kaggle/dogs-vs-cats.lock"),
        ("pets/archives/x.tar", "pets/pictures.lock"),
    ],
)
def test_what_is_being_made_is_kept(cache: Path, made: str, lock: str) -> None:
    write(cache / made)
    (entry,) = list_cache(cache)
    with FileLock(cache / lock):
        assert entry.in_use
        assert not entry.remove()
    assert (cache / made).exists()
    assert entry.remove()
    assert not list_cache(cache)


def test_the_stream_of_a_process_that_has_ended_is_removed(cache: Path) -> None:
    node = this_process().rpartition(".")[0]
    write(cache / "features" / f"stream-{this_process()}-abc" / "x")
    write(cache / "features" / f"stream-{node}.{2**22 + 1}-abc" / "x")
    assert sorted(entry.remove() for entry in list_cache(cache)) == [False, True]


@pytest.mark.parametrize("value", ["true", "-1", "old", "nan", "[1]"])
def test_another_value_is_refused(
    run: Run, cache: Path, capfd: pytest.CaptureFixture[str], value: str
) -> None:
    write(cache / "features" / "0123456789abcdef" / "x")
    assert run(command.main, f"remove={value}") == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert line.endswith(": must be null, all, or a number of days from 0")
    assert len(list_cache(cache)) == 1


def test_removed_stores_are_computed_again(run: Run, images: Path, cache: Path) -> None:
    manifest = make_manifest(images, PER_CLASS)
    before = Pixels(manifest, 0).rows[np.arange(18)]
    gc.collect()
    assert run(command.main, "remove=0") == 0
    assert names(cache) == set()
    assert np.array_equal(Pixels(manifest, 0).rows[np.arange(18)], before)
