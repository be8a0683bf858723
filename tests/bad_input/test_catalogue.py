"""The catalogue is as large as it claims, and the page lists exactly what is tried."""

from tests.bad_input import (
    test_bad_records,
    test_checkpoints_and_weights,
    test_configuration,
    test_environment,
    test_pictures,
)
from tests.support import catalogue

PARTS = {
    "Folders of pictures": test_pictures.CASES,
    "Weights": test_checkpoints_and_weights.CASES,
    "Configuration": test_configuration.CASES,
    "Environment": test_environment.CASES,
    "Records": test_bad_records.CASES,
}


def test_every_case_is_one_of_its_own() -> None:
    cases = [case for part in PARTS.values() for case in part]
    named = [one.given for one in test_pictures.IMAGES] + [one.given for one in cases]
    assert len(set(named)) == len(named) >= 60
    typed = {(one.given, one.command, tuple(one.arguments)) for one in cases}
    assert len(typed) == len(cases)
    assert all(one.message and one.status for one in cases)


def test_the_page_lists_what_is_tried() -> None:
    """`python -m tests.support.write_bad_input_page` writes it anew."""
    page = catalogue.PAGE.read_text()
    tables = catalogue.page(test_pictures.IMAGES, PARTS)
    assert page.endswith(tables)
    count = len(test_pictures.IMAGES) + sum(map(len, PARTS.values()))
    assert f"{count} cases" in page
