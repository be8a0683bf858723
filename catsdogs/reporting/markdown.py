"""The report as Markdown, its figures and pictures in folders beside it."""

import re
from collections.abc import Iterator

from catsdogs.reporting.document import (
    Block,
    Document,
    Figure,
    Finding,
    Gallery,
    Panels,
    Paragraph,
    Picture,
    Section,
    Table,
)

MARKUP = re.compile(r"([\\`*\[\]|])")


def markdown(document: Document) -> str:
    """Return the report's text; a reader's own markup in it is escaped."""
    parts = [f"# {_text(document.title)}", _text(document.lead)]
    for section in document.sections:
        parts.append(f"## {_text(section.title)}")
        parts += [part for block in section.blocks for part in _block(block, section)]
    return "\n\n".join(parts) + "\n"


def picture_file(section: Section, number: int, picture: Picture) -> str:
    """Return where a gallery's picture lies beside the report."""
    return f"pictures/{section.anchor}-{number}{picture.path.suffix}"


def _block(block: Block, section: Section) -> Iterator[str]:
    match block:
        case Paragraph(text):
            yield _text(text)
        case Finding(sign, title, text):
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
        case Gallery(caption, pictures):
            for number, picture in enumerate(pictures, start=1):
                where = picture_file(section, number, picture)
                yield f"![{_text(picture.alt)}]({where}) {_text(picture.caption)}"
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
