"""The export command: files that give PyTorch's logits without this project."""

import contextlib
import io
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
import pytest
import torch
from PIL import Image
from PIL.Image import Exif
from torch import Tensor

import catsdogs
from catsdogs import export
from catsdogs.inference.classifier import Classifier
from catsdogs.inference.export_formats import FORMATS, Format, PixelClassifier
from catsdogs.inference.trained_model import read_trained_model
from catsdogs.io.files import checksum
from tests.support.images import write_image
from tests.support.sample_checkpoint import write_checkpoint

Run = Callable[..., int]
ORIENTATION, ROTATED = 0x0112, 6


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep batches and checks small."""
    monkeypatch.setattr("catsdogs.inference.classifier.BATCH", 2)
    monkeypatch.setattr("catsdogs.inference.export.DRAWN", 1)
    monkeypatch.setattr("catsdogs.inference.export.CHECK_BATCH", 2)


class Made(NamedTuple):
    """A checkpoint exported as the docs page shows, the printed text, and the classifier itself."""

    folder: Path
    printed: str
    classifier: Classifier


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder: Path = tmp_path_factory.mktemp("export")
    statistics = {"bn1.running_var": torch.full((64,), 2.0)}
    (folder / "outputs" / "RUN").mkdir(parents=True)
    checkpoint = write_checkpoint(folder / "outputs" / "RUN" / "best.pt", statistics=statistics)
    exif = Exif()
    exif[ORIENTATION] = ROTATED
    noise = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    (folder / "my_pictures").mkdir()
    Image.fromarray(noise).save(folder / "my_pictures" / "turned.jpg", exif=exif)
    page = (Path(__file__).parents[1] / "docs" / "predict-and-export.md").read_text()
    (line,) = re.findall("^python -m catsdogs.export (.* out=.*)$", page, re.MULTILINE)
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(io.StringIO()) as out:
        patch.setattr("catsdogs.inference.classifier.BATCH", 2)
        patch.chdir(folder)
        patch.setattr("sys.argv", ["catsdogs", *shlex.split(line)])
        export.main()
    return Made(folder, out.getvalue(), catsdogs.load(checkpoint, device="cpu"))


@pytest.mark.slow
def test_each_file_runs_in_a_new_process_by_its_example_of_five_lines(made: Made) -> None:
    examples = [block.strip() for block in made.printed.split("\n\n") if "import" in block]
    (expected,) = made.classifier.predict(made.folder / "my_pictures" / "turned.jpg")
    assert len(examples) == 2
    for code in examples:
        assert len(code.splitlines()) == 5
        code += "\nimport sys; assert not [name for name in sys.modules if 'catsdogs' in name]"
        answer = subprocess.run(
            [sys.executable, "-I", "-c", code], cwd=made.folder, capture_output=True, text=True
        )
        assert answer.returncode == 0, answer.stderr
        logit, _, meaning = answer.stdout.partition(" ")
        assert float(logit) == pytest.approx(expected.logit, abs=1e-5)
        assert meaning == "above 0 says cat\n"


def test_each_file_has_its_facts_and_its_check_beside_it(made: Made) -> None:
    names = {path.name for path in made.folder.glob("classifier*")}
    files = {"classifier.pt2", "classifier.onnx"}
    assert names == files | {f"{name}.json" for name in files}
    for name in files:
        facts = json.loads((made.folder / f"{name}.json").read_text())
        assert facts["sha256"] == checksum(made.folder / name)
        assert facts["classifier"]["checkpoint_sha256"] == checksum(
            made.folder / "outputs/RUN/best.pt"
        )
        assert facts["check"]["pictures"] == 1
        assert 0 <= facts["check"]["largest_difference"] < 1e-5
        assert f"{name}: 4" in made.printed
        assert f"at most {facts['check']['largest_difference']:.1e}" in made.printed
        assert str(made.folder) not in json.dumps(facts)  # the file goes to other people


def test_each_file_describes_how_to_prepare_an_image(made: Made) -> None:
    metadata = {"catsdogs.json": ""}
    torch.export.load(made.folder / "classifier.pt2", extra_files=metadata)
    model = onnx.load(made.folder / "classifier.onnx")
    in_onnx = {one.key: one.value for one in model.metadata_props}
    assert in_onnx["catsdogs.json"] == metadata["catsdogs.json"]
    facts = json.loads(metadata["catsdogs.json"])
    assert "bicubic" in facts["input"]["preparation"]
    assert facts["input"]["preparation"] in made.printed
    assert facts["output"]["meaning"].startswith("above 0 says cat")


@pytest.mark.parametrize("name", FORMATS)
def test_each_file_takes_any_batch_size_and_has_the_statistics_of_the_checkpoint(
    made: Made, name: str
) -> None:
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (3, 3, 256, 256), dtype=torch.uint8, generator=generator)
    file = made.folder / f"classifier{FORMATS[name].suffix}"
    logits = FORMATS[name].logits(file, [pixels[:1], pixels[1:]])
    expected = made.classifier.logits(pixels)  # other statistics change them by at least 0.01
    assert logits.numpy() == pytest.approx(expected.numpy(), abs=1e-5)


@pytest.mark.parametrize("head", ["conv", "linear"])
def test_the_exported_module_equals_the_classifier_for_either_head(
    tmp_path: Path, head: str
) -> None:
    model = read_trained_model(write_checkpoint(tmp_path / "best.pt", head=head))
    pixels = torch.randint(0, 256, (1, 3, 256, 256), dtype=torch.uint8)
    expected = Classifier(model, torch.device("cpu")).logits(pixels)
    assert PixelClassifier(model)(pixels).numpy() == pytest.approx(expected.numpy(), abs=1e-5)


def stand_in(monkeypatch: pytest.MonkeyPatch, off_by: float) -> None:
    """Replace the torch format by a fast one whose logits are off by a number."""
    modules: list[PixelClassifier] = []

    def write(module: PixelClassifier, path: Path, facts: str) -> None:
        path.write_text(facts)
        modules.append(module)

    def logits(path: Path, batches: Sequence[Tensor]) -> Tensor:
        return torch.cat([modules[-1](pixels) for pixels in batches]) + off_by

    template = FORMATS["torch"].template
    monkeypatch.setitem(FORMATS, "torch", Format(".pt2", write, logits, template))


@pytest.mark.parametrize("off_by", [1e-3, float("nan")])
def test_a_file_with_other_logits_is_not_kept(
    run_export: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    off_by: float,
) -> None:
    stand_in(monkeypatch, off_by)
    checkpoint = write_checkpoint(tmp_path / "best.pt")
    write_image(tmp_path / "a.png")
    before = set(tmp_path.iterdir())
    assert run_export(f"checkpoint={checkpoint}", "pictures=a.png") == 1
    assert (
        "best.pt2: not written, because its logits differ from PyTorch's by"
        in capfd.readouterr().err
    )
    assert set(tmp_path.iterdir()) == before


def test_without_images_a_few_are_drawn_and_the_files_lie_beside_the_checkpoint(
    run_export: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    stand_in(monkeypatch, 0.0)
    assert run_export(f"checkpoint={write_checkpoint(tmp_path / 'best.pt')}") == 0
    facts = json.loads((tmp_path / "best.pt2.json").read_text())
    assert (facts["check"]["pictures"], facts["check"]["described"]) == (1, "1 drawn image")
    assert "Image.open('image.jpg')" in capsys.readouterr().out


def test_unreadable_images_are_left_out_of_the_check_and_counted(
    run_export: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    stand_in(monkeypatch, 0.0)
    write_image(tmp_path / "pictures" / "b.png")
    (tmp_path / "pictures" / "a.jpg").write_text("not an image")
    named = [f"checkpoint={write_checkpoint(tmp_path / 'best.pt')}", "pictures=pictures"]
    assert run_export(*named, "out=file.pt2") == 0
    out = capsys.readouterr().out
    assert out.splitlines()[0].startswith("file.pt2: 0.0 MB; its logits differ from PyTorch's")
    assert out.splitlines()[0].endswith(", checked on 1 image (1 more unreadable)")
    assert "Image.open('pictures/b.png')" in out


def test_onnx_without_its_packages_is_refused_with_the_command_to_install_them(
    run_export: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(
        "catsdogs.inference.export_formats.ONNX_PACKAGES", ("onnx", "absent_a", "absent_b")
    )
    checkpoint = write_checkpoint(tmp_path / "best.pt")
    assert run_export(f"checkpoint={checkpoint}", "format=both") == 2
    assert capfd.readouterr().err == (
        "error: format=onnx: absent_a and absent_b not installed; "
        "pip install 'catsdogs[onnx]', or use format=torch\n"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["format=tflite"], "format=tflite: must be 'torch', 'onnx' or 'both'"),
        (["pictures=nowhere"], "pictures=nowhere: no such file or folder"),
        (["pictures=text.jpg"], "pictures=text.jpg: none of them is readable; name other images"),
        (["out=/proc/nowhere/x"], "out=/proc/nowhere: cannot write to this folder"),
        (["checkpoint=gone.pt"], "gone.pt: not a readable checkpoint"),
        (["weights=embedded"], "weights=embedded: not the backbone of this checkpoint"),
    ],
    ids=str,
)
def test_wrong_input_gets_one_line_status_2_and_leaves_nothing(
    run_export: Run,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    checkpoint = write_checkpoint(tmp_path / "best.pt")
    (tmp_path / "text.jpg").write_text("not an image")
    before = set(tmp_path.rglob("*"))
    assert run_export(f"checkpoint={checkpoint}", *arguments) == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert message in line
    assert set(tmp_path.rglob("*")) == before
