"""Render a document to a folder: HTML page, Markdown, CSV and figures, each written atomically."""

import base64
import functools
import mimetypes
import re
from collections.abc import Iterator, Mapping
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from catsdogs.io.files import atomic_file, make_directory
from catsdogs.io.progress import progress
from catsdogs.io.text import on_page, one_line
from catsdogs.reporting.document import (
    SIGNS,
    Block,
    CaptionedImage,
    Document,
    Figure,
    Gallery,
    Panels,
    Paragraph,
    Section,
    Table,
    VerdictLine,
)
from catsdogs.reporting.plotting import inline_svg, png, svg

FILE_LIST = "files.txt"  # names of the files of a report, so that the next one removes stale ones
EMPTY_CELLS = "", "-", "none"  # allowed in a column of numbers
PROSE = 28  # characters; a column with a longer cell may wrap
NUMBER = re.compile(r"[-+±<>≤≥]?\s?[\d(]")  # start of a cell that is right-aligned
MARKDOWN_SYNTAX = re.compile(r"([\\`*\[\]|])")


def write_report(document: Document, results: str, directory: Path) -> Path:
    """Write a report and return the path of its page.

    The folder receives `index.html`, `report.md`, `results.csv`, `figures/`, `pictures/` and
    `files.txt`. Files of an earlier report that are not part of this one are removed; other files
    are left unchanged.

    Args:
        document: The report.
        results: Text of `results.csv`.
        directory: Created if it does not exist.

    Raises:
        UserError: If the folder is not writable.
    """
    make_directory(directory, "out")
    names = []
    for name, content in _files(document, results):
        _write(directory / name, content)
        names.append(name)
    _remove_stale(directory, names)
    _write(directory / FILE_LIST, "\n".join(sorted(names)).encode() + b"\n")
    return directory / "index.html"


def page(document: Document, drawings: Mapping[str, str]) -> str:
    """Return the HTML page, with all text escaped.

    Args:
        document: The report.
        drawings: SVG text of each figure, by the figure's name.
    """
    template = _environment().get_template("page.html.j2")
    css = files("catsdogs.reporting").joinpath("page.css").read_text(encoding="utf-8")
    return template.render(
        document=document,
        css=Markup(css),
        kind=lambda block: type(block).__name__,
        column_kinds=_column_kinds,
        svg=lambda figure: _svg(figure, drawings[figure.name]),
        data_uri=_data_uri,
        signs=SIGNS,
    )


def markdown(document: Document) -> str:
    """Return the report as Markdown, with all text escaped."""
    parts = [f"# {_escaped(document.title)}", _escaped(document.lead)]
    for section in document.sections:
        parts.append(f"## {_escaped(section.title)}")
        parts += [part for block in section.blocks for part in _block(block, section)]
    return "\n\n".join(parts) + "\n"


def _files(document: Document, results: str) -> Iterator[tuple[str, bytes]]:
    figures, drawings = _figures(document), {}
    for figure in progress(figures, total=len(figures), description="drawing", unit="figure"):
        drawings[figure.name] = svg(figure.drawing)
        yield f"figures/{figure.name}.svg", drawings[figure.name].encode()
        yield f"figures/{figure.name}.png", png(figure.drawing)
    for section in document.sections:
        for block in section.blocks:
            if isinstance(block, Gallery):
                for number, image in enumerate(block.images, start=1):
                    yield _image_file(section, number, image), image.path.read_bytes()
    yield "results.csv", results.encode()
    yield "report.md", markdown(document).encode()
    yield "index.html", page(document, drawings).encode()


def _figures(document: Document) -> list[Figure]:
    found: list[Figure] = []
    for block in (block for section in document.sections for block in section.blocks):
        if isinstance(block, Figure):
            found.append(block)
        elif isinstance(block, Panels):
            found += block.figures
    return found


def _image_file(section: Section, number: int, image: CaptionedImage) -> str:
    """Return the path of a gallery's image relative to the report."""
    return f"pictures/{section.anchor}-{number}{image.path.suffix}"


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(exist_ok=True)
    with atomic_file(path) as partial:
        partial.write_bytes(content)


def _remove_stale(directory: Path, names: list[str]) -> None:
    file_list = directory / FILE_LIST
    former = file_list.read_text(encoding="utf-8").splitlines() if file_list.exists() else []
    for name in set(former) - set(names):
        path = directory / name
        # Anyone can edit the list: never remove a file outside the folder.
        if path.resolve().is_relative_to(directory.resolve()) and path.is_file():
            path.unlink()


@functools.cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("catsdogs.reporting", "."),
        autoescape=True,
        finalize=on_page,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def _column_kinds(table: Table) -> list[str]:
    return [_column_kind(table, column) for column in range(len(table.columns))]


def _column_kind(table: Table, column: int) -> str:
    """Return the CSS class of a column: numbers, prose that may wrap, or words."""
    cells = [row[column] for row in table.rows if row[column] not in EMPTY_CELLS]
    if any(len(cell) > PROSE for cell in cells):
        return "prose"
    return "number" if cells and all(map(NUMBER.match, cells)) else "words"


def _svg(figure: Figure, drawing: str) -> Markup:
    label = f'<svg role="img" aria-label="{escape(on_page(figure.alt))}"'
    # matplotlib has escaped the text inside the drawing.
    return Markup(inline_svg(drawing, figure.name).replace("<svg", label, 1))


def _data_uri(path: Path) -> str:
    kind = mimetypes.guess_type(path.name)[0] or "image/jpeg"
    return f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode('ascii')}"


def _block(block: Block, section: Section) -> Iterator[str]:
    match block:
        case Paragraph(text):
            yield _escaped(text)
        case VerdictLine(sign, title, text):
            yield f"{sign} **{_escaped(title)}**{_escaped(text)}"
        case Table():
            yield f"**{_escaped(block.caption)}**"
            yield _table(block)
            if block.note:
                yield _escaped(block.note)
        case Figure():
            yield _figure(block)
            yield f"*{_escaped(block.caption)}*"
        case Panels(caption, figures):
            yield "\n".join(map(_figure, figures))
            yield f"*{_escaped(caption)}*"
        case Gallery(caption, images):
            for number, image in enumerate(images, start=1):
                path = _image_file(section, number, image)
                yield f"![{_escaped(image.alt)}]({path}) {_escaped(image.caption)}"
            yield f"*{_escaped(caption)}*"


def _table(table: Table) -> str:
    header, *rows = (tuple(map(_escaped, cells)) for cells in (table.columns, *table.rows))
    lines = (header, ("---",) * len(header), *rows)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _figure(figure: Figure) -> str:
    return f"![{_escaped(figure.alt)}](figures/{figure.name}.png)"


def _escaped(text: str) -> str:
    """Return Markdown that displays the text literally, on one line, without HTML."""
    entities = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return one_line(MARKDOWN_SYNTAX.sub(r"\\\1", " ".join(entities.split())))
