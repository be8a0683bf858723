"""Sections of the report: their order, and the sentence in place of missing data."""

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from catsdogs.errors import UserError
from catsdogs.reporting.document import (
    Document,
    Figure,
    Gallery,
    Panels,
    Paragraph,
    Section,
    VerdictLine,
)
from catsdogs.reporting.report import contents
from catsdogs.reporting.sections.contract import check_table
from catsdogs.reporting.verdict import verdicts
from catsdogs.runs.reader import read_runs
from tests.support.synthetic_runs import write_comparison

PAIR = "native_adam", "custom_adam"


def document(folder: Path, *labels: str, **arguments: Any) -> Document:
    runs = read_runs(write_comparison(folder, labels, **arguments))
    return contents(runs, verdicts(runs))


def section(found: Document, title: str) -> Section:
    (one,) = (section for section in found.sections if section.title == title)
    return one


def text(found: Section) -> str:
    return " ".join(block.text for block in found.blocks if isinstance(block, Paragraph))


def keep_mistakes(run: Path, *images: tuple[str, int, float]) -> None:
    (run / "mistakes").mkdir()
    lines = ["rank,path,label,logit,file"]
    for rank, (path, label, logit) in enumerate(images, start=1):
        Image.new("RGB", (8, 8)).save(run / "mistakes" / f"{rank}.jpg")
        lines.append(f"{rank},{path},{label},{logit},mistakes/{rank}.jpg")
    (run / "mistakes.csv").write_text("\n".join(lines) + "\n")


def test_sections_are_in_reading_order(tmp_path: Path) -> None:
    found = document(tmp_path, *PAIR)
    assert [one.title for one in found.sections] == [
        "Verdicts",
        "Results",
        "Curves",
        "Parity",
        "Statistics",
        "Learning rates",
        "Time and memory",
        "Mistakes",
        "Confusion matrix",
        "Calibration",
        "Incomplete runs",
        "Reproducibility",
    ]
    assert all(one.blocks for one in found.sections)
    assert "native_adam and custom_adam on images of cats and dogs: 3 seeds, 6 of 6" in found.lead


def test_a_verdict_line_has_a_sign_a_headline_and_evidence(tmp_path: Path) -> None:
    other = {("published_adam", 0): {"costs": (0.75, 0.5, 0.25, 0.5)}}
    found = document(tmp_path, "native_adam", "custom_adam", "published_adam", runs=other)
    lines = [one for one in section(found, "Verdicts").blocks if isinstance(one, VerdictLine)]
    assert lines[0].sign == "="
    assert lines[0].title == "custom_adam and native_adam are identical bit for bit"
    assert lines[0].text.startswith(": in 3 seeds, the costs of all 12 iterations")
    assert lines[1].title.startswith("published_adam makes the same predictions as native_adam")


def test_missing_data_is_replaced_by_a_sentence(tmp_path: Path) -> None:
    found = document(tmp_path, *PAIR, seeds=(0,))
    assert "One seed does not show how much seeds vary" in text(section(found, "Statistics"))
    assert "ran at one learning rate" in text(section(found, "Learning rates"))
    assert "was not measured" in text(section(found, "Time and memory"))
    assert text(section(found, "Mistakes")) == "No run kept images of its mistakes."


def test_a_single_optimizer_gets_a_report_without_pairs(tmp_path: Path) -> None:
    found = document(tmp_path, "native_adam")
    assert "No pair" in text(section(found, "Verdicts"))
    assert "No pair" in text(section(found, "Parity"))
    assert "No pair" in text(section(found, "Statistics"))


def test_runs_that_all_failed_still_get_a_report(tmp_path: Path) -> None:
    failed = {(label, seed): {"status": "failed"} for label in PAIR for seed in (0, 1, 2)}
    found = document(tmp_path, *PAIR, runs=failed)
    assert "0 of 6 runs finished" in found.lead
    assert "no curve is drawn" in text(section(found, "Curves"))
    assert section(found, "Incomplete runs").blocks
    blocks = [block for one in found.sections for block in one.blocks]
    assert [type(block) for block in blocks if isinstance(block, Figure | Panels)] == [
        Panels,  # the difference of the existing costs
        Figure,  # the memory, which is known before the run
    ]


