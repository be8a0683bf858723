"""How each contender is drawn: the same colour and line in every figure of a report.

A method has one hue of Okabe and Ito's palette, which colour-blind readers can tell apart. Its
native optimizer is a wide light line and the custom one a thin dark dashed line upon it, so that
two curves that are the same can be seen to be the same.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

INK = "#1b1f24"  # text, axes and exhibits; a page replaces it by its own text colour
GREY = "#808080"  # lines that are no contender's
HUES = {  # light and dark
    "sgd": ("#56b4e9", "#0072b2"),
    "momentum": ("#7accb0", "#00805d"),
    "rmsprop": ("#dda6c6", "#a8487f"),
    "adam": ("#f0b53f", "#cc5500"),
    "saga": ("#d8c46a", "#8c6d1f"),
}
OWN = ("#8172b3", "#b5475d", "#6b8e23", "#3a8c8c")  # for optimizers from elsewhere, in their order
SOLID, DASHED, DOTTED = (), (3.6, 2.6), (1.0, 1.1)


@dataclass(frozen=True)
class LineStyle:
    """How one contender is drawn.

    Attributes:
        colour: As #rrggbb.
        width: Of its lines, in points.
        dashes: Lengths of dashes and gaps in line widths; empty for a solid line.
        height: Which line lies upon which; twins lie under those that may hide them.
        words: The line in words, for the legend.
    """

    colour: str
    width: float
    dashes: tuple[float, ...]
    height: int
    words: str

    def line(self, weight: float = 1.0) -> dict[str, Any]:
        """Return the arguments of matplotlib's `plot`; `weight` is a factor to the width."""
        return {
            "color": self.colour,
            "linewidth": weight * self.width,
            "dashes": self.dashes or (None, None),
            "zorder": self.height,
        }


NAMES = {"sgd": "SGD", "rmsprop": "RMSprop", "adam": "Adam", "saga": "SAGA"}


def role_and_method(label: str) -> tuple[str, str]:
    """Split `native_adam` into `native` and `adam`; another label is its own method."""
    role, _, method = label.partition("_")
    return (role, method) if role in ("native", "custom", "published") else ("own", label)


def line_style(label: str, contenders: Sequence[str]) -> LineStyle:
    """Return how one of a comparison's contenders is drawn."""
    role, method = role_and_method(label)
    light, dark = HUES.get(method.removeprefix("linear_"), HUES["saga"])
    if role == "native":
        return LineStyle(light, 5.0, SOLID, 2, "wide")
    if role == "custom":
        return LineStyle(dark, 1.5, DASHED, 4, "dashed")
    if role == "published":
        return LineStyle(INK, 2.0, DOTTED, 3, "dotted")
    strangers = [name for name in contenders if role_and_method(name)[0] == "own"]
    return LineStyle(OWN[strangers.index(label) % len(OWN)], 1.6, SOLID, 5, "thin")


def method_title(method: str) -> str:
    """Return a method's name as it is written in text."""
    return " ".join(NAMES.get(word, word) for word in method.split("_"))


def panels(contenders: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Return which contenders share a panel, by method; an optimizer from elsewhere is in all."""
    methods: dict[str, tuple[str, ...]] = {}
    for label in contenders:
        role, method = role_and_method(label)
        if role != "own":
            methods[method] = (*methods.get(method, ()), label)
    strangers = tuple(label for label in contenders if role_and_method(label)[0] == "own")
    if not methods:
        return {"all contenders": strangers}
    return {method: (*labels, *strangers) for method, labels in methods.items()}
