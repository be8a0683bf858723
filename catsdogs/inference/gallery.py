"""Gallery: one self-contained HTML page of predictions, with thumbnails, filters and sorting."""

import base64
import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from PIL import Image

from catsdogs.inference.predictions import Prediction, evenly_spaced
from catsdogs.io.formatting import count
from catsdogs.io.text import on_page, printable

MOST = 1000  # images on the page; a thumbnail adds about 8 kB
MOST_UNREADABLE = 200


@dataclass(frozen=True)
class Shown:
    """The predictions that a page shows, and a note on those that it leaves out."""

    predictions: list[Prediction]
    note: str


def choose(ranking: Sequence[Prediction], most: int = MOST) -> Shown:
    """Choose all predictions, or `most`: half the least confident, half spaced over the rest.

    Args:
        ranking: The most confident first, as `ranked` returns them.
        most: The largest number to choose.
    """
    if len(ranking) <= most:
        return Shown(list(ranking), "")
    unsure = most // 2
    rest = ranking[: len(ranking) - unsure]
    note = (
        f"Showing {most} of {len(ranking)} images: the {unsure} with the least confident "
        f"predictions, and {most - unsure} evenly spaced over the rest. predictions.csv lists all."
    )
    return Shown([*evenly_spaced(rest, most - unsure), *ranking[len(ranking) - unsure :]], note)


def gallery(
    shown: Shown,
    images: Sequence[Image.Image | None],
    unreadable: Sequence[Prediction],
    *,
    lead: str,
) -> str:
    """Return the page as HTML; all text in it is escaped.

    Args:
        shown: The predictions on the page, in order.
        images: The thumbnails of `shown.predictions`; None shows a placeholder.
        unreadable: Files without a prediction.
        lead: One or two sentences on the classifier and its predictions.
    """
    environment = Environment(
        loader=PackageLoader("catsdogs.inference", "."),
        autoescape=True,
        finalize=on_page,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    script = _text("catsdogs.inference", "gallery.js")
    css = _text("catsdogs.reporting", "page.css") + _text("catsdogs.inference", "gallery.css")
    cards = [_card(*one) for one in zip(shown.predictions, images, strict=True)]
    return environment.get_template("gallery.html.j2").render(
        lead=lead,
        note=shown.note,
        cards=cards,
        unreadable=[(printable(one.path), one.status) for one in unreadable[:MOST_UNREADABLE]],
        unreadable_count=count(len(unreadable), "file"),
        unreadable_rest=max(0, len(unreadable) - MOST_UNREADABLE),
        css=Markup(css),
        script=Markup(script),
        script_hash=_base64(hashlib.sha256(script.encode()).digest()),
    )


def _card(prediction: Prediction, image: Image.Image | None) -> dict[str, Any]:
    return {
        "path": printable(prediction.path),
        "label": prediction.label,
        "confidence": prediction.confidence,
        "logit": prediction.logit,
        "words": prediction.words,
        "image": image and _data_uri(image),
        "width": image and image.width,
        "height": image and image.height,
    }


def _data_uri(image: Image.Image) -> str:
    content = io.BytesIO()
    image.save(content, "JPEG", quality=80, optimize=True)
    return f"data:image/jpeg;base64,{_base64(content.getvalue())}"


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")


def _text(package: str, name: str) -> str:
    return files(package).joinpath(name).read_text(encoding="utf-8")
