"""Reports of many runs and of long series: work, memory and page stay in proportion."""

import csv
import dataclasses
import json
import os
import shutil
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from catsdogs.reporting import render
from catsdogs.reporting.document import MOST_ROWS, Document, Table
from catsdogs.reporting.report import contents
from catsdogs.reporting.sections.parity import POINTS, cost_difference
from catsdogs.reporting.verdict import verdicts
from catsdogs.runs.reader import Run, read_run, read_runs
from catsdogs.runs.writer import recorded_facts, write_facts
from tests.support.synthetic_runs import write_comparison, write_run

LABELS = ("native_adam", "custom_adam")


def copied(folder: Path, seeds: int) -> Path:
    """Write a comparison of two contenders, whose runs are copies of two real ones."""
    write_comparison(folder, LABELS, [0])
    plan = json.loads((folder / "comparison.json").read_text())
    for first in list(plan["runs"]):
        record = recorded_facts(folder / first["directory"])
        for seed in range(1, seeds):
            name = f"{first['label']}-{seed}"
            shutil.copytree(folder / first["directory"], folder / name, copy_function=os.link)
            (folder / name / "record.json").unlink()
            write_facts(folder / name, record | {"seed": seed})
            plan["runs"].append(first | {"seed": seed, "directory": name})
    plan["seeds"] = list(range(seeds))
    (folder / "comparison.json").write_text(json.dumps(plan))
    return folder


class Counted(tuple[Run, ...]):
    """Runs that count how often somebody goes through them."""

    passes = 0

    def __iter__(self) -> Iterator[Run]:
        type(self).passes += 1
        return super().__iter__()


def test_looking_up_every_run_goes_through_all_of_them_only_twice(tmp_path: Path) -> None:
    runs = read_runs(copied(tmp_path / "runs", 20))
    counted = dataclasses.replace(runs, found=Counted(runs.found))
    for label in LABELS:
        for seed in range(20):
            run = counted.get(label, seed, 1e-3)
            assert run is not None
            assert (run.label, run.seed) == (label, seed)
        assert [run.seed for run in counted.of(label)] == list(range(20))
    assert counted.get("native_adam", 20) is None
    assert counted.get("native_adam", 0, 1.0) is None
    assert Counted.passes == 2


def test_runs_on_the_same_images_share_their_names(tmp_path: Path) -> None:
    runs = read_runs(copied(tmp_path / "runs", 10))
    names = {id(run.test.paths) for run in runs.found if run.test}
    assert len(names) == 1


def test_a_long_series_takes_the_memory_of_its_numbers_and_keeps_every_bit(
    tmp_path: Path,
) -> None:
    costs = np.random.default_rng(0).random(200_000)
    run = write_run(tmp_path, name="run")
    with (run / "steps.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("iteration", "cost"), *enumerate(costs.tolist(), 1)])
        file.write("200001,0.12")  # as a crash leaves it
    tracemalloc.start()
    try:
        found = read_run(run)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert found.costs.tobytes() == costs.tobytes()
    assert peak < 4 * costs.nbytes


def test_a_difference_of_costs_is_drawn_with_a_bounded_number_of_points(tmp_path: Path) -> None:
    length = 2 * POINTS + 1
    for label, last in (("native_adam", 0.5), ("custom_adam", 0.75)):
        write_run(tmp_path, label, costs=[0.5] * (length - 1) + [last])
    figure = cost_difference(read_runs(tmp_path))
    assert figure is not None
    (line,) = figure.figures[0].drawing.axes[0].lines
    values = np.asarray(line.get_ydata())
    assert len(values) <= POINTS
    assert values[-1] == 0.25
    assert np.asarray(line.get_xdata())[-1] == length
    assert "0 at 10,000 of 10,001 iterations" in figure.figures[0].alt
    assert "blocks of 3 iterations" in figure.caption


def test_a_report_shows_the_first_rows_of_a_long_table_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seeds = MOST_ROWS + 1
    runs = read_runs(copied(tmp_path / "runs", seeds))
    asked = []
    kind_of = render._column_kind
    monkeypatch.setattr(
        render,
        "_column_kind",
        lambda table, column: (asked.append(column), kind_of(table, column))[1],  # type: ignore[func-returns-value]
    )
    document = contents(runs, verdicts(runs))
    tables = [b for section in document.sections for b in section.blocks if isinstance(b, Table)]
    assert max(len(table.rows) for table in tables) == MOST_ROWS
    shortened = [table for table in tables if len(table.rows) == MOST_ROWS]
    assert any(f"The first {MOST_ROWS} of {2 * seeds} rows" in table.note for table in shortened)
    page = render.page(document, dict.fromkeys(_figures(document), "<svg></svg>"))
    assert page.count("<tr>") < 4 * MOST_ROWS + 200
    assert len(asked) == sum(len(table.columns) for table in tables)  # not for each cell
    assert f"{MOST_ROWS - 18} more" in page  # of the seeds


def _figures(document: Document) -> list[str]:
    return [figure.name for figure in render._figures(document)]
