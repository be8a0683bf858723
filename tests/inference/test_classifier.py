"""Classifier: predictions do not depend on the batch, and unreadable files say why."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import catsdogs
from catsdogs.data.images import decode
from catsdogs.errors import UserError
from catsdogs.inference.classifier import Classifier
from tests.support.images import write_image
from tests.support.sample_checkpoint import write_checkpoint

BATCH = 4


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("catsdogs.inference.classifier.BATCH", BATCH)


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Classifier:
    path: Path = tmp_path_factory.mktemp("run") / "best.pt"
    return catsdogs.load(write_checkpoint(path), device="cpu")


def test_an_image_has_the_same_logit_in_every_batch_and_place(classifier: Classifier) -> None:
    generator = torch.Generator().manual_seed(0)
    count = BATCH + 3
    pixels = torch.randint(0, 256, (count, 3, 256, 256), dtype=torch.uint8, generator=generator)
    together = classifier.logits(pixels)
    assert together.shape == (count,)
    assert len(set(together.tolist())) == count
    for rows in ([0], [BATCH], [BATCH + 2, 5, 0]):
        assert torch.equal(classifier.logits(pixels[rows]), together[rows])


def test_a_label_does_not_depend_on_rounding(
    classifier: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    def rounded_by_place(pixels: torch.Tensor) -> torch.Tensor:
        return pixels[:, 0, 0, 0] * 1e-6 - 2e-6 + 1e-6 * torch.arange(len(pixels))

    monkeypatch.setattr(classifier, "_forward", rounded_by_place)
    pixels = torch.arange(5, dtype=torch.uint8).view(5, 1, 1, 1).expand(5, 3, 256, 256)
    alone = torch.cat([classifier.logits(one) for one in pixels.split(1)])
    assert (alone > 0).tolist() == [False, False, False, True, True]
    assert torch.equal(classifier.logits(pixels), alone)
    assert torch.equal(classifier.logits(pixels.flip(0)), alone.flip(0))


def test_it_classifies_files_folders_and_patterns_in_the_order_given(
    classifier: Classifier, tmp_path: Path
) -> None:
    for number, name in enumerate(("a.jpg", "b/c.png", "b/d.bmp")):
        write_image(tmp_path / name, number)
    one = classifier.predict(tmp_path / "a.jpg")
    assert [(each.path, each.status) for each in one] == [(tmp_path / "a.jpg", "ok")]
    (logit,) = classifier.logits(decode(tmp_path / "a.jpg")[None]).tolist()
    assert one[0].logit == logit
    several = classifier.predict([f"{tmp_path}/b/*.bmp", tmp_path, tmp_path / "a.jpg"])
    names = [each.path.relative_to(tmp_path).as_posix() for each in several]
    assert names == ["b/d.bmp", "a.jpg", "b/c.png", "a.jpg"]
    assert several[1].logit == several[3].logit == logit


def test_unreadable_files_say_why_and_the_others_are_classified(
    classifier: Classifier, tmp_path: Path
) -> None:
    write_image(tmp_path / "good.png")
    (tmp_path / "text.jpg").write_text("not an image")
    noise = np.random.default_rng(0).integers(0, 256, (90, 90, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "cut.jpg")
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "cut.jpg").read_bytes()[:2000])
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "lost.jpg").symlink_to("nowhere")
    (tmp_path / "self.jpg").symlink_to("self.jpg")
    os.mkfifo(tmp_path / "pipe.jpg")  # no process ever writes to it
    predictions = {each.path.name: each for each in classifier.predict(tmp_path)}
    assert predictions.pop("good.png").label in ("cat", "dog")
    assert all(each.label == "" and each.logit is None for each in predictions.values())
    reasons = {name: each.status for name, each in predictions.items()}
    assert reasons.pop("cut.jpg").startswith("OSError: ")
    assert reasons.pop("self.jpg").startswith("OSError: ")
    assert reasons == {
        "text.jpg": "OSError: not a JPEG, PNG, WebP, GIF or BMP image",
        "empty.jpg": "OSError: empty",
        "lost.jpg": "no such file",
        "pipe.jpg": "OSError: not a regular file",
    }


def test_a_batch_without_any_readable_file_has_no_predictions(
    classifier: Classifier, tmp_path: Path
) -> None:
    (tmp_path / "text.jpg").write_text("not an image")
    assert [each.logit for each in classifier.predict(tmp_path)] == [None]


def test_a_logit_that_is_not_finite_is_not_a_prediction(
    classifier: Classifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_image(tmp_path / "a.png")
    monkeypatch.setattr(classifier, "logits", lambda pixels: torch.full((1,), torch.nan))
    (prediction,) = classifier.predict(tmp_path)
    assert (prediction.label, prediction.status) == ("", "the logit is nan")


def test_an_unavailable_device_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="device=cuda:99: this machine has"):
        catsdogs.load(write_checkpoint(tmp_path / "best.pt"), device="cuda:99")
