"""The contents of a report, independent of their rendering as a page or as Markdown."""

from dataclasses import dataclass, replace
from pathlib import Path

from matplotlib.figure import Figure as Drawing

MOST_ROWS = 200  # of a table
# The signs of verdicts and their names, which are also CSS classes of the page.
SIGNS = {"=": "equal", "≈": "close", "≠": "different", "?": "undecided"}


@dataclass(frozen=True)
class Paragraph:
    """Plain text without markup."""

    text: str


@dataclass(frozen=True)
class Table:
    """A table of text cells; the first column names the row.

    Attributes:
        caption: One sentence.
        columns: Column names, one for each cell of a row.
        rows: Rows from top to bottom.
        note: Explanation below the table; may be empty.
    """

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""


@dataclass(frozen=True)
class Figure:
    """A drawing with its texts.

    Attributes:
        name: Stem of its file names.
        caption: One sentence.
        alt: Description for readers who cannot see the drawing.
        drawing: Renders to the same bytes for the same records.
    """

    name: str
    caption: str
    alt: str
    drawing: Drawing


@dataclass(frozen=True)
class Panels:
    """Figures side by side, where the page is wide enough, under one caption.

    Each figure shows its own title; its own caption is not printed.
    """

    caption: str
    figures: tuple[Figure, ...]


@dataclass(frozen=True)
class CaptionedImage:
    """A thumbnail with its texts."""

    path: Path
    caption: str
    alt: str


@dataclass(frozen=True)
class Gallery:
    """Thumbnails side by side under one caption."""

    caption: str
    images: tuple[CaptionedImage, ...]


@dataclass(frozen=True)
class VerdictLine:
    """A verdict on a pair of contenders, as one sentence.

    Attributes:
        sign: A key of `SIGNS`.
        title: The beginning of the sentence, which states the verdict.
        text: The rest of the sentence, which gives the evidence.
    """

    sign: str
    title: str
    text: str


Block = Paragraph | VerdictLine | Table | Figure | Panels | Gallery


@dataclass(frozen=True)
class Section:
    """A heading and the blocks below it."""

    title: str
    blocks: tuple[Block, ...]

    @property
    def anchor(self) -> str:
        """Return the fragment that links to the section."""
        return self.title.lower().replace(" ", "-")


@dataclass(frozen=True)
class Document:
    """A report.

    Attributes:
        title: Title of the page.
        lead: One or two sentences on what was compared.
        sections: In reading order.
    """

    title: str
    lead: str
    sections: tuple[Section, ...]


def shortened(table: Table) -> Table:
    """Return a table with its first `MOST_ROWS` rows, and a note on the others."""
    if len(table.rows) <= MOST_ROWS:
        return table
    note = f"The first {MOST_ROWS:,} of {len(table.rows):,} rows; results.csv has every run."
    rows = table.rows[:MOST_ROWS]
    return replace(table, rows=rows, note=f"{table.note} {note}".strip())


def present(*blocks: Block | None) -> tuple[Block, ...]:
    """Return the blocks that are not None; a table or figure without data is None."""
    return tuple(block for block in blocks if block is not None)
