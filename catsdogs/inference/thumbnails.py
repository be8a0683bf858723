"""Which of many pictures a page shows, and small copies of them."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from PIL import Image

from catsdogs.data.images import decode
from catsdogs.inference.predictions import Prediction
from catsdogs.io.progress import progress

SIDE = 192  # pixels of the longer side
ORIENTATION, LYING = 0x0112, (5, 6, 7, 8)  # the Exif tag, and its values that swap the sides


def ranked(predictions: Sequence[Prediction]) -> list[Prediction]:
    """Return those with an answer, the most confident first, equal ones as they came."""
    answered = (one for one in predictions if one.logit is not None)
    # By the logit: probabilities near 1 are equal long before logits are.
    return sorted(answered, key=lambda one: -abs(one.logit or 0.0))


def spread(predictions: Sequence[Prediction], most: int) -> list[Prediction]:
    """Return all, or `most` of them at even steps from the first to the last."""
    count = min(most, len(predictions))
    return [
        predictions[index * (len(predictions) - 1) // max(1, count - 1)] for index in range(count)
    ]


def thumbnails(files: Sequence[Path]) -> list[Image.Image | None]:
    """Return small upright copies, in order; None where a file can no longer be read."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(
            progress(
                pool.map(_thumbnail, files),
                total=len(files),
                description="thumbnails",
                unit="picture",
            )
        )


def _thumbnail(file: Path) -> Image.Image | None:
    """Return what the classifier saw, in the picture's own aspect ratio again."""
    try:
        seen = Image.fromarray(decode(file).permute(1, 2, 0).numpy())
        with Image.open(file) as image:
            width, height = image.size
            if image.getexif().get(ORIENTATION) in LYING:
                width, height = height, width
    # The file was readable a moment ago; what Pillow raises now is of as many types as ever.
    except Exception:  # noqa: BLE001
        return None
    scale = SIDE / max(width, height)
    return seen.resize((max(1, round(scale * width)), max(1, round(scale * height))))
