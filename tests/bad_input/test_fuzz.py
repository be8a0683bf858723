"""Random damage to files gives a result or a one-line error, never another exception.

Hypothesis draws the same examples in every run; CATSDOGS_FUZZ=N draws N times as many new ones.
"""

import io
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import save

from catsdogs.data import manifest as manifest_module
from catsdogs.data.images import decode
from catsdogs.data.manifest import OK, make_manifest
from catsdogs.errors import UserError
from catsdogs.io.text import is_one_line, one_line
from catsdogs.io.torch_file import load_torch_file
from catsdogs.reporting.render import markdown
from catsdogs.reporting.report import contents
from catsdogs.reporting.results_csv import results_csv
from catsdogs.reporting.sections.contract import check_table
from catsdogs.reporting.verdict import verdicts
from catsdogs.runs.comparison import FILE, read_comparison
from catsdogs.runs.reader import read_runs
from catsdogs.training.checkpoint import load_checkpoint
from tests.bad_input.image_cases import animated, noise, saved, turned
from tests.support.images import write_image
from tests.support.synthetic_runs import write_comparison

TIMES = int(os.environ.get("CATSDOGS_FUZZ", "0"))
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")


def examples(number: int) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Run a test on `number` examples, which share its fixtures."""
    fixture = HealthCheck.function_scoped_fixture
    return settings(
        max_examples=number * max(TIMES, 1),
        derandomize=not TIMES,
        database=None,
        deadline=None,
        suppress_health_check=[fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
    )


@st.composite
def damaged(draw: st.DrawFn, whole: list[bytes]) -> bytes:
    """Draw a file and change, truncate, insert or drop some of its bytes."""
    content = bytearray(draw(st.sampled_from(whole)))
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, max(0, len(content) - 1)))
        # Headers are short, and most of what can go wrong is there.
        place = min(place, 64) if draw(st.booleans()) else place
        match draw(st.sampled_from(["change", "cut", "insert", "drop"])):
            case "change":
                content[place : place + 1] = draw(st.binary(min_size=1, max_size=4))
            case "cut":
                del content[place:]
            case "insert":
                content[place:place] = draw(st.binary(max_size=16))
            case "drop":
                del content[place : place + draw(st.integers(1, 32))]
    return bytes(content)


def images() -> list[bytes]:
    small = Image.effect_noise((9, 7), 80)
    kinds = [("JPEG", "RGB"), ("PNG", "RGB"), ("WEBP", "RGB"), ("GIF", "P"), ("BMP", "RGB")]
    whole = [saved(small.convert(mode), kind) for kind, mode in kinds]
    whole += [saved(noise("CMYK"), "JPEG"), saved(noise("P"), "PNG", transparency=bytes(5))]
    return [*whole, turned(6), animated("GIF"), animated("PNG"), animated("WEBP")]


@examples(250)
@given(content=damaged(images()) | st.binary(max_size=99))
def test_a_damaged_image_gives_pixels_or_an_oserror_and_the_manifest_agrees(
    tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "x.jpg").write_bytes(content)
    status = manifest_module._decode(tmp_path, "x.jpg", 1).status
    assert is_one_line(status)
    try:
        seen = decode(tmp_path / "x.jpg")
    except OSError:
        assert status != OK
    else:
        assert status == OK
        assert (seen.shape, seen.dtype) == ((3, 256, 256), torch.uint8)


@pytest.fixture
def kept(tmp_path: Path, cache: Path) -> Path:
    """Return the stored manifest of a folder with three good images and a bad one of each class."""
    for name in ("cat", "dog"):
        for number in range(3):
            seed = number + 3 * (name == "cat")
            write_image(tmp_path / "root" / f"{name}.{number}.png", seed)
        (tmp_path / "root" / f"{name}.9.png").write_text("not an image")
    make_manifest(tmp_path / "root", {"train": 1, "val": 1, "test": 1}, max_bad_fraction=0.5)
    (file,) = (cache / "manifests").iterdir()
    return file


@examples(60)
@given(data=st.data())
def test_a_damaged_stored_manifest_is_noticed_and_made_again(
    tmp_path: Path, kept: Path, caplog: pytest.LogCaptureFixture, data: st.DataObject
) -> None:
    whole = kept.read_bytes()
    expected = make_manifest(
        tmp_path / "root", {"train": 1, "val": 1, "test": 1}, max_bad_fraction=0.5
    )
    content = data.draw(damaged([whole]) | st.binary(max_size=99))
    kept.write_bytes(content)
    caplog.clear()
    again = make_manifest(
        tmp_path / "root", {"train": 1, "val": 1, "test": 1}, max_bad_fraction=0.5
    )
    assert again == expected
    assert [record.levelname for record in caplog.records] == ["WARNING"] * (content != whole)
    assert kept.read_bytes() == whole


def test_a_stored_manifest_of_other_images_is_not_used(
    tmp_path: Path, kept: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Its checksum is right, but the images have been replaced."""
    rows = kept.read_text().partition("\n")[2].replace("cat.0.png", "dog.7.png")
    kept.write_text(f"{manifest_module.KEPT}{manifest_module._digest(rows)}\n{rows}")
    found = make_manifest(
        tmp_path / "root", {"train": 1, "val": 1, "test": 1}, max_bad_fraction=0.5
    )
    assert "cat.0.png" in {image.path for image in found.images}
    assert "it is of other images" in caplog.text


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from(["", "nan", "native_../../x", "<b>", "a\nb", "$\\x$", "\x1b[2J", 10**400])
    | st.text(st.characters(max_codepoint=0x17F), max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)
