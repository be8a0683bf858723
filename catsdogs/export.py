"""Write a trained classifier to one file that others can run without this project.

python -m catsdogs.export checkpoint=outputs/RUN/best.pt format=both
"""

from pathlib import Path
from typing import Literal

from omegaconf import DictConfig

from catsdogs.cli import command, plain
from catsdogs.inference.classifier import read_trained
from catsdogs.inference.export import (
    FORMATS,
    PREPARATION,
    Exported,
    check_images,
    export,
    require_onnx,
)
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
def main(config: DictConfig) -> int:
    """Export, check, and say what was written and how it is used."""
    settings = ExportSettings.from_config(plain(config))
    formats = ["torch", "onnx"] if settings.format == "both" else [settings.format]
    out = _without_suffix(settings.out or settings.checkpoint)
    if "onnx" in formats:
        require_onnx()
    probe_directory(out.parent, "out")
    trained = read_trained(settings.checkpoint, settings.weights)
    pictures = check_images(settings.pictures)
    exported = export(trained, formats, out, pictures.pixels, pictures.described)
    for one in exported:
        _tell(one, pictures.described)
    print(f"\ninput: uint8 (n, 3, 256, 256); {PREPARATION}")
    for name, one in zip(formats, exported, strict=True):
        print(f"\n{FORMATS[name].example(one.path, pictures.first)}", end="")
    return 0


def _without_suffix(path: Path) -> Path:
    known = (".pt", *(known.suffix for known in FORMATS.values()))
    return path.with_suffix("") if path.suffix in known else path


def _tell(one: Exported, described: str) -> None:
    size = one.path.stat().st_size / 1e6
    print(
        f"{one.path}: {size:.1f} MB; the largest difference from PyTorch's logits is "
        f"{one.difference:.1e} (logits up to {one.largest_logit:.1f}), on {described}"
    )


if __name__ == "__main__":
    main()
