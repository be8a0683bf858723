"""What a report says, before it is decided how it looks: written as a page or as Markdown."""

from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure as Drawing


@dataclass(frozen=True)
class Paragraph:
    """Plain text, no markup."""

    text: str


@dataclass(frozen=True)
class Table:
    """Cells as text, ready to print; the first column names its row.

    Attributes:
        caption: What the table shows, one sentence.
        columns: Their names, as many as each row has cells.
        rows: From top to bottom.
        note: What a reader must know to read it; may be empty.
    """

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""


@dataclass(frozen=True)
class Figure:
    """A drawing.

    Attributes:
        name: Stem of its files.
        caption: What it shows, one sentence.
        alt: What a reader who cannot see it must be told.
        drawing: The same for the same records, to the byte.
    """

    name: str
    caption: str
    alt: str
    drawing: Drawing


@dataclass(frozen=True)
class Panels:
    """Drawings side by side where there is room, under one caption; each is titled by its own."""

    caption: str
    figures: tuple[Figure, ...]


@dataclass(frozen=True)
class CaptionedImage:
    """A small photograph or drawing with what is to be said of it."""

    path: Path
    caption: str
    alt: str


@dataclass(frozen=True)
class Gallery:
    """Pictures side by side."""

    caption: str
    images: tuple[CaptionedImage, ...]


@dataclass(frozen=True)
class VerdictLine:
    """What a reader came for, in one sentence.

    Attributes:
        sign: One of `SIGNS`: how the two sides are to each other.
        title: How the sentence begins: the judgement.
        text: How it goes on: the evidence.
    """

    sign: str
    title: str
    text: str


SIGNS = {"=": "equal", "≈": "close", "≠": "different", "?": "undecided"}


Block = Paragraph | VerdictLine | Table | Figure | Panels | Gallery


@dataclass(frozen=True)
class Section:
    """A heading and what stands under it."""

    title: str
    blocks: tuple[Block, ...]

    @property
    def anchor(self) -> str:
        """Return the title as a link's end."""
        return self.title.lower().replace(" ", "-")


@dataclass(frozen=True)
class Document:
    """The report.

    Attributes:
        title: Of the page.
        lead: What was compared, one or two sentences.
        sections: In the order of reading.
    """

    title: str
    lead: str
    sections: tuple[Section, ...]
