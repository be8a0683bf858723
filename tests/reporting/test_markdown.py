"""The report as Markdown: all text escaped, and links to files of the report."""

import re
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from catsdogs.reporting.document import Document
from catsdogs.reporting.render import markdown, write_report
from tests.support.sample_document import sample_document


@pytest.fixture
def document(tmp_path: Path) -> Document:
    return sample_document(tmp_path)


def test_markup_in_any_text_is_displayed_literally(document: Document) -> None:
    html = MarkdownIt().enable("table").render(markdown(document))
    assert "<script" not in html
    assert "<code" not in html
    assert 'href="e"' not in html
    shown = "&lt;script&gt;alert(&quot;x&quot;)&lt;/script&gt; &amp; a|b *c* [d](e) `f` second line"
    assert html.count(shown) >= 14
    assert html.count("<tr>") == 3


def test_every_link_leads_to_a_file_of_the_report(document: Document, tmp_path: Path) -> None:
    write_report(document, "", tmp_path / "report")
    links = re.findall(r"\]\(((?:figures|pictures)/[^)]+)\)", markdown(document))
    assert len(links) == 4
    assert all((tmp_path / "report" / link).is_file() for link in links)