CELLS = ["", "nan", "inf", "-inf", "1e308", "-1", "0.5", "x", '"', "9" * 400, "1e-400", "0", "\0"]


def places(value: Any) -> list[tuple[Any, Any]]:
    """Return every place in a JSON value as its container and the key in it."""
    keys = value if isinstance(value, dict) else range(len(value) if isinstance(value, list) else 0)
    return [pair for key in keys for pair in ((value, key), *places(value[key]))]


def spoil(file: Path, data: st.DataObject) -> None:
    """Change or delete one value of a JSON file, or change one cell of a table."""
    if file.suffix == ".json":
        content = json.loads(file.read_text())
        holder, key = data.draw(st.sampled_from(places(content)))
        if data.draw(st.integers(0, 3)):
            holder[key] = data.draw(JSON)
        else:
            del holder[key]
        file.write_text(json.dumps(content))
        return
    rows = [row.split(",") for row in file.read_text().split("\n")]
    cells = data.draw(st.sampled_from(rows))
    cells[data.draw(st.integers(0, len(cells) - 1))] = data.draw(st.sampled_from(CELLS))
    file.write_text("\n".join(map(",".join, rows)))


@examples(25)
@given(data=st.data())
def test_spoilt_records_give_a_report_or_one_line(tmp_path: Path, data: st.DataObject) -> None:
    whole, folder = tmp_path / "whole", tmp_path / "spoilt"
    if not whole.exists():
        others = {
            ("native_adam", 1): {"status": "failed"},
            ("custom_adam", 1): {"status": "diverged"},
        }
        steps = {"native_adam": [0.1, 0.2], "custom_adam": [0.1, 0.3]}
        write_comparison(whole, seeds=(0, 1), step_seconds=steps, runs=others)
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(whole, folder)
    files = sorted(path for path in folder.rglob("*") if path.suffix in (".json", ".csv"))
    for _ in range(data.draw(st.integers(1, 2))):
        spoil(data.draw(st.sampled_from(files)), data)
    try:
        runs = read_runs(folder)
        markdown(contents(runs, verdicts(runs)))
        results_csv(runs)
    except UserError as error:
        assert is_one_line(str(error))


@examples(100)
@given(content=st.binary(max_size=99) | JSON.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_as_record_plan_or_check_give_one_line(tmp_path: Path, content: bytes) -> None:
    run = tmp_path / "run"
    run.mkdir(exist_ok=True)
    for name, read in (
        (FILE, read_comparison),
        ("record.json", read_runs),
        ("check.json", check_table),
    ):
        (run / name).write_bytes(content)
        with pytest.raises(UserError) as caught:
            read(run)
        assert is_one_line(str(caught.value))
        (run / name).unlink()


def tensors() -> list[bytes]:
    content = {"format": 1, "head": {"a": torch.zeros(2)}, "optimizer": {"state": {}}, "epoch": 1}
    files = []
    for kind in (True, False):
        data = io.BytesIO()
        torch.save(content, data, _use_new_zipfile_serialization=kind)
        files.append(data.getvalue())
    return files


@examples(200)
@given(content=damaged(tensors()) | st.binary(max_size=99))
def test_a_damaged_checkpoint_is_read_or_gives_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.pt").write_bytes(content)
    try:
        assert load_checkpoint(tmp_path / "x.pt")["format"] == 1
    except UserError as error:
        assert "\n" not in str(error)


@examples(100)
@given(content=damaged([save({"a": torch.zeros(2), "b": torch.ones(3)})]))
def test_a_damaged_safetensors_file_is_read_or_gives_one_line(
    tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "x.safetensors").write_bytes(content)
    try:
        load_torch_file(tmp_path / "x.safetensors", "x")
    except UserError as error:
        assert "\n" not in str(error)


@examples(200)
@given(text=st.text())
def test_one_line_makes_one_line_of_utf8_and_leaves_a_good_one_unchanged(text: str) -> None:
    line = one_line(text)
    assert is_one_line(line)
    assert line.encode().decode() == line
    assert len(line.splitlines()) <= 1
    assert (line == text) == is_one_line(text)
