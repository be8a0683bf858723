"""The figure style: matplotlib settings, axes, panels by method, and reproducible PNG and SVG."""

import io
import re
from collections.abc import Callable, Sequence
from typing import Any

from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.ticker import MaxNLocator

from catsdogs.io.text import one_line
from catsdogs.reporting.document import Figure
from catsdogs.reporting.style import INK, method_title, panels

STYLE: dict[str, Any] = {
    # matplotlib ships this font, so layouts do not depend on the installed fonts.
    "font.family": ["DejaVu Sans", "sans-serif"],
    "font.size": 10.0,
    "axes.titlesize": 11.0,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.formatter.use_mathtext": False,
    "grid.color": INK,
    "grid.alpha": 0.14,
    "grid.linewidth": 0.8,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "legend.handlelength": 3.0,
    "lines.dash_capstyle": "butt",
    "svg.fonttype": "none",
    "svg.hashsalt": "catsdogs",
}
COUNTED = "iteration", "epoch"  # axes with ticks at integers only
DASHES = str.maketrans("_ ", "--")
SIZE = 4.7, 3.5  # inches; at 72 points to the inch, about the width of a phone

styled = style.context(["default", STYLE])
"""Decorator of functions that draw or save: applies `STYLE`, ignores the user's matplotlibrc."""


def panel(title: str, x: str, y: str, *, size: tuple[float, float] = SIZE) -> tuple[Drawing, Axes]:
    """Return an empty drawing and its axes.

    Args:
        title: Title of the axes, drawn literally.
        x: Label of the x axis.
        y: Label of the y axis.
        size: Width and height in inches.
    """
    drawing = Drawing(figsize=size, layout="constrained")
    axes = drawing.add_subplot()
    axes.set(title=literal(title), xlabel=x, ylabel=y)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=x in COUNTED))
    return drawing, axes


def literal(text: str) -> str:
    """Return a text on one line, with `$` escaped, which matplotlib would read as a formula."""
    return one_line(text).replace("$", r"\$")


def method_panels(
    name: str, contenders: Sequence[str], x: str, y: str, draw: Callable[[Axes, str], str]
) -> tuple[tuple[Figure, ...], list[Axes]]:
    """Draw one panel for each method, all with the same axis limits.

    Args:
        name: Prefix of the figures' names, before the method.
        contenders: Labels.
        x: Label of the x axes.
        y: Label of the y axes.
        draw: Draws one contender into the axes and returns a description for the alt text.

    Returns:
        The figures and their axes, one for each method.
    """
    figures, drawn = [], []
    for number, (method, labels) in enumerate(panels(contenders).items(), 1):
        drawing, axes = panel(method_title(method), x, y)
        words = "; ".join([draw(axes, label) for label in labels])
        # Below the axes, the legend covers no curve.
        handles, names = axes.get_legend_handles_labels()
        drawing.legend(handles, list(map(literal, names)), loc="outside lower left")
        drawn.append(axes)
        # The method comes from a record: its file name must stay in the folder and be unique.
        plain = re.sub(r"[^A-Za-z0-9]+", "-", method)
        stem = f"{name}-{plain}" if plain == method.translate(DASHES) else f"{name}-{number}"
        alt = f"{method_title(method)}, {y} over {x}. {words}."
        figures.append(Figure(stem, method_title(method), alt, drawing))
    for limits, set_limits in ((Axes.get_xlim, Axes.set_xlim), (Axes.get_ylim, Axes.set_ylim)):
        lows, highs = zip(*map(limits, drawn), strict=True)
        for axes in drawn:
            set_limits(axes, min(lows), max(highs))
    return tuple(figures), drawn


@styled
def png(drawing: Drawing) -> bytes:
    """Return a drawing as PNG, on a white background."""
    data = io.BytesIO()
    drawing.savefig(data, format="png", dpi=144, facecolor="white", metadata={"Software": None})
    return data.getvalue()


@styled
def svg(drawing: Drawing) -> str:
    """Return a drawing as the text of an SVG file, on a white background."""
    data = io.StringIO()
    metadata = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    drawing.savefig(data, format="svg", facecolor="white", metadata=metadata)
    drawing.set_layout_engine("none")  # a PNG of the same drawing keeps this layout
    return data.getvalue()


def inline_svg(text: str, name: str) -> str:
    """Return the text of an SVG file from `svg` as an element of a page.

    Text and axes take the page's text colour, the background becomes transparent, and the ids,
    which matplotlib repeats in every drawing, get the prefix `name`.
    """
    text = text[text.index("<svg") :]
    text = re.sub(r'<g id="patch_1">.*?</g>', "", text, count=1, flags=re.DOTALL)  # background
    text = re.sub(r'(?<=\bid=")|(?<=href="#)|(?<=url\(#)', f"{name}-", text)
    text = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", text, count=1)
    return text.replace(INK, "currentColor")
