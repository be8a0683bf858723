"""Export a trained classifier to one file that runs without this project.

python -m catsdogs.export checkpoint=outputs/RUN/best.pt format=both
"""

from pathlib import Path
from typing import Literal

from omegaconf import DictConfig

from catsdogs.cli import Result, command, plain
from catsdogs.inference.export import PREPARATION, ExportedFile, check_images, export
from catsdogs.inference.export_formats import FORMATS, require_onnx
from catsdogs.inference.trained_model import read_trained_model
from catsdogs.io.files import probe_directory
from catsdogs.settings import HomePath, HomePathOrNull, Section, TextOrNull, Texts


class ExportSettings(Section):
    """Settings of `export`."""

    checkpoint: HomePath
    format: Literal["torch", "onnx", "both"]
    out: HomePathOrNull
    pictures: Texts | None
    weights: TextOrNull
    debug: bool


@command("export")
def main(config: DictConfig) -> Result:
    """Export, check, and print what was written and how to use it."""
    settings = ExportSettings.from_config(plain(config))
    formats = ["torch", "onnx"] if settings.format == "both" else [settings.format]
    out = _without_suffix(settings.out or settings.checkpoint)
    if "onnx" in formats:
        require_onnx()
    probe_directory(out.parent, "out")
    model = read_trained_model(settings.checkpoint, settings.weights)
    images = check_images(settings.pictures)
    exported = export(model, formats, out, images)
    for one in exported:
        _print_check(one, images.described)
    print(f"\ninput: uint8 (n, 3, 256, 256); {PREPARATION}")
    for name, one in zip(formats, exported, strict=True):
        print(f"\n{FORMATS[name].example(one.path, images.first)}", end="")
    return Result()


def _without_suffix(path: Path) -> Path:
    known = (".pt", *(known.suffix for known in FORMATS.values()))
    return path.with_suffix("") if path.suffix in known else path


def _print_check(one: ExportedFile, images: str) -> None:
    size = one.path.stat().st_size / 1e6
    print(
        f"{one.path}: {size:.1f} MB; its logits differ from PyTorch's by at most "
        f"{one.difference:.1e} (largest logit {one.largest_logit:.1f}), checked on {images}"
    )


if __name__ == "__main__":
    main()
