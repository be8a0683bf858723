"""The answers as one page that needs nothing beside it: thumbnails, filters and all in one file."""

import base64
import hashlib
import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from PIL import Image

from catsdogs.inference.predictions import Prediction, to_csv
from catsdogs.inference.thumbnails import (
    MOST_ON_SHEET,
    contact_sheet,
    ranked,
    spread,
    thumbnails,
)
from catsdogs.io.files import atomic_file, atomic_write_text, make_directory
from catsdogs.io.formatting import count
from catsdogs.io.text import printable

MOST = 1000  # pictures on the page; a thumbnail takes some 8 kB of it
MOST_UNREADABLE = 200


@dataclass(frozen=True)
class Shown:
    """Which pictures a page shows, the most confident first, and what it says about the rest."""

    predictions: list[Prediction]
    note: str


def choose(ranking: Sequence[Prediction], most: int = MOST) -> Shown:
    """Choose all, or half of `most` from the unsure end and half from the rest at even steps."""
    if len(ranking) <= most:
        return Shown(list(ranking), "")
    unsure = most // 2
    rest = ranking[: len(ranking) - unsure]
    note = (
        f"Shown are {most} of {len(ranking)}: the {unsure} of which the classifier is least sure, "
        f"and {most - unsure} at even steps from the rest. predictions.csv has all."
    )
    return Shown([*spread(rest, most - unsure), *ranking[len(ranking) - unsure :]], note)


def gallery(
    shown: Shown,
    images: Sequence[Image.Image | None],
    unreadable: Sequence[Prediction],
    *,
    lead: str,
) -> str:
    """Return the page; all text in it is escaped.

    Args:
        shown: What it shows.
        images: The thumbnails of `shown.predictions`.
        unreadable: Predictions without an answer.
        lead: What the classifier is and what it said, one or two sentences.
    """
    environment = Environment(
        loader=PackageLoader("catsdogs.inference", "."),
        autoescape=True,
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
        "picture": image and _data_uri(image),
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


def write_results(predictions: Sequence[Prediction], classifier: str, directory: Path) -> None:
    """Write `predictions.csv`, `contact-sheet.png` and `gallery.html`; other files stay.

    Args:
        predictions: In the order of the table.
        classifier: What gave them, for a reader.
        directory: Made if it is not there.

    Raises:
        UserError: If the folder cannot be written to.
    """
    make_directory(directory, "output_dir")
    atomic_write_text(directory / "predictions.csv", to_csv(predictions))
    ranking = ranked(predictions)
    shown = choose(ranking)
    on_sheet = spread(sorted(ranking, key=lambda one: -(one.logit or 0.0)), MOST_ON_SHEET)
    wanted = list(dict.fromkeys(one.path for one in (*shown.predictions, *on_sheet)))
    small = dict(zip(wanted, thumbnails(wanted), strict=True))
    heading = summary(predictions)
    if len(on_sheet) < len(ranking):
        heading += f"; here {len(on_sheet)}, at even steps from the surest cat to the surest dog"
    image = contact_sheet([(one, small[one.path]) for one in on_sheet], heading)
    with atomic_file(directory / "contact-sheet.png") as partial:
        image.save(partial, "PNG", optimize=True)
    page = gallery(
        shown,
        [small[one.path] for one in shown.predictions],
        [one for one in predictions if one.logit is None],
        lead=f"{summary(predictions)}. Classifier: {classifier}.",
    )
    atomic_write_text(directory / "gallery.html", page)


def summary(predictions: Sequence[Prediction]) -> str:
    """Say in a line how many files were which."""
    labels = Counter(one.label for one in predictions)
    line = f"{count(len(predictions), 'picture')}: {count(labels['cat'], 'cat')}, "
    line += count(labels["dog"], "dog")
    return line + (f", {labels['']} without an answer" if labels[""] else "")
