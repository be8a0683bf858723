"""The predict command: a table, a contact sheet and a page from a checkpoint and images."""

import csv
import io
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image

import catsdogs
from catsdogs.training.checkpoint import load_checkpoint
from tests.support.images import write_image
from tests.support.sample_checkpoint import write_checkpoint

Run = Callable[..., int]


@pytest.fixture(autouse=True)
def small_batches(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep batches small, except where predictions are compared with those of a run."""
    if "run_train" not in request.fixturenames:
        monkeypatch.setattr("catsdogs.inference.classifier.BATCH", 2)


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def only_run() -> Path:
    (directory,) = (path for path in Path("outputs").iterdir() if "seed" in path.name)
    return directory


def test_it_predicts_as_the_run_itself_did(
    run_train: Run, run_predict: Run, small: list[str], images: Path
) -> None:
    assert run_train(*small, "epochs=1") == 0
    assert run_predict(f"checkpoint={only_run()}/best.pt", f"pictures={images}") == 0
    (made,) = Path("outputs").glob("predict-*")
    assert re.fullmatch(r"predict-\d{8}-\d{6}", made.name)
    found = {Path(row["path"]).name: row for row in rows(made / "predictions.csv")}
    assert len(found) == 18
    known = rows(only_run() / "predictions.csv")
    assert len(known) == 8
    for row in known:
        logit = float(row["logit"])
        assert float(found[row["path"]]["logit"]) == pytest.approx(logit, abs=1e-5)
        assert found[row["path"]]["label"] == ("cat" if logit > 0 else "dog")


def test_a_checkpoint_that_is_not_the_one_of_its_run_is_refused(
    run_train: Run,
    run_predict: Run,
    small: list[str],
    images: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run_train(*small, "epochs=2", "model.head=linear") == 0
    best, last = (only_run() / name for name in ("best.pt", "last.pt"))
    own = best.read_bytes()
    content = load_checkpoint(best)
    flipped = bytearray(own)
    flipped[own.index(content["head"]["weight"].flatten()[:64].numpy().tobytes())] ^= 1
    other, older = io.BytesIO(), io.BytesIO()
    torch.save(content | {"id": "0" * 32}, other)
    torch.save(content | {"epoch": content["epoch"] + 1}, older)
    predict = [f"checkpoint={best}", f"pictures={images}", "output_dir=out"]
    for replacement, said in (
        (other.getvalue(), f"checkpoint={best}: belongs to another run than record.json; give"),
        (last.read_bytes(), f"checkpoint={best}: is a copy of last.pt; give a"),
        (older.getvalue(), "and record.json names epoch"),
        (flipped, "differs from its checksum"),
    ):
        best.write_bytes(replacement)
        assert run_predict(*predict) == 2
        assert said in capsys.readouterr().err
    best.rename("best.pt")  # another folder is none of a run's business
    Path("best.pt").write_bytes(other.getvalue())
    assert run_predict("checkpoint=best.pt", *predict[1:]) == 0


def test_it_writes_a_table_a_sheet_and_a_page_and_prints_the_counts(
    run_predict: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint = write_checkpoint(tmp_path / "best.pt", head="linear")
    for number, name in enumerate(("b.jpg", "in/a.png")):
        write_image(tmp_path / "pictures" / name, number)
    (tmp_path / "pictures" / "broken.jpg").write_text("not an image")
    write_image(tmp_path / "pictures" / os.fsdecode(b"caf\xe9\n.png"))
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("stays")
    named = [f"checkpoint={checkpoint}", "pictures=[pictures,pictures/*.jpg]", "output_dir=out"]
    assert run_predict(*named) == 0
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"predictions.csv", "contact-sheet.png", "gallery.html", "mine.txt"}
    table = rows(tmp_path / "out" / "predictions.csv")
    assert [(row["path"], row["status"]) for row in table] == [
        ("pictures/b.jpg", "ok"),
        ("pictures/broken.jpg", "OSError: not a JPEG, PNG, WebP, GIF or BMP image"),
        (r"pictures/caf\xe9\n.png", "ok"),
        ("pictures/in/a.png", "ok"),
    ]  # each once, though two were named twice
    (prediction,) = catsdogs.load(checkpoint, device="cpu").predict("pictures/in/a.png")
    assert float(table[3]["logit"]) == pytest.approx(prediction.logit, abs=1e-5)
    assert float(table[3]["probability"]) == pytest.approx(prediction.probability, abs=1e-5)
    with Image.open(tmp_path / "out" / "contact-sheet.png") as sheet:
        assert sheet.format == "PNG"
    page = (tmp_path / "out" / "gallery.html").read_text(encoding="utf-8")
    assert page.count("<img ") == 3
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"classifier: the linear head of {checkpoint}, epoch 1, validation")
    assert re.fullmatch(r"4 images: \d cats?, \d dogs?, 1 without a prediction", lines[1])
    assert lines[2].endswith(
        "pictures/broken.jpg (OSError: not a JPEG, PNG, WebP, GIF or BMP image)"
    )
    assert lines[3] == "predictions.csv, contact-sheet.png, gallery.html: out"


def test_the_page_says_how_to_call_it_from_the_shell_and_from_python(
    run_predict: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = (Path(__file__).parents[1] / "docs" / "predict-and-export.md").read_text()
    (line,) = re.findall("^python -m catsdogs.predict (.*my_pictures)$", page, re.MULTILINE)
    (code,) = re.findall("^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    (tmp_path / "outputs" / "RUN").mkdir(parents=True)
    write_checkpoint(tmp_path / "outputs" / "RUN" / "best.pt")
    write_image(tmp_path / "my_pictures" / "a.jpg")
    assert run_predict(*line.split()) == 0
    ((made,), out) = (tmp_path / "outputs").glob("predict-*"), capsys.readouterr().out
    assert "1 image: " in out
    exec(code, {})
    path, label, probability, status = capsys.readouterr().out.split()
    row = {"path": path, "label": label, "probability": probability, "status": status}
    assert rows(made / "predictions.csv")[0].items() >= row.items()


def test_unreadable_files_alone_still_make_a_table(run_predict: Run, tmp_path: Path) -> None:
    checkpoint = write_checkpoint(tmp_path / "best.pt")
    (tmp_path / "broken.jpg").write_text("not an image")
    named = [f"checkpoint={checkpoint}", "pictures=broken.jpg", "output_dir=out"]
    assert run_predict(*named) == 0
    assert [row["label"] for row in rows(tmp_path / "out" / "predictions.csv")] == [""]
    assert "None of the files could be read" in (tmp_path / "out" / "gallery.html").read_text()


def test_a_name_with_brackets_is_given_in_quotes_as_help_and_error_say(
    run_predict: Run, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    checkpoint = write_checkpoint(tmp_path / "best.pt")
    write_image(tmp_path / "photo (1).jpg")
    named = [f"checkpoint={checkpoint}", "output_dir=out"]
    assert run_predict(*named, "pictures=photo (1).jpg") == 2
    assert "quote a value with special characters" in capfd.readouterr().err
    assert run_predict(*named, 'pictures="photo (1).jpg"') == 0
    assert len(rows(tmp_path / "out" / "predictions.csv")) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "pictures: has no default; give pictures=VALUE"),
        (["pictures="], "pictures=: must be a string or a list of strings"),
        (["pictures=[]"], "pictures=[]: must be a string or a list of strings"),
        (["pictures=nowhere"], "pictures=nowhere: no such file or folder"),
        (["pictures=a.jpg", "weights=gone.pth"], "weights=gone.pth: no such file"),
        (["pictures=a.jpg", "weights=embedded"], "weights=embedded: not the backbone of this"),
        (["pictures=a.jpg", "checkpoint=a.jpg"], "a.jpg: not a readable checkpoint"),
        (["pictures=a.jpg", "checkpoint=gone.pt"], "gone.pt: not a readable checkpoint"),
        (["pictures=a.jpg", "checkpoint=."], "checkpoint=.: is a folder; give best.pt"),
        (["pictures=a.jpg", "checkpoint=old.pt"], "old.pt: not a checkpoint of catsdogs, format 2"),
        (["pictures=a.jpg", "device=tpu"], "device=tpu: must be one of auto"),
        (["pictures=a.jpg", "output_dir=/proc/nowhere"], "output_dir=/proc/nowhere: cannot write"),
        (["pictures=a.jpg", "seed=1"], "seed: unknown setting of this command"),
    ],
    ids=str,
)
def test_wrong_input_gets_one_line_status_2_and_leaves_nothing(
    run_predict: Run,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    checkpoint = write_checkpoint(tmp_path / "best.pt")
    torch.save({"format": 0}, tmp_path / "old.pt")
    write_image(tmp_path / "a.jpg")
    before = set(tmp_path.rglob("*"))
    assert run_predict(f"checkpoint={checkpoint}", *arguments) == 2
    captured = capfd.readouterr()
    (line,) = captured.err.splitlines()
    assert line.startswith("error: ")
    assert message in line
    assert set(tmp_path.rglob("*")) == before


def test_an_output_folder_that_cannot_be_written_to_is_refused_before_the_checkpoint_is_loaded(
    run_predict: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(*_: object, **__: object) -> None:
        raise AssertionError("the checkpoint was loaded first")

    monkeypatch.setattr("catsdogs.predict.load", forbidden)
    write_image(tmp_path / "a.jpg")
    assert run_predict("checkpoint=best.pt", "pictures=a.jpg", "output_dir=/proc/nowhere") == 2


@pytest.mark.skipif("CATSDOGS_PHOTOS" not in os.environ, reason="CATSDOGS_PHOTOS names no folder")
def test_real_photographs_are_classified_as_in_training(run_train: Run, run_predict: Run) -> None:
    root = os.environ["CATSDOGS_PHOTOS"]
    sizes = ["data.train_per_class=16", "data.val_per_class=4", "data.test_per_class=20"]
    assert run_train("data=folder", f"data.root={root}", *sizes, "epochs=2") == 0
    test = [row for row in rows(only_run() / "predictions.csv") if row["split"] == "test"]
    Path("unseen").mkdir()
    for row in test:
        (Path("unseen") / row["path"]).symlink_to(Path(root) / row["path"])
    assert run_predict(f"checkpoint={only_run()}/best.pt", "pictures=unseen", "output_dir=out") == 0
    found = {Path(row["path"]).name: row for row in rows(Path("out/predictions.csv"))}
    assert len(found) == len(test) == 40
    for row in test:
        logit = float(row["logit"])
        assert float(found[row["path"]]["logit"]) == pytest.approx(logit, abs=1e-5)
        assert (found[row["path"]]["label"] == "cat") == (logit > 0)
