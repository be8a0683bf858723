"""Panels to draw on, and drawings as bytes that are the same for the same records."""

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
    # The font comes with matplotlib, so a layout is the same everywhere.
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
COUNTED = "iteration", "epoch"  # half of one is none
DASHES = str.maketrans("_ ", "--")
SIZE = 4.7, 3.5  # inches; at 72 points each a panel is about as wide as a phone

styled = style.context(["default", STYLE])
"""Use as a decorator of what makes or writes a drawing; the user's own matplotlibrc is left out."""


def panel(title: str, x: str, y: str, *, size: tuple[float, float] = SIZE) -> tuple[Drawing, Axes]:
    """Return an empty drawing and its axes."""
    drawing = Drawing(figsize=size, layout="constrained")
    axes = drawing.add_subplot()
    axes.set(title=literal(title), xlabel=x, ylabel=y)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=x in COUNTED))
    return drawing, axes


def literal(text: str) -> str:
    """Return a text that matplotlib draws as it is, though it holds what begins a formula."""
    return one_line(text).replace("$", r"\$")


def method_panels(
    name: str, contenders: Sequence[str], x: str, y: str, draw: Callable[[Axes, str], str]
) -> tuple[tuple[Figure, ...], list[Axes]]:
    """Draw one panel for each method, all with the same axes.

    Args:
        name: With the method's, the stem of each panel's files.
        contenders: Labels.
        x: What goes to the right.
        y: What goes up.
        draw: Draws one contender into the axes and says in words what is to be seen.
    """
    figures, drawn = [], []
    for number, (method, labels) in enumerate(panels(contenders).items(), 1):
        drawing, axes = panel(method_title(method), x, y)
        words = "; ".join([draw(axes, label) for label in labels])
        # Under the axes the legend hides nothing.
        handles, names = axes.get_legend_handles_labels()
        drawing.legend(handles, list(map(literal, names)), loc="outside lower left")
        drawn.append(axes)
        # A record names the method: its name must lead to no other folder, and to no other panel.
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
    """Return a drawing as PNG, on white."""
    data = io.BytesIO()
    drawing.savefig(data, format="png", dpi=144, facecolor="white", metadata={"Software": None})
    return data.getvalue()


@styled
def svg(drawing: Drawing) -> str:
    """Return a drawing as an SVG file, on white."""
    data = io.StringIO()
    metadata = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    drawing.savefig(data, format="svg", facecolor="white", metadata=metadata)
    drawing.set_layout_engine("none")  # laid out once, the places hold for every format
    return data.getvalue()


def inline_svg(text: str, name: str) -> str:
    """Return an SVG file of `svg` as an element of a page.

    Its text and axes take the page's text colour, its ground is the page's, and its ids, which are
    the same in every drawing, begin with `name`.
    """
    text = text[text.index("<svg") :]
    text = re.sub(r'<g id="patch_1">.*?</g>', "", text, count=1, flags=re.DOTALL)  # white ground
    text = re.sub(r'(?<=\bid=")|(?<=href="#)|(?<=url\(#)', f"{name}-", text)
    text = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", text, count=1)
    return text.replace(INK, "currentColor")
