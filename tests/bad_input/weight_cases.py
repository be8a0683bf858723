"""Weights and checkpoints that are absent, damaged, foreign or hostile: cases of the catalogue."""

import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torchvision.models import resnet18, resnet34

from catsdogs.io.files import checksum
from tests.support.catalogue import LONG_NAME, Case, Make
from tests.support.images import write_image

HERE = "model.weights=w.pth"
TENSORS = "model.weights=w.safetensors"


class Code:
    """A pickle that creates the file `ran` when its code is run."""

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
    """Write a small file that unpacks to a megabyte."""
    with zipfile.ZipFile(folder / "w.pth", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("w/data.pkl", bytes(10**6))


def a_byte_of_the_backbone_changed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def checksum_of_changed(path: Path) -> str:
        content = bytearray(path.read_bytes())
        content[-1] ^= 1
        (folder / "cache").mkdir()
        (folder / "cache" / "changed").write_bytes(content)
        return checksum(folder / "cache" / "changed")

    monkeypatch.setattr("catsdogs.features.backbone.checksum", checksum_of_changed)


def offline(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError("no network")

    monkeypatch.setenv("TORCH_HOME", str(folder / "cache" / "torch"))
    monkeypatch.setattr("torch.hub.download_url_to_file", fail)


WEIGHTS = [
    Case("weights that do not exist", [HERE]),
    Case("a folder as weights", [HERE], make=lambda f, _: (f / "w.pth").mkdir()),
    Case("weights with too long a name", [f"model.weights={LONG_NAME}"]),
    Case("an empty file as weights", [HERE], make=data(b"")),
    Case("a text file as weights", [HERE], make=data(b"<html>404 not found</html>")),
    Case("the first bytes of an archive as weights", [HERE], make=data(b"PK\x03\x04 half")),
    Case("a truncated file of weights", [HERE], make=half),
    Case("a truncated file of weights (safetensors)", [TENSORS], make=half_of_safetensors),
    Case(
        "a header of absurd length (safetensors)",
        [TENSORS],
        make=data(b"\xff" * 8, "w.safetensors"),
    ),
    Case("weights that contain code", [HERE], make=file(lambda: {"conv1.weight": Code()})),
    Case("a pickled module as weights", [HERE], make=file(lambda: torch.nn.Linear(1, 1))),
    Case("a TorchScript archive as weights", [HERE], make=program),
    Case("a compressed archive as weights", [HERE], make=compressed),
    Case("a list as weights", [HERE], make=file(lambda: [1, 2])),
    Case("an empty dict as weights", [HERE], make=file(dict)),
    Case("weights of another network", [HERE], make=file(lambda: {"a": torch.zeros(1)})),
    Case("weights of ResNet-34", [HERE], make=file(lambda: resnet34(weights=None).state_dict())),
    Case(
        "weights with a wrong shape",
        [HERE],
        make=file(lambda: state(**{"conv1.weight": torch.zeros(1)})),
    ),
    Case("weights with an extra layer", [HERE], make=file(lambda: state(extra=torch.zeros(1)))),
    Case(
        "weights of nan",
        [HERE],
        make=file(lambda: state(**{"conv1.weight": torch.full((64, 3, 7, 7), torch.nan)})),
    ),
    Case(
        "complex weights",
        [HERE],
        make=file(
            lambda: state(**{"conv1.weight": torch.zeros(64, 3, 7, 7, dtype=torch.complex64)})
        ),
    ),
    Case(
        "sparse weights",
        [HERE],
        make=file(lambda: state(**{"conv1.weight": torch.zeros(64, 3, 7, 7).to_sparse()})),
    ),
    Case("embedded weights with a changed byte", make=a_byte_of_the_backbone_changed),
    Case("ImageNet weights without a network", ["model.weights=imagenet"], make=offline),
]


def checkpoint(content: Callable[[], object]) -> Make:
    def make(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        torch.save(content(), folder / "x.pt")
        write_image(folder / "a.jpg")

    return make


def a_pipe(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(folder / "x.pt")
    write_image(folder / "a.jpg")


CHECKPOINTS = [
    Case(given, ["checkpoint=x.pt", "pictures=a.jpg"], "predict", make=checkpoint(content))
    for given, content in {
        "a list as checkpoint": lambda: [1],
        "weights as checkpoint": lambda: {"a": torch.zeros(1)},
        "a checkpoint of a later format": lambda: {"format": 3, "head": {}, "optimizer": {}},
        "a checkpoint whose format is a tensor": lambda: {"format": torch.ones(2)},
        "a checkpoint without a head": lambda: {"format": 2, "optimizer": {}},
        "a checkpoint whose head holds text": lambda: {
            "format": 2,
            "head": {"a": "b"},
            "optimizer": {},
        },
        "a checkpoint that contains code": lambda: {"format": 2, "head": Code(), "optimizer": {}},
    }.items()
] + [
    Case(given, [f"checkpoint={name}", "pictures=a.jpg"], "predict", make=odd)
    for given, name, odd in (
        ("a pipe as checkpoint", "x.pt", a_pipe),
        ("an endless device as checkpoint", "/dev/zero", checkpoint(list)),
    )
]
