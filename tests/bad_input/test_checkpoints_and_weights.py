"""Files of tensors that are damaged, of something else, or hostile."""

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torchvision.models import resnet18, resnet34

from catsdogs.errors import UserError
from catsdogs.training.checkpoint import load_checkpoint
from tests.support.catalogue import Case, Make, judge

HERE = "model.weights=w.pth"
TENSORS = "model.weights=w.safetensors"


class Code:
    """A pickle that would leave a file when it is loaded."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("ran"),))


def file(content: Callable[[], object], name: str = "w.pth") -> Make:
    return lambda folder, monkeypatch: torch.save(content(), folder / name)


def data(content: bytes, name: str = "w.pth") -> Make:
    return lambda folder, monkeypatch: (folder / name).write_bytes(content)


def state(**replaced: object) -> dict[str, object]:
    return dict(resnet18(weights=None).state_dict()) | replaced


def half(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.save(state(), folder / "w.pth")
    content = (folder / "w.pth").read_bytes()
    (folder / "w.pth").write_bytes(content[: len(content) // 2])


def half_of_safetensors(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_file({"conv1.weight": torch.zeros(64, 3, 7, 7)}, folder / "w.safetensors")
    content = (folder / "w.safetensors").read_bytes()
    (folder / "w.safetensors").write_bytes(content[: len(content) // 2])


def program(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with zipfile.ZipFile(folder / "w.pth", "w") as archive:
        archive.writestr("w/data.pkl", b"")
        archive.writestr("w/constants.pkl", b"")


def compressed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of kilobytes that would take a gigabyte."""
    with zipfile.ZipFile(folder / "w.pth", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("w/data.pkl", bytes(10**6))


def own_backbone(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "weights").mkdir()
    for name, content in (("embedded.json", b'{"sha256": "0"}'), ("embedded.safetensors", b"0")):
        (folder / "weights" / name).write_bytes(content)
    monkeypatch.setattr("catsdogs.features.backbone.files", lambda _: folder / "weights")


def offline(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError("no network")

    monkeypatch.setenv("TORCH_HOME", str(folder / "cache" / "torch"))
    monkeypatch.setattr("torch.hub.download_url_to_file", fail)


CASES = [
    Case(
        "weights that are not there",
        "model.weights=w.pth: there is no such file; give embedded, random, imagenet or the path of a ResNet-18 state dict",
        [HERE],
    ),
    Case(
        "a folder for weights",
        "model.weights=w.pth: there is no such file; give embedded, random, imagenet or the path of a ResNet-18 state dict",
        [HERE],
        make=lambda f, _: (f / "w.pth").mkdir(),
    ),
    Case(
        "weights of a name too long",
        "...: the name is too long; choose a shorter one",
        [f"model.weights={'a' * 300}"],
    ),
    Case(
        "empty weights",
        "model.weights=w.pth: not a readable PyTorch state dict (damaged: EOFError)",
        [HERE],
        make=data(b""),
    ),
    Case(
        "a text for weights",
        "model.weights=w.pth: not a readable PyTorch state dict (it holds more than tensors and plain values, or is not of torch.save at all)",
        [HERE],
        make=data(b"<html>404 not found</html>"),
    ),
    Case(
        "the beginning of an archive for weights",
        "model.weights=w.pth: not a readable PyTorch state dict (damaged: PytorchStreamReader failed ...)",
        [HERE],
        make=data(b"PK\x03\x04 half"),
    ),
    Case(
        "half of weights",
        "model.weights=w.pth: not a readable PyTorch state dict (damaged: PytorchStreamReader failed ...)",
        [HERE],
        make=half,
    ),
    Case(
        "half of weights (safetensors)",
        "model.weights=w.safetensors: not a readable PyTorch state dict (Error while deserializing header: ...)",
        [TENSORS],
        make=half_of_safetensors,
    ),
    Case(
        "a header without end (safetensors)",
        "model.weights=w.safetensors: not a readable PyTorch state dict (Error while deserializing header: ...)",
        [TENSORS],
        make=data(b"\xff" * 8, "w.safetensors"),
    ),
    Case(
        "weights with code in them",
        "model.weights=w.pth: not a readable PyTorch state dict (it holds more than tensors and plain values, or is not of torch.save at all)",
        [HERE],
        make=file(lambda: {"conv1.weight": Code()}),
    ),
    Case(
        "a whole network, pickled",
        "model.weights=w.pth: not a readable PyTorch state dict (it holds more than tensors and plain values, or is not of torch.save at all)",
        [HERE],
        make=file(lambda: torch.nn.Linear(1, 1)),
    ),
    Case(
        "a TorchScript archive",
        "model.weights=w.pth: not a readable PyTorch state dict (it holds more than tensors and plain values, or is not of torch.save at all)",
        [HERE],
        make=program,
    ),
    Case(
        "a compressed archive",
        "model.weights=w.pth: not a readable PyTorch state dict (its archive is compressed, and torch.save compresses nothing)",
        [HERE],
        make=compressed,
    ),
    Case(
        "a list for weights",
        "model.weights=w.pth: not a state dict (a dict of names to tensors)",
        [HERE],
        make=file(lambda: [1, 2]),
    ),
    Case(
        "weights of nothing",
        "model.weights=w.pth: not a ResNet-18: conv1.weight is missing",
        [HERE],
        make=file(dict),
    ),
    Case(
        "weights of another network",
        "model.weights=w.pth: not a ResNet-18: conv1.weight is missing",
        [HERE],
        make=file(lambda: {"a": torch.zeros(1)}),
    ),
    Case(
        "weights of ResNet-34",
        "model.weights=w.pth: not a ResNet-18: layer1.2.conv1.weight is unknown",
        [HERE],
        make=file(lambda: resnet34(weights=None).state_dict()),
    ),
    Case(
        "weights of another shape",
        "model.weights=w.pth: not a ResNet-18: conv1.weight has shape (1,) instead of (64, 3, 7, 7)",
        [HERE],
        make=file(lambda: state(**{"conv1.weight": torch.zeros(1)})),
    ),
    Case(
        "weights with a layer too many",
        "model.weights=w.pth: not a ResNet-18: extra is unknown",
        [HERE],
        make=file(lambda: state(extra=torch.zeros(1))),
    ),
    Case(
        "weights that are no numbers",
        "model.weights=w.pth: conv1.weight holds what is no finite real number",
        [HERE],
        make=file(lambda: state(**{"conv1.weight": torch.full((64, 3, 7, 7), torch.nan)})),
    ),
    Case(
        "complex weights",
        "model.weights=w.pth: conv1.weight holds what is no finite real number",
        [HERE],
        make=file(
            lambda: state(**{"conv1.weight": torch.zeros(64, 3, 7, 7, dtype=torch.complex64)})
        ),
    ),
    Case(
        "sparse weights",
        "model.weights=w.pth: conv1.weight holds what is no finite real number",
        [HERE],
        make=file(lambda: state(**{"conv1.weight": torch.zeros(64, 3, 7, 7).to_sparse()})),
    ),
    Case(
        "embedded weights that were changed",
        "model.weights=embedded: .../weights/embedded.safetensors is damaged; install catsdogs again",
        make=own_backbone,
    ),
    Case(
        "no network for ImageNet weights",
        "model.weights=imagenet: could not download https://download.pytorch.org/models/resnet18-f37072fd.pth (no network); place that file at .../cache/torch/hub/checkpoints/resnet18-f37072fd.pth, or use model.weights=random or a path",
        ["model.weights=imagenet"],
        make=offline,
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_weights_that_cannot_be_used_are_refused_and_nothing_in_them_runs(
    case: Case,
    run: Callable[..., int],
    small: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    judge(case, run, small, tmp_path, monkeypatch, capfd)
    assert not (tmp_path / "ran").exists()


def test_the_code_in_the_file_would_run_if_it_were_let(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"a": Code()}, "code.pt")
    torch.load("code.pt", weights_only=False)
    assert Path("ran").exists()


CHECKPOINTS: list[tuple[str, Callable[[], object], str]] = [
    ("no dict", lambda: [1], "not a checkpoint of catsdogs"),
    ("weights alone", lambda: {"a": torch.zeros(1)}, "not a checkpoint of catsdogs"),
    ("a later format", lambda: {"format": 3, "head": {}, "optimizer": {}}, "not a checkpoint"),
    ("a tensor for a format", lambda: {"format": torch.ones(2)}, "not a checkpoint of catsdogs"),
    ("no head", lambda: {"format": 2, "optimizer": {}}, "not a checkpoint of catsdogs"),
    ("a head of words", lambda: {"format": 2, "head": {"a": "b"}, "optimizer": {}}, "not a check"),
    ("code", lambda: {"format": 2, "head": Code(), "optimizer": {}}, "more than tensors"),
]


@pytest.mark.parametrize(
    ("content", "message"), [row[1:] for row in CHECKPOINTS], ids=[row[0] for row in CHECKPOINTS]
)
def test_a_checkpoint_that_is_none_of_ours_is_refused(
    tmp_path: Path, content: Callable[[], object], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save(content(), "x.pt")
    with pytest.raises(UserError, match=rf"^x\.pt: .*{message}") as caught:
        load_checkpoint(Path("x.pt"))
    assert "\n" not in str(caught.value)
    assert not Path("ran").exists()
