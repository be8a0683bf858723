"""A document with one block of every kind, and text that is markup unless it is escaped."""

from pathlib import Path

from PIL import Image

from catsdogs.reporting.document import (
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
from catsdogs.reporting.plotting import panel, styled

EVIL = '<script>alert("x")</script> & a|b *c* [d](e) `f`\nsecond line'


@styled
def drawn(name: str, text: str) -> Figure:
    drawing, axes = panel(text, "x", "y")
    axes.plot([0, 1], [0, 1], label=text)
    drawing.legend(loc="outside lower left")
    return Figure(name, f"caption {text}", f"alt {text}", drawing)


def sample_document(folder: Path) -> Document:
    """Return the document; its one thumbnail is written to the folder."""
    thumbnail = folder / "thumbnail.jpg"
    Image.new("RGB", (16, 12), "red").save(thumbnail)
    return Document(
        f"title {EVIL}",
        f"lead {EVIL}",
        (
            Section(
                "First part",
                (
                    Paragraph(f"paragraph {EVIL}"),
                    VerdictLine("=", f"verdict {EVIL}", f"evidence {EVIL}"),
                    Table(
                        f"table {EVIL}",
                        ("name", "cost", f"column {EVIL}"),
                        (("one", "0.25", f"cell {EVIL}"), ("two", "-", "short")),
                        f"note {EVIL}",
                    ),
                ),
            ),
            Section(
                "Second",
                (
                    drawn("single", EVIL),
                    Panels(f"panels {EVIL}", (drawn("left", "l"), drawn("right", "r"))),
                    Gallery(
                        f"gallery {EVIL}",
                        (CaptionedImage(thumbnail, f"image {EVIL}", f"alt {EVIL}"),),
                    ),
                ),
            ),
        ),
    )
