"""Records: plain files that are valid at any time and read back to the same bits."""

import csv
import errno
import json
import math
import subprocess
import sys
from pathlib import Path

import pytest

from catsdogs.runs.environment import hardware, versions
from catsdogs.runs.writer import RunRecord, recorded_facts
from tests.support.faults import failing


def rows(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def test_numbers_read_back_to_the_same_bits(tmp_path: Path) -> None:
    cost = 0.1 + 0.2
    with RunRecord(tmp_path, {}) as record:
        record.add_step(1, cost)
        record.add_epoch((0, cost, 1 / 3, 0.5, 1e-3, 0.0))
    assert float(rows(tmp_path / "steps.csv")[0]["cost"]) == cost
    assert float(rows(tmp_path / "epochs.csv")[0]["val_cost"]) == 1 / 3


def test_an_epoch_flushes_its_steps_to_disk(tmp_path: Path) -> None:
    with RunRecord(tmp_path, {}) as record:
        record.add_step(1, 0.5)
        record.add_epoch((1, 0.5, 0.5, 0.5, 1e-3, 0.1))
        assert len(rows(tmp_path / "steps.csv")) == 1
        assert len(rows(tmp_path / "epochs.csv")) == 1


def test_the_record_is_strict_json_even_when_a_cost_is_not_finite(tmp_path: Path) -> None:
    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is not JSON")

    with RunRecord(tmp_path, {"status": "running"}) as record:
        record.update(status="diverged", last={"val_cost": math.nan, "costs": [math.inf]})
    facts = json.loads((tmp_path / "record.json").read_text(), parse_constant=refuse)
    del facts["checksum"]
    assert facts == {"status": "diverged", "last": {"val_cost": "nan", "costs": ["inf"]}}


def test_predictions_have_a_row_per_image(tmp_path: Path) -> None:
    with RunRecord(tmp_path, {}) as record:
        record.write_predictions([("val", 'a "b", c.jpg', 1, -0.25)])
    assert rows(tmp_path / "predictions.csv") == [
        {"split": "val", "path": 'a "b", c.jpg', "label": "1", "logit": "-0.25"}
    ]


def test_versions_and_hardware_have_what_affects_numbers_and_speed() -> None:
    assert {"python", "torch", "torchvision", "pillow", "catsdogs"} <= set(versions())
    assert hardware()["memory_bytes"] > 2**28
    assert hardware()["processor"]


def test_records_need_no_torch() -> None:
    code = "import sys, catsdogs.runs.writer; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_table_without_mistakes_is_its_header_and_an_absent_thumbnail_an_empty_field(
    tmp_path: Path,
) -> None:
    file = tmp_path / "mistakes.csv"
    with RunRecord(tmp_path, {}) as record:
        record.write_mistakes([])
        assert file.read_text() == "rank,path,label,logit,file\n"
        record.write_mistakes([(1, "a,b.jpg", 0, 0.1 + 0.2, "")])
    assert rows(file)[0] | {"logit": ""} == {
        "rank": "1",
        "path": "a,b.jpg",
        "label": "0",
        "logit": "",
        "file": "",
    }
    assert float(rows(file)[0]["logit"]) == 0.1 + 0.2


def test_a_record_that_the_disk_cannot_read_now_is_not_taken_for_an_absent_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert recorded_facts(tmp_path) == {}
    (tmp_path / "record.json").write_text("[" * 100_000)
    assert recorded_facts(tmp_path) == {}
    monkeypatch.setattr(Path, "read_text", failing(errno.EIO))
    with pytest.raises(OSError, match="Input/output error"):
        recorded_facts(tmp_path)


def test_a_run_that_ends_while_it_is_created_is_found_by_its_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "steps.csv").mkdir()
    with pytest.raises(IsADirectoryError):
        RunRecord(tmp_path, {"status": "running"})
    assert recorded_facts(tmp_path) == {"status": "running"}