def test_images_that_most_runs_misclassify_come_first(tmp_path: Path) -> None:
    folder = write_comparison(tmp_path, PAIR, (0,))
    one, other = (next(folder.glob(f"{label}*")) for label in PAIR)
    keep_mistakes(one, ("cat.1.jpg", 1, -9.0), ("dog.2.jpg", 0, 2.0))
    keep_mistakes(other, ("dog.2.jpg", 0, 1.0))
    runs = read_runs(folder)
    (gallery,) = section(contents(runs, verdicts(runs)), "Mistakes").blocks
    assert isinstance(gallery, Gallery)
    assert [image.caption for image in gallery.images] == [
        "dog, classified as cat with 80.6 % by 2 of 2 runs: native_adam, custom_adam",
        "cat, classified as dog with 100.0 % by 1 of 2 runs: native_adam",
    ]
    assert gallery.images[0].path == one / "mistakes" / "2.jpg"


def test_checks_have_a_section_with_failed_claims_first(tmp_path: Path) -> None:
    findings = [
        {"name": name, "claim": f"claim {name}", "verdict": verdict, "evidence": f"of {name}"}
        for name, verdict in (("a", "pass"), ("b", "not applicable"), ("c", "fail"))
    ]
    facts = {"format": 1, "name": "Own", "findings": findings}
    (tmp_path / "check.json").write_text(json.dumps(facts))
    table = check_table(tmp_path)
    assert table.caption == "Own is not a drop-in replacement: 1 claim held, 1 failed."
    assert [row[0] for row in table.rows] == ["fail", "pass", "not applicable"]
    assert table.rows[0] == ("fail", "claim c", "of c")
    runs = read_runs(write_comparison(tmp_path / "runs", PAIR, (0,)))
    assert section(contents(runs, verdicts(runs), (table,)), "Contract").blocks == (table,)


def test_a_check_with_groups_shows_the_worst_first_and_is_judged_by_update_and_state(
    tmp_path: Path,
) -> None:
    def caption_and_rows(*judged: tuple[str, str], **facts: Any) -> tuple[str, list[str]]:
        findings = [
            {"name": "a", "claim": "A.", "verdict": verdict, "evidence": "seen", "group": group}
            for verdict, group in judged
        ]
        content = {"format": 1, "name": "Own", "findings": findings} | facts
        (tmp_path / "check.json").write_text(json.dumps(content))
        table = check_table(tmp_path)
        assert table.columns == ("group", "verdict", "claim", "evidence")
        return table.caption, [" ".join(row[:2]) for row in table.rows]

    mild = ("pass", "update"), ("fail", "manners"), ("expected", "state"), ("fail", "use")
    caption, rows = caption_and_rows(*mild)
    assert caption == (
        "Own is a drop-in replacement: 1 claim held, 2 failed, 1 failed as declared."
    )
    assert rows == ["use fail", "manners fail", "state expected", "update pass"]
    caption, rows = caption_and_rows(*mild, ("fail", "state"))
    assert caption.startswith("Own is not a drop-in replacement: 1 claim held, 3 failed")
    assert rows[0] == "state fail"
    caption, _ = caption_and_rows(("pass", "update"), stopped="stopped in x")
    assert caption == ("Own is not a drop-in replacement: 1 claim held, 0 failed; stopped in x.")


@pytest.mark.parametrize("text", [None, "{", '{"format": 1}', '{"format": 2, "findings": []}'])
def test_an_unreadable_check_is_named(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "check.json").write_text(text)
    with pytest.raises(UserError, match=f"checks={tmp_path}: .*check"):
        check_table(tmp_path)
