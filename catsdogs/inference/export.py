"""A classifier as one file for those who do not have this project, and the check that it is it.

The file takes the pixels of decoded pictures, normalises them itself and gives logits. How to come
from a picture to its pixels is said in the file's own metadata, in a JSON file beside it and by an
example of five lines.
"""

import contextlib
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from catsdogs.data.images import SIZE
from catsdogs.inference.classifier import Classifier
from catsdogs.inference.file_formats import FORMATS
from catsdogs.inference.pixel_classifier import PixelClassifier
from catsdogs.inference.trained import Trained
from catsdogs.io.files import checksum, make_directory, whole_file, write_whole
from catsdogs.io.progress import progress
from catsdogs.runs.environment import versions
from catsdogs.runs.writer import strict_json

# Of the largest logit: what two orders of the same sums may differ by, with room; a wrong weight,
# normalisation or statistic differs by far more.
TOLERANCE = 1e-4
CHECK_BATCH = 7  # eight drawn pictures are a batch of seven and one of one: any number must do

PREPARATION = (
    "decode; turn upright as Exif says; convert to RGB; resize to "
    f"{SIZE}x{SIZE} with Pillow's bicubic filter, the aspect ratio not kept; channels first; "
    "values 0 to 255. The normalisation is part of the file."
)
MEANING = "above 0 says cat, else dog; 1 / (1 + exp(-logit)) is the probability of a cat"


@dataclasses.dataclass(frozen=True)
class Exported:
    """A file that was written, and how it compares with the classifier that `predict` uses.

    Attributes:
        path: Of the file; its facts are beside it in `PATH.json`.
        difference: The largest absolute one of a logit.
        largest_logit: The largest absolute one, for scale.
    """

    path: Path
    difference: float
    largest_logit: float


def export(
    trained: Trained, formats: Sequence[str], out: Path, pixels: Tensor, described: str
) -> list[Exported]:
    """Write the classifier to `OUT.pt2`, `OUT.onnx` or both, each checked before it appears.

    Args:
        trained: Head and weights.
        formats: Names in `FORMATS`.
        out: The files' path without their suffix.
        pixels: uint8 (n, 3, 256, 256), to check with.
        described: What these pictures are, for the record.

    Raises:
        UserError: If the folder cannot be written to.
        RuntimeError: If a file does not answer as PyTorch does.
    """
    make_directory(out.parent, "out")
    module, facts = PixelClassifier(trained), _facts(trained)
    expected = Classifier(trained, torch.device("cpu")).logits(pixels)
    exported, checks = [], {}
    # All files appear together: one that fails its check leaves none.
    with contextlib.ExitStack() as stack:
        for name in progress(formats, total=len(formats), description="exporting", unit="file"):
            path = out.with_name(out.name + FORMATS[name].suffix)
            partial = stack.enter_context(whole_file(path))
            FORMATS[name].write(module, partial, strict_json(facts))
            answered = FORMATS[name].answer(partial, pixels.split(CHECK_BATCH))
            exported.append(_compared(path, answered, expected))
            checks[path] = checksum(partial)
    for one in exported:
        check = {
            "pictures": len(pixels),
            "described": described,
            "largest_difference": one.difference,
            "largest_logit": one.largest_logit,
        }
        beside = one.path.with_name(one.path.name + ".json")
        write_whole(beside, strict_json({"sha256": checks[one.path], **facts, "check": check}))
    return exported


def _compared(path: Path, answered: Tensor, expected: Tensor) -> Exported:
    difference = (answered - expected).abs().max().item()
    largest = expected.abs().max().item()
    # Not `>`: a difference that is no number must not pass.
    if not difference <= TOLERANCE * max(1.0, largest):
        raise RuntimeError(
            f"{path.name} was not kept: its logits differ from PyTorch's by up to {difference:.1e}"
        )
    return Exported(path, difference, largest)


def _facts(trained: Trained) -> dict[str, Any]:
    checkpoint = Path(trained.facts["checkpoint"])
    classifier = trained.facts | {
        "checkpoint": checkpoint.name,  # not where it lies: the file goes to others
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
