"""The page: one self-contained file, escaped and accessible."""

import base64
from collections import Counter
from pathlib import Path

import pytest

from catsdogs.reporting.document import Document, Figure, Panels
from catsdogs.reporting.plotting import svg
from catsdogs.reporting.render import page
from tests.support.pages import Elements
from tests.support.sample_document import sample_document


def written(document: Document) -> str:
    blocks = [block for section in document.sections for block in section.blocks]
    singles = [block for block in blocks if isinstance(block, Figure)]
    panels = [one for block in blocks if isinstance(block, Panels) for one in block.figures]
    return page(document, {one.name: svg(one.drawing) for one in (*singles, *panels)})


@pytest.fixture
def document(tmp_path: Path) -> Document:
    return sample_document(tmp_path)


@pytest.fixture
def elements(document: Document) -> Elements:
    return Elements(written(document))


def test_elements_are_closed_in_order_and_ids_are_unique(elements: Elements) -> None:
    assert not elements.open
    ids = Counter(attributes["id"] for _, attributes in elements.found if "id" in attributes)
    assert ids.most_common(1)[0][1] == 1
    for _, attributes in elements.found:
        for key in ("href", "xlink:href", "aria-labelledby"):
            target = attributes.get(key, "").removeprefix("#")
            assert not target or target in ids or target == "data:,"


def test_markup_in_any_text_is_displayed_literally(elements: Elements) -> None:
    assert not elements.of("script")
    places = "title lead paragraph verdict evidence table column cell note caption panels gallery"
    for place in (*places.split(), "image"):
        assert f'{place} <script>alert("x")</script> & a|b' in elements.text, place


def test_the_page_requests_no_other_file(elements: Elements) -> None:
    for tag, attributes in elements.found:
        for key in ("src", "href", "xlink:href", "srcset", "data", "action"):
            assert attributes.get(key, "#").startswith(("#", "data:")), (tag, attributes)
        assert "http" not in attributes.get("style", "")
    policy = [meta for meta in elements.of("meta") if "http-equiv" in meta]
    assert "default-src 'none'" in policy[0]["content"]


def test_images_are_inside_the_page(elements: Elements, tmp_path: Path) -> None:
    (image,) = elements.of("img")
    encoded = image["src"].removeprefix("data:image/jpeg;base64,")
    assert base64.b64decode(encoded) == (tmp_path / "thumbnail.jpg").read_bytes()
    assert image["alt"].startswith("alt <script>")


def test_every_figure_has_a_description_for_those_who_cannot_see_it(elements: Elements) -> None:
    drawings = elements.of("svg")
    assert len(drawings) == 3
    assert all(drawing["role"] == "img" for drawing in drawings)
    assert drawings[0]["aria-label"].startswith('alt <script>alert("x")')
    assert drawings[1]["aria-label"] == "alt l"
    assert all(not {"width", "height"} & set(drawing) for drawing in drawings)


def test_tables_have_row_and_column_headers_and_scroll_by_keyboard(
    elements: Elements,
) -> None:
    assert len(elements.of("caption")) == len(elements.of("table")) == 1
    scopes = Counter(header["scope"] for header in elements.of("th"))
    assert scopes == {"col": 3, "row": 2}
    (box,) = [one for one in elements.of("div") if one.get("role") == "region"]
    assert box["tabindex"] == "0"
    assert box["aria-labelledby"] == elements.of("caption")[0]["id"]


def test_columns_of_numbers_are_right_aligned_and_sentences_may_wrap(elements: Elements) -> None:
    kinds = [cell["class"] for cell in elements.of("th") if cell["scope"] == "col"]
    assert kinds == ["words", "number", "prose"]


def test_text_and_axes_of_figures_take_the_page_colour(document: Document) -> None:
    text = written(document)
    drawing = text[text.index("<svg") : text.index("</svg>")]
    assert "currentColor" in drawing
    assert "#1b1f24" not in drawing
    assert "#ffffff" not in drawing.lower()
