"""Mistakes: written by a run, read by a report, and one meaning of a label everywhere."""

from pathlib import Path

from PIL import Image

from catsdogs.data.image_folder import LABELS
from catsdogs.runs.mistakes import Mistake, read_mistakes, thumbnail_file
from catsdogs.runs.reader import read_run
from catsdogs.runs.schema import class_name
from catsdogs.runs.writer import RunRecord
from catsdogs.training.final_evaluation import keep_thumbnails
from tests.support.synthetic_runs import write_run


def test_mistakes_read_back_as_they_were_written_but_those_without_a_thumbnail(
    tmp_path: Path,
) -> None:
    run = write_run(tmp_path / "runs")
    Image.new("RGB", (32, 32)).save(tmp_path / "here.jpg")
    mistakes = [Mistake(1, "gone.jpg", 1, -0.1), Mistake(2, "here.jpg", 0, 0.1 + 0.2)]
    kept = keep_thumbnails(mistakes, tmp_path, run)
    with RunRecord(tmp_path, {}) as record:
        record.write_mistakes((m.rank, m.path, m.label, m.logit, m.file) for m in kept)
    (tmp_path / "mistakes.csv").rename(run / "mistakes.csv")
    assert read_mistakes(read_run(run)) == [Mistake(2, "here.jpg", 0, 0.1 + 0.2, thumbnail_file(2))]


def test_a_run_without_mistakes_has_none_to_read(tmp_path: Path) -> None:
    assert read_mistakes(read_run(write_run(tmp_path))) == []


def test_records_and_image_folders_number_the_classes_alike() -> None:
    assert {class_name(label): label for label in (0, 1)} == LABELS
