"""Every case of bad input gives what docs/bad-input.md says, and the page has no other rows."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch

import catsdogs
from catsdogs.data.images import decode
from catsdogs.data.manifest import make_manifest
from catsdogs.io.text import is_one_line
from tests.bad_input import (
    configuration_cases,
    environment_cases,
    image_cases,
    record_cases,
    weight_cases,
)
from tests.support import catalogue
from tests.support.catalogue import Case, ImageCase

IMAGES = image_cases.IMAGES
PARTS: dict[str, Sequence[Case]] = {
    "Folders of images": image_cases.CASES,
    "Weights": weight_cases.WEIGHTS,
    "Checkpoints": weight_cases.CHECKPOINTS,
    "Configuration": configuration_cases.CASES,
    "Environment": environment_cases.CASES,
    "Records": record_cases.CASES,
}
PACKAGE = Path(catsdogs.__file__).parent
ROW = "row"  # the property of a test's report that write_bad_input_page reads
WRITE = "python -m tests.support.write_bad_input_page writes the page anew"


def given() -> list[str]:
    """Return the names of all cases in the order of the page."""
    images = [image.given for image in IMAGES]
    return images + [case.given for part in PARTS.values() for case in part]


@pytest.fixture
def require_row(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Return a function that requires the page to have a row."""

    def require(row: str) -> None:
        record_property(ROW, row)
        pinned = catalogue.pinned_rows().get(catalogue.first_cell(row), "no row")
        assert row == pinned, WRITE

    return require


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")  # as catsdogs.data.images does
@pytest.mark.parametrize("case", IMAGES, ids=str)
def test_an_image_is_used_or_left_out_with_its_reason(
    tmp_path: Path, case: ImageCase, require_row: Callable[[str], None]
) -> None:
    folder = image_cases.good_folder(tmp_path)
    case.make(folder / "cats" / case.name)
    splits = image_cases.ONE_OF_EACH
    manifest = make_manifest(folder, splits, max_bad_fraction=0.5)
    assert len(manifest.images) == 7
    assert len(manifest.unreadable) == (not case.used_as)
    if case.used_as:
        pixels = decode(folder / "cats" / case.name)
        assert (pixels.shape, pixels.dtype) == ((3, 256, 256), torch.uint8)
    reason = "".join(image.status for image in manifest.unreadable)
    assert is_one_line(reason)
    assert all(is_one_line(image.path) for image in manifest.unreadable)
    assert make_manifest(folder, splits, max_bad_fraction=0.5) == manifest, "its stored copy"
    require_row(case.row(catalogue.without_variable_parts(reason, {tmp_path: "FOLDER"})))


@pytest.mark.parametrize("case", [case for part in PARTS.values() for case in part], ids=str)
def test_a_command_refuses_bad_input_in_one_line_and_leaves_nothing_behind(
    case: Case,
    run: Callable[..., int],
    images: Path,
    small: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    require_row: Callable[[str], None],
) -> None:
    case.make(tmp_path, monkeypatch)
    before = catalogue.contents(tmp_path)
    prefix = small if case.images else []
    status = run(catalogue.COMMANDS[case.command], *prefix, *case.arguments)
    captured = capfd.readouterr()
    lines = [line for line in captured.err.split("\n") if line and "\r" not in line]
    assert len(lines) == 1, captured.err
    start, _, answer = lines[0].partition("error: ")
    assert not start and answer, lines[0]
    assert is_one_line(answer)
    assert not answer.startswith("unexpected ")
    assert "Traceback" not in captured.out
    unchecked = "cannot be checked: " in answer  # an optimizer that check cannot drive
    assert status == (3 if unchecked else 2), "the input is at fault"
    assert catalogue.contents(tmp_path) == before
    paths = {tmp_path: "FOLDER", images: "IMAGES", PACKAGE: "PACKAGE"}
    require_row(case.row(catalogue.without_variable_parts(answer, paths), status))


def test_no_two_cases_have_the_same_name() -> None:
    names = given()
    assert len(set(names)) == len(names) >= 239


def test_the_page_has_a_row_for_each_case_in_their_order_and_no_other() -> None:
    rows = catalogue.pinned_rows()
    assert list(rows) == list(map(catalogue.cell, given())), WRITE
    assert catalogue.PAGE.read_text() == catalogue.page(IMAGES, PARTS, rows), WRITE
