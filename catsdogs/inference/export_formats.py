"""Formats of exported classifiers: torch.export and ONNX, each written, run and explained.

An exported file takes the pixels of decoded images, normalises them itself and returns logits.
"""

import dataclasses
import importlib.util
import io
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from catsdogs.data.images import MEAN, SIZE, STD
from catsdogs.errors import UserError
from catsdogs.features.backbone import Backbone
from catsdogs.inference.trained_model import TrainedModel
from catsdogs.training.heads import ConvHead, LinearHead

METADATA = "catsdogs.json"  # name of the facts inside the file
ONNX_PACKAGES = ("onnx", "onnxscript", "onnxruntime")

OPEN_IMAGE = (
    "from PIL import Image, ImageOps\n"
    'image = ImageOps.exif_transpose(Image.open({image!r})).convert("RGB")'
    f".resize(({SIZE}, {SIZE}), Image.Resampling.BICUBIC)\n"
)
TORCH_EXAMPLE = f"""\
import numpy, torch
{OPEN_IMAGE}pixels = torch.from_numpy(numpy.array(image)).permute(2, 0, 1)[None]
print(torch.export.load({{path!r}}).module()(pixels).item(), "above 0 says cat")
"""
ONNX_EXAMPLE = f"""\
import numpy, onnxruntime
{OPEN_IMAGE}pixels = {{{{"pixels": numpy.array(image).transpose(2, 0, 1)[None]}}}}
print(onnxruntime.InferenceSession({{path!r}}).run(None, pixels)[0].item(), "above 0 says cat")
"""


class PixelClassifier(nn.Module):
    """Map uint8 pixels (n, 3, 256, 256) to logits (n,), normalisation included.

    The monograph's head is stored as the single linear map that it equals: 0.1 MB instead of 8.4.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, model: TrainedModel) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(MEAN).view(3, 1, 1))
        self.register_buffer("std", torch.tensor(STD).view(3, 1, 1))
        self.backbone = Backbone(model.weights.state)
        self.head = _as_linear(model.head)
        self.requires_grad_(False).eval()

    def forward(self, pixels: Tensor) -> Tensor:
        """Return the logit of each image, above 0 for a cat."""
        # Not `normalise`, which creates its constants in every call and works in place.
        normalised = (pixels.float() / 255 - self.mean) / self.std
        logits: Tensor = self.head(self.backbone(normalised))
        return logits


def _as_linear(head: ConvHead | LinearHead) -> LinearHead:
    if isinstance(head, LinearHead):
        return head
    linear = LinearHead()
    kernel, bias = head.compose()
    linear.load_state_dict({"weight": kernel.flatten(1), "bias": bias})
    return linear


@dataclasses.dataclass(frozen=True)
class Format:
    """A file format.

    Attributes:
        suffix: Of the file name.
        write: Writes a classifier and its facts, a JSON text, to a path of any suffix.
        logits: Returns a file's logits for batches of pixels, in order.
        template: Python code that runs the file at `path` on the file `image`.
    """

    suffix: str
    write: Callable[[PixelClassifier, Path, str], None]
    logits: Callable[[Path, Sequence[Tensor]], Tensor]
    template: str

    def example(self, path: Path, image: Path) -> str:
        """Return five lines of Python that run a file without this project or its checkpoint."""
        return self.template.format(path=str(path), image=str(image))


def require_onnx() -> None:
    """Check that the packages for ONNX are installed.

    Raises:
        UserError: If one is missing.
    """
    missing = [name for name in ONNX_PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(
            f"format=onnx: {' and '.join(missing)} not installed; "
            "pip install 'catsdogs[onnx]', or use format=torch"
        )


def _write_torch(module: PixelClassifier, path: Path, facts: str) -> None:
    program = torch.export.export(module, _example_input(), dynamic_shapes=_any_batch_size())
    content = io.BytesIO()  # torch.export.save requires that a path ends in .pt2
    torch.export.save(program, content, extra_files={METADATA: facts})
    path.write_bytes(content.getbuffer())


def _run_torch(path: Path, batches: Sequence[Tensor]) -> Tensor:
    with path.open("rb") as file:
        program = torch.export.load(file).module()
    with torch.no_grad():
        return torch.cat([program(pixels) for pixels in batches])


def _write_onnx(module: PixelClassifier, path: Path, facts: str) -> None:
    program = torch.onnx.export(
        module,
        _example_input(),
        dynamo=True,
        dynamic_shapes=_any_batch_size(),
        input_names=["pixels"],
        output_names=["logits"],
        verbose=False,
    )
    assert program is not None
    program.model.metadata_props[METADATA] = facts
    program.save(path, external_data=False)


def _run_onnx(path: Path, batches: Sequence[Tensor]) -> Tensor:
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    outputs = [session.run(["logits"], {"pixels": pixels.numpy()})[0] for pixels in batches]
    return torch.cat([torch.from_numpy(logits) for logits in outputs])


def _example_input() -> tuple[Tensor]:
    return (torch.zeros(2, 3, SIZE, SIZE, dtype=torch.uint8),)


def _any_batch_size() -> dict[str, dict[int, torch.export.Dim]]:
    return {"pixels": {0: torch.export.Dim("n", min=1)}}


FORMATS = {
    "torch": Format(".pt2", _write_torch, _run_torch, TORCH_EXAMPLE),
    "onnx": Format(".onnx", _write_onnx, _run_onnx, ONNX_EXAMPLE),
}
