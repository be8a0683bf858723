"""The folder of a report: written file by file, each whole; a stranger's files stay."""

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

LIST = "files.txt"  # what a report wrote, so that the next one can take away what is stale


NOTHING = "", "-", "none"  # a column of numbers may hold these
PROSE = 28  # characters; a longer cell may be broken into lines
NUMBER = re.compile(r"[-+±<>≤≥]?\s?[\d(]")  # how a cell begins that belongs to the right


MARKUP = re.compile(r"([\\`*\[\]|])")


def write_report(document: Document, results: str, directory: Path) -> Path:
    """Write a report and return its page.

    The folder gets `index.html`, `report.md`, `results.csv`, `figures/`, `pictures/` and
    `files.txt`. Files of a former report that this one no longer has are removed; files that no
    report wrote are left alone.

    Args:
        document: What it says.
        results: Text of `results.csv`.
        directory: Made if it is not there.

    Raises:
        UserError: If the folder cannot be written to.
    """
    make_directory(directory, "out")
    names = []
    for name, content in _files(document, results):
        _write(directory / name, content)
        names.append(name)
    _remove_stale(directory, names)
    _write(directory / LIST, "\n".join(sorted(names)).encode() + b"\n")
    return directory / "index.html"


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
                    yield image_file(section, number, image), image.path.read_bytes()
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


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(exist_ok=True)
    with atomic_file(path) as partial:
        partial.write_bytes(content)


def _remove_stale(directory: Path, names: list[str]) -> None:
    listed = directory / LIST
    former = listed.read_text(encoding="utf-8").splitlines() if listed.exists() else []
    for name in set(former) - set(names):
        path = directory / name
        # The list is a file that anyone can edit: nothing above the folder is ours.
        if path.resolve().is_relative_to(directory.resolve()) and path.is_file():
            path.unlink()


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


def markdown(document: Document) -> str:
    """Return the report's text; a reader's own markup in it is escaped."""
    parts = [f"# {_text(document.title)}", _text(document.lead)]
    for section in document.sections:
        parts.append(f"## {_text(section.title)}")
        parts += [part for block in section.blocks for part in _block(block, section)]
    return "\n\n".join(parts) + "\n"


def image_file(section: Section, number: int, image: CaptionedImage) -> str:
    """Return where a gallery's picture lies beside the report."""
    return f"pictures/{section.anchor}-{number}{image.path.suffix}"


def _block(block: Block, section: Section) -> Iterator[str]:
    match block:
        case Paragraph(text):
            yield _text(text)
        case VerdictLine(sign, title, text):
            yield f"{sign} **{_text(title)}**{_text(text)}"
        case Table():
            yield f"**{_text(block.caption)}**"
            yield _table(block)
            if block.note:
                yield _text(block.note)
        case Figure():
            yield _figure(block)
            yield f"*{_text(block.caption)}*"
        case Panels(caption, figures):
            yield "\n".join(map(_figure, figures))
            yield f"*{_text(caption)}*"
        case Gallery(caption, images):
            for number, image in enumerate(images, start=1):
                where = image_file(section, number, image)
                yield f"![{_text(image.alt)}]({where}) {_text(image.caption)}"
            yield f"*{_text(caption)}*"


def _table(table: Table) -> str:
    lines = [table.columns, ("---",) * len(table.columns), *table.rows]
    ready = [lines[1] if line is lines[1] else tuple(map(_text, line)) for line in lines]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in ready)


def _figure(figure: Figure) -> str:
    return f"![{_text(figure.alt)}](figures/{figure.name}.png)"


def _text(text: str) -> str:
    """Return plain text as Markdown that shows it: no markup, no HTML, one line."""
    entities = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return MARKUP.sub(r"\\\1", " ".join(entities.split()))
