"""Colours and line styles of the contenders, the same in every figure.

Each method has one hue, after the palette of Okabe and Ito for colour-blind readers. The native
optimizer is a wide light line and the custom one a thin dark dashed line on top, so that both
remain visible where the curves coincide.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

INK = "#1b1f24"  # text, axes and published optimizers; a page substitutes its text colour
GREY = "#808080"  # reference lines
HUES = {  # light for native, dark for custom
    "sgd": ("#56b4e9", "#0072b2"),
    "momentum": ("#7accb0", "#00805d"),
    "rmsprop": ("#dda6c6", "#a8487f"),
    "adam": ("#f0b53f", "#cc5500"),
    "saga": ("#d8c46a", "#8c6d1f"),
}
OTHER_COLOURS = ("#8172b3", "#b5475d", "#6b8e23", "#3a8c8c")  # of other optimizers, in order
SOLID, DASHED, DOTTED = (), (3.6, 2.6), (1.0, 1.1)
TITLES = {"sgd": "SGD", "rmsprop": "RMSprop", "adam": "Adam", "saga": "SAGA"}


@dataclass(frozen=True)
class LineStyle:
    """Colour and line style of one contender.

    Attributes:
        colour: `#rrggbb`.
        width: Line width in points.
        dashes: Lengths of dashes and gaps in line widths; empty for a solid line.
        height: Drawing order; higher is on top.
        words: Description of the line for the legend.
    """

    colour: str
    width: float
    dashes: tuple[float, ...]
    height: int
    words: str

    def line(self, weight: float = 1.0) -> dict[str, Any]:
        """Return keyword arguments for matplotlib's `plot`; `weight` multiplies the width."""
        return {
            "color": self.colour,
            "linewidth": weight * self.width,
            "dashes": self.dashes or (None, None),
            "zorder": self.height,
        }


def role_and_method(label: str) -> tuple[str, str]:
    """Split `native_adam` into `native` and `adam`; any other label has the role `own`."""
    role, _, method = label.partition("_")
    return (role, method) if role in ("native", "custom", "published") else ("own", label)


def line_style(label: str, contenders: Sequence[str]) -> LineStyle:
    """Return the style of one contender.

    Args:
        label: The contender.
        contenders: All labels of the comparison; they decide the colour of an `own` optimizer.
    """
    role, method = role_and_method(label)
    light, dark = HUES.get(method.removeprefix("linear_"), HUES["saga"])
    if role == "native":
        return LineStyle(light, 5.0, SOLID, 2, "wide")
    if role == "custom":
        return LineStyle(dark, 1.5, DASHED, 4, "dashed")
    if role == "published":
        return LineStyle(INK, 2.0, DOTTED, 3, "dotted")
    number = _own(contenders).index(label) % len(OTHER_COLOURS)
    return LineStyle(OTHER_COLOURS[number], 1.6, SOLID, 5, "thin")


def method_title(method: str) -> str:
    """Return the name of a method as text writes it, such as `SGD` for `sgd`."""
    return " ".join(TITLES.get(word, word) for word in method.split("_"))


def panels(contenders: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Return the contenders of each method's panel; an `own` optimizer is in every panel."""
    methods: dict[str, tuple[str, ...]] = {}
    for label in contenders:
        role, method = role_and_method(label)
        if role != "own":
            methods[method] = (*methods.get(method, ()), label)
    own = _own(contenders)
    if not methods:
        return {"all contenders": own}
    return {method: (*labels, *own) for method, labels in methods.items()}


def _own(contenders: Sequence[str]) -> tuple[str, ...]:
    return tuple(label for label in contenders if role_and_method(label)[0] == "own")
