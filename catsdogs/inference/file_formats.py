"""The files that a classifier can be written to: how each is written, asked, and used by others."""

import dataclasses
import importlib.util
import io
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from catsdogs.data.images import SIZE
from catsdogs.errors import UserError
from catsdogs.inference.pixel_classifier import PixelClassifier

METADATA = "catsdogs.json"  # under this name the facts stand in the file itself
ONNX_PACKAGES = ("onnx", "onnxscript", "onnxruntime")

OPEN = (
    "from PIL import Image, ImageOps\n"
    'image = ImageOps.exif_transpose(Image.open({picture!r})).convert("RGB")'
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

    def example(self, path: Path, picture: Path) -> str:
        """Return five lines of Python that need neither this project nor its checkpoint."""
        return self.template.format(path=str(path), picture=str(picture))


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
