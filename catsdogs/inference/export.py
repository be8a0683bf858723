"""Export of a classifier to self-contained files, verified against PyTorch before they appear.

The preparation of the pixels is described in the file's own metadata and in a JSON file beside it.
"""

import contextlib
import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from catsdogs.data.decoding import decoded_batches
from catsdogs.data.images import SIZE
from catsdogs.drawing.species import draw_cat_or_dog
from catsdogs.errors import UserError
from catsdogs.inference.classifier import Classifier
from catsdogs.inference.export_formats import FORMATS, PixelClassifier
from catsdogs.inference.image_paths import list_images
from catsdogs.inference.trained_model import TrainedModel
from catsdogs.io.files import atomic_file, atomic_write_text, checksum, make_directory
from catsdogs.io.formatting import count
from catsdogs.io.progress import progress
from catsdogs.io.text import printable
from catsdogs.runs.environment import versions
from catsdogs.runs.writer import strict_json

# Largest accepted difference, in units of the largest logit. Sums in another order differ by less;
# a wrong weight, normalisation or statistic differs by far more.
TOLERANCE = 1e-4
DRAWN = 8  # images drawn for the check if none are named
CHECK_BATCH = 7  # splits 8 images into batches of 7 and 1: the files must take any batch size

PREPARATION = (
    "decode; apply the Exif orientation; convert to RGB; resize to "
    f"{SIZE}x{SIZE} with Pillow's bicubic filter, ignoring the aspect ratio; channels first; "
    "values 0 to 255. The file normalises them itself."
)
MEANING = "above 0 says cat, else dog; 1 / (1 + exp(-logit)) is the probability of a cat"


@dataclasses.dataclass(frozen=True)
class CheckImages:
    """Images that the exported files are checked with.

    Attributes:
        pixels: uint8 (n, 3, 256, 256).
        described: Their description, for the record.
        first: An image file for the usage example; it need not exist.
    """

    pixels: Tensor
    described: str
    first: Path


def check_images(sources: Sequence[str] | None) -> CheckImages:
    """Read the readable ones of the named images, or draw `DRAWN` images if none are named.

    Raises:
        UserError: If none of the named images is readable.
    """
    if sources is None:
        drawn = [draw_cat_or_dog(index % 2, index // 2, size=SIZE) for index in range(DRAWN)]
        pixels = torch.from_numpy(np.stack([np.array(image) for image in drawn]))
        pixels = pixels.permute(0, 3, 1, 2).contiguous()
        return CheckImages(pixels, count(DRAWN, "drawn image"), Path("image.jpg"))
    files = list(dict.fromkeys(list_images(sources)))
    batches = decoded_batches(files, 1, os.cpu_count() or 1)
    bar = progress(batches, total=len(files), description="decoding", unit="image")
    read = {file: one for file, (one,) in zip(files, bar, strict=True) if isinstance(one, Tensor)}
    if not read:
        raise UserError(
            f"pictures={printable(','.join(sources))}: none of them is readable; name other images"
        )
    described = count(len(read), "image")
    if len(read) < len(files):
        described += f" ({len(files) - len(read)} more unreadable)"
    return CheckImages(torch.stack(list(read.values())), described, next(iter(read)))


@dataclasses.dataclass(frozen=True)
class ExportedFile:
    """A written file, compared with the classifier that `predict` uses.

    Attributes:
        path: The file; its facts are beside it in `PATH.json`.
        difference: The largest absolute difference of a logit.
        largest_logit: The largest absolute logit, for scale.
    """

    path: Path
    difference: float
    largest_logit: float


def export(
    model: TrainedModel, formats: Sequence[str], out: Path, images: CheckImages
) -> list[ExportedFile]:
    """Write the classifier to `OUT.pt2`, `OUT.onnx` or both, each checked before it appears.

    Args:
        model: Head and weights.
        formats: Names in `FORMATS`.
        out: The files' path without suffix.
        images: Images to check the files with.

    Raises:
        UserError: If the directory cannot be written to.
        RuntimeError: If a file's logits differ from PyTorch's.
    """
    make_directory(out.parent, "out")
    module, facts = PixelClassifier(model), _facts(model)
    expected = Classifier(model, torch.device("cpu")).logits(images.pixels)
    exported, checksums = [], {}
    # All files appear together: if one fails its check, none is kept.
    with contextlib.ExitStack() as stack:
        for name in progress(formats, total=len(formats), description="exporting", unit="file"):
            path = out.with_name(out.name + FORMATS[name].suffix)
            partial = stack.enter_context(atomic_file(path))
            FORMATS[name].write(module, partial, strict_json(facts))
            logits = FORMATS[name].logits(partial, images.pixels.split(CHECK_BATCH))
            exported.append(_compared(path, logits, expected))
            checksums[path] = checksum(partial)
    for one in exported:
        check = {
            "pictures": len(images.pixels),
            "described": images.described,
            "largest_difference": one.difference,
            "largest_logit": one.largest_logit,
        }
        atomic_write_text(
            one.path.with_name(one.path.name + ".json"),
            strict_json({"sha256": checksums[one.path], **facts, "check": check}),
        )
    return exported


def _compared(path: Path, logits: Tensor, expected: Tensor) -> ExportedFile:
    difference = (logits - expected).abs().max().item()
    largest = expected.abs().max().item()
    # `not <=` instead of `>`: a NaN must not pass.
    if not difference <= TOLERANCE * max(1.0, largest):
        raise RuntimeError(
            f"{path.name}: not written, because its logits differ from PyTorch's by up to "
            f"{difference:.1e}"
        )
    return ExportedFile(path, difference, largest)


def _facts(model: TrainedModel) -> dict[str, Any]:
    checkpoint = Path(model.facts["checkpoint"])
    classifier = model.facts | {
        "checkpoint": checkpoint.name,  # without its folder: the file goes to other people
        "checkpoint_sha256": checksum(checkpoint),
    }
    return {
        "format": 1,
        "what": "a classifier of cats and dogs: ResNet-18 and a linear head, by catsdogs",
        "input": {
            "name": "pixels",
            "type": "uint8",
            "shape": ["n", 3, SIZE, SIZE],
            "preparation": PREPARATION,
        },
        "output": {"name": "logits", "type": "float32", "shape": ["n"], "meaning": MEANING},
        "classifier": classifier,
        "versions": versions("onnx", "onnxscript", "onnxruntime"),
    }
