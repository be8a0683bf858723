"""Archives from outside: what is right comes out, and nothing else comes anywhere."""

import contextlib
import errno
import gzip
import stat
import tarfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from catsdogs.data.download import archive as archive_module
from catsdogs.data.download.archive import ArchiveError, unpack
from catsdogs.errors import UserError
from tests.support.archives import ZEROS, Write, changed, names, overlapping, tarred, zipped
from tests.support.faults import failing

GOOD = ("train/cat.0.jpg", b"a cat"), ("train/dog.0.jpg", b"a dog" * 1000)
DAMAGED = "truncated, damaged or not an archive"
OUTSIDE = "would be written outside its folder"
TOO_LARGE = "refused, it unpacks to more than the expected size"


def holding(content: bytes) -> Write:
    """Return what writes a file of these bytes."""

    def write(path: Path) -> None:
        path.write_bytes(content)

    return write


CATALOGUE: dict[str, tuple[str, Write, str]] = {
    "zip slip": (".zip", zipped(*GOOD, ("../slip.jpg", b"x")), f"'../slip.jpg' in it {OUTSIDE}"),
    "zip slip deep": (".zip", zipped(("a/b/../../../slip.jpg", b"x")), OUTSIDE),
    "zip slip windows": (".zip", zipped(("..\\slip.jpg", b"x")), OUTSIDE),
    "zip absolute": (".zip", zipped(("/tmp/slip.jpg", b"x")), f"'/tmp/slip.jpg' in it {OUTSIDE}"),
    "zip drive": (".zip", zipped(("C:/slip.jpg", b"x")), OUTSIDE),
    "zip folder outside": (".zip", zipped(("../slip/", b"")), OUTSIDE),
    "zip newline in name": (".zip", zipped(("a\nb.jpg", b"x")), r"'a\nb.jpg' in it has a name"),
    "zip escape in name": (".zip", zipped(("\x1b[2Jb.jpg", b"x")), "cannot be printed"),
    "zip link": (".zip", zipped(("a.jpg", b"/etc/passwd"), kind=stat.S_IFLNK), "in it is a link"),
    "zip device": (".zip", zipped(("a.jpg", b""), kind=stat.S_IFCHR), "in it is not a plain file"),
    "zip encrypted": (".zip", zipped(*GOOD, flags=1), "'train/cat.0.jpg' in it is encrypted"),
    "zip nested": (".zip", zipped(("train.zip", b"PK")), "'train.zip' in it is an archive itself"),
    "zip bomb": (".zip", zipped(("a.jpg", ZEROS)), f"{TOO_LARGE}; 'a.jpg' exceeds"),
    "zip bomb of parts": (
        ".zip",
        zipped(*((f"{n}.jpg", ZEROS[:400_000]) for n in range(5))),
        "'2.jpg' exceeds",
    ),
    "zip bomb overlapping": (".zip", overlapping, DAMAGED),
    "zip of many": (".zip", zipped(*names(12)), "holds more than 10 files"),
    "zip twice": (".zip", zipped(GOOD[0], GOOD[1], GOOD[0]), "'train/cat.0.jpg' is in it twice"),
    "zip file as folder": (".zip", zipped(("a", b"x"), ("a/b.jpg", b"x")), "is in it twice"),
    "zip long name": (".zip", zipped(("a" * 300, b"x")), "is not a valid file name here"),
    "zip truncated": (".zip", changed(zipped(*GOOD), lambda zip_: zip_[:-30]), DAMAGED),
    "zip half": (".zip", changed(zipped(*GOOD), lambda zip_: zip_[: len(zip_) // 2]), DAMAGED),
    "zip bit flipped": (
        ".zip",
        changed(zipped(("a.jpg", bytes(range(256)))), lambda zip_: zip_.replace(b"\x81", b"\x82")),
        DAMAGED,
    ),
    "zip bad block": (
        ".zip",
        changed(zipped(("a.jpg", b"x" * 99)), lambda zip_: zip_[:35] + b"\xff\xff" + zip_[37:]),
        f"{DAMAGED} (Error -3",
    ),
    "zip unknown method": (
        ".zip",
        changed(
            zipped(("a.jpg", b"x")), lambda zip_: zip_.replace(b"\x08\x00\x00\x00", b"\x63\0\0\0")
        ),
        DAMAGED,
    ),
    "zip that is a page": (".zip", holding(b"<html>sign in</html>"), DAMAGED),
    "zip empty": (".zip", holding(b""), DAMAGED),
    "tar slip": (".tar.gz", tarred(*GOOD, ("../slip.jpg", b"x")), OUTSIDE),
    "tar absolute": (".tar.gz", tarred(("/tmp/slip.jpg", b"x")), OUTSIDE),
    "tar symbolic link": (
        ".tar.gz",
        tarred(("a", b""), kind=tarfile.SYMTYPE, target="/tmp"),
        "'a' in it is a link",
    ),
    "tar hard link": (
        ".tar.gz",
        tarred(("a.jpg", b""), kind=tarfile.LNKTYPE, target="/etc/passwd"),
        "'a.jpg' in it is a link",
    ),
    "tar device": (".tar.gz", tarred(("a", b""), kind=tarfile.CHRTYPE), "is not a plain file"),
    "tar pipe": (".tar.gz", tarred(("a", b""), kind=tarfile.FIFOTYPE), "is not a plain file"),
    "tar nested": (".tar.gz", tarred(("images.tar.gz", b"x")), "is an archive itself"),
    "tar bomb": (".tar.gz", tarred(("a.jpg", ZEROS)), TOO_LARGE),
    "tar of many": (".tar.gz", tarred(*names(12)), "holds more than 10 files"),
    "tar twice": (".tar.gz", tarred(GOOD[0], GOOD[0]), "is in it twice"),
    "tar truncated": (".tar.gz", changed(tarred(*GOOD), lambda tar: tar[:-20]), DAMAGED),
    "tar of nothing": (".tar.gz", tarred(), "is empty"),
    "zip of nothing": (".zip", zipped(), "is empty"),
    "tar that is a zip": (".tar.gz", zipped(*GOOD), DAMAGED),
    "tar empty": (".tar.gz", holding(b""), DAMAGED),
}


def written(folder: Path) -> set[Path]:
    return {path.relative_to(folder) for path in folder.rglob("*")}


@pytest.mark.parametrize(("suffix", "write"), [(".zip", zipped(*GOOD)), (".tar.gz", tarred(*GOOD))])
def test_the_files_come_out_byte_by_byte(tmp_path: Path, suffix: str, write: Write) -> None:
    archive = tmp_path / f"archive{suffix}"
    write(archive)
    unpack(archive, tmp_path / "out", most_files=2, most_bytes=5005)
    for name, content in GOOD:
        assert (tmp_path / "out" / name).read_bytes() == content
    assert {path.name for path in written(tmp_path / "out")} == {"train", "cat.0.jpg", "dog.0.jpg"}


@pytest.mark.parametrize("case", CATALOGUE)
def test_a_bad_archive_gets_its_line_and_writes_nothing_outside(
    tmp_path: Path, case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    suffix, write, message = CATALOGUE[case]
    monkeypatch.chdir(tmp_path)
    place = tmp_path / "deep" / "down"
    place.mkdir(parents=True)
    archive = place / f"archive{suffix}"
    write(archive)
    with pytest.raises(ArchiveError) as raised:
        unpack(archive, place / "out", most_files=10, most_bytes=1_000_000)
    assert message in str(raised.value)
    assert str(raised.value).startswith(str(archive))
    assert "\n" not in str(raised.value)
    outside = {path for path in written(tmp_path) if not path.is_relative_to("deep/down/out")}
    assert {path.name for path in outside} == {"deep", "down", archive.name}
    assert all(path.is_file() or path.is_dir() for path in (place / "out").rglob("*"))
    assert not any(path.is_symlink() for path in (place / "out").rglob("*"))
    size = sum(path.stat().st_size for path in (place / "out").rglob("*") if path.is_file())
    assert size <= 1_000_000


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (errno.ENOSPC, "the disk was full before it was unpacked"),
        (errno.EDQUOT, "the disk was full before it was unpacked"),
        (errno.EROFS, r"cannot be unpacked \(Read-only file system\)"),
    ],
)
def test_a_fault_of_the_disk_is_not_taken_for_a_bad_archive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, message: str
) -> None:
    zipped(*GOOD)(tmp_path / "a.zip")
    monkeypatch.setattr(archive_module, "_write", failing(number))
    with pytest.raises(UserError, match=message) as raised:
        unpack(tmp_path / "a.zip", tmp_path / "out", most_files=10, most_bytes=10_000)
    assert not isinstance(raised.value, ArchiveError)


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@example((".zip", zipped(*GOOD)), [(0.9921875, 1)], 0.0)  # a member before the file's begin
@given(
    st.sampled_from([(".zip", zipped(*GOOD)), (".tar.gz", tarred(*GOOD)), (".tar", tarred(*GOOD))]),
    st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=4),
    st.floats(0, 1),
)
def test_any_damage_gives_the_right_files_or_the_one_error(
    tmp_path_factory: pytest.TempPathFactory,
    kind: tuple[str, Write],
    changes: list[tuple[float, int]],
    kept: float,
) -> None:
    suffix, write = kind
    place = tmp_path_factory.mktemp("fuzz")
    archive = place / f"a{suffix}"
    write(archive)
    content = bytearray(archive.read_bytes())
    if suffix == ".tar":  # without compression, so that the damage reaches the headers
        content = bytearray(gzip.decompress(content))
    for where, value in changes:
        content[int(where * (len(content) - 1))] = value
    archive.write_bytes(content[: max(1, int((1 - kept**4) * len(content)))])
    with contextlib.suppress(ArchiveError):
        unpack(archive, place / "out", most_files=10, most_bytes=100_000)
    assert {path.name for path in place.iterdir()} <= {archive.name, "out"}
