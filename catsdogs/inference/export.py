"""A classifier as one file for those who do not have this project, and the check that it is it.

The file takes the pixels of decoded pictures, normalises them itself and gives logits. How to come
from a picture to its pixels is said in the file's own metadata, in a JSON file beside it and by an
example of five lines.
"""

import contextlib
import dataclasses
import importlib.util
import io
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from catsdogs.data.decoding import decoded_batches
from catsdogs.data.images import SIZE
from catsdogs.drawing.species import draw_cat_or_dog
from catsdogs.errors import UserError
from catsdogs.inference.classifier import Classifier, PixelClassifier, Trained
from catsdogs.inference.image_paths import list_images
from catsdogs.io.files import atomic_file, atomic_write_text, checksum, make_directory
from catsdogs.io.formatting import count
from catsdogs.io.progress import progress
from catsdogs.io.text import printable
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


METADATA = "catsdogs.json"  # under this name the facts stand in the file itself
ONNX_PACKAGES = ("onnx", "onnxscript", "onnxruntime")
OPEN = (
    "from PIL import Image, ImageOps\n"
    'image = ImageOps.exif_transpose(Image.open({image!r})).convert("RGB")'
    f".resize(({SIZE}, {SIZE}), Image.Resampling.BICUBIC)\n"
)
TORCH_EXAMPLE = f"""\
import numpy, torch
{OPEN}pixels = torch.from_numpy(numpy.array(image)).permute(2, 0, 1)[None]
print(torch.export.load({{path!r}}).module()(pixels).item(), "above 0 says cat")
"""
ONNX_EXAMPLE = f"""\
import numpy, onnxruntime
{OPEN}pixels = {{{{"pixels": numpy.array(image).transpose(2, 0, 1)[None]}}}}
print(onnxruntime.InferenceSession({{path!r}}).run(None, pixels)[0].item(), "above 0 says cat")
"""


DRAWN = 8


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
            partial = stack.enter_context(atomic_file(path))
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
        atomic_write_text(
            beside, strict_json({"sha256": checks[one.path], **facts, "check": check})
        )
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


@dataclasses.dataclass(frozen=True)
class Format:
    """One kind of file.

    Attributes:
        suffix: Of its name.
        write: Writes a classifier with its facts, a JSON text, to a path of any suffix.
        answer: Reads a file and returns its logits for batches of pixels, in order.
        template: Five lines of Python that ask the file at `path` about the file `picture`.
    """

    suffix: str
    write: Callable[[PixelClassifier, Path, str], None]
    answer: Callable[[Path, Sequence[Tensor]], Tensor]
    template: str

    def example(self, path: Path, image: Path) -> str:
        """Return five lines of Python that need neither this project nor its checkpoint."""
        return self.template.format(path=str(path), image=str(image))


def require_onnx() -> None:
    """Make sure of what ONNX needs.

    Raises:
        UserError: If a package is missing.
    """
    missing = [name for name in ONNX_PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(
            f"format=onnx: {' and '.join(missing)} not installed; "
            "pip install 'catsdogs[onnx]', or use format=torch"
        )


def _write_torch(module: PixelClassifier, path: Path, facts: str) -> None:
    program = torch.export.export(module, _example(), dynamic_shapes=_any_number())
    content = io.BytesIO()  # a path would have to end in .pt2
    torch.export.save(program, content, extra_files={METADATA: facts})
    path.write_bytes(content.getbuffer())


def _ask_torch(path: Path, batches: Sequence[Tensor]) -> Tensor:
    with path.open("rb") as file:
        program = torch.export.load(file).module()
    with torch.no_grad():
        return torch.cat([program(pixels) for pixels in batches])


def _write_onnx(module: PixelClassifier, path: Path, facts: str) -> None:
    program = torch.onnx.export(
        module,
        _example(),
        dynamo=True,
        dynamic_shapes=_any_number(),
        input_names=["pixels"],
        output_names=["logits"],
        verbose=False,
    )
    assert program is not None
    program.model.metadata_props[METADATA] = facts
    program.save(path, external_data=False)


def _ask_onnx(path: Path, batches: Sequence[Tensor]) -> Tensor:
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    answers = [session.run(["logits"], {"pixels": pixels.numpy()})[0] for pixels in batches]
    return torch.cat([torch.from_numpy(logits) for logits in answers])


def _example() -> tuple[Tensor]:
    return (torch.zeros(2, 3, SIZE, SIZE, dtype=torch.uint8),)


def _any_number() -> dict[str, dict[int, torch.export.Dim]]:
    return {"pixels": {0: torch.export.Dim("n", min=1)}}


FORMATS = {
    "torch": Format(".pt2", _write_torch, _ask_torch, TORCH_EXAMPLE),
    "onnx": Format(".onnx", _write_onnx, _ask_onnx, ONNX_EXAMPLE),
}


@dataclasses.dataclass(frozen=True)
class CheckImages:
    """What to check with.

    Attributes:
        pixels: uint8 (n, 3, 256, 256).
        described: What the pictures are.
        first: A file to show the use with; it need not be there.
    """

    pixels: Tensor
    described: str
    first: Path


def check_images(sources: Sequence[str] | None) -> CheckImages:
    """Read the pictures named, those that can be read; without any, draw a few.

    Raises:
        UserError: If none can be read.
    """
    if sources is None:
        drawn = [draw_cat_or_dog(index % 2, index // 2, size=SIZE) for index in range(DRAWN)]
        pixels = torch.from_numpy(np.stack([np.array(image) for image in drawn]))
        pixels = pixels.permute(0, 3, 1, 2).contiguous()
        return CheckImages(pixels, count(DRAWN, "drawn picture"), Path("picture.jpg"))
    files = list(dict.fromkeys(list_images(sources)))
    batches = decoded_batches(files, 1, os.cpu_count() or 1)
    bar = progress(batches, total=len(files), description="decoding", unit="picture")
    read = {file: one for file, (one,) in zip(files, bar, strict=True) if isinstance(one, Tensor)}
    if not read:
        raise UserError(f"pictures={printable(','.join(sources))}: none of them can be read")
    described = count(len(read), "picture")
    if len(read) < len(files):
        described += f" ({len(files) - len(read)} more could not be read)"
    return CheckImages(torch.stack(list(read.values())), described, next(iter(read)))
