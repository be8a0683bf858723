"""The report as one page that needs nothing beside it: no script, no network, no other file."""

import base64
import functools
import mimetypes
import re
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from catsdogs.reporting.document import SIGNS, Document, Figure, Table
from catsdogs.reporting.plotting import inline_svg

NOTHING = "", "-", "none"  # a column of numbers may hold these
PROSE = 28  # characters; a longer cell may be broken into lines
NUMBER = re.compile(r"[-+±<>≤≥]?\s?[\d(]")  # how a cell begins that belongs to the right


def page(document: Document, drawings: Mapping[str, str]) -> str:
    """Return the page; all text in it is escaped.

    Args:
        document: What it says.
        drawings: SVG files of its figures, by their names.
    """
    template = _environment().get_template("page.html.j2")
    css = files("catsdogs.reporting").joinpath("page.css").read_text(encoding="utf-8")
    return template.render(
        document=document,
        css=Markup(css),
        kind=lambda block: type(block).__name__,
        column_kind=_column_kind,
        svg=lambda figure: _svg(figure, drawings[figure.name]),
        data_uri=_data_uri,
        signs=SIGNS,
    )


@functools.cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("catsdogs.reporting", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def _column_kind(table: Table, column: int) -> str:
    """Return how a column is set: as numbers, as prose that may wrap, or as words."""
    cells = [row[column] for row in table.rows if row[column] not in NOTHING]
    if any(len(cell) > PROSE for cell in cells):
        return "prose"
    return "number" if cells and all(map(NUMBER.match, cells)) else "words"


def _svg(figure: Figure, drawing: str) -> Markup:
    label = f'<svg role="img" aria-label="{escape(figure.alt)}"'
    return Markup(
        inline_svg(drawing, figure.name).replace("<svg", label, 1)
    )  # matplotlib escapes the text in it


def _data_uri(path: Path) -> str:
    kind = mimetypes.guess_type(path.name)[0] or "image/jpeg"
    return f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode('ascii')}"
