"""Incomplete runs: every planned or found run is accounted for."""

from pathlib import Path

from catsdogs.reporting.document import Paragraph, Table
from catsdogs.reporting.sections.incomplete_runs import incomplete_runs_table
from catsdogs.runs.reader import read_runs
from tests.support.synthetic_runs import write_comparison, write_run

COMMAND = "python -m catsdogs.compare contenders=[native_adam,custom_adam]"


def test_a_complete_comparison_has_no_table(tmp_path: Path) -> None:
    assert incomplete_runs_table(read_runs(write_comparison(tmp_path))) == Paragraph(
        "All 6 runs finished."
    )


def test_every_incomplete_run_has_a_reason_and_a_command(
    tmp_path: Path,
) -> None:
    folder = write_comparison(
        tmp_path,
        absent={("native_adam", 2)},
        runs={
            ("native_adam", 0): {"status": "diverged"},
            ("native_adam", 1): {"status": "failed"},
            ("custom_adam", 0): {"status": "running", "costs": (0.5, 0.4, 0.3)},
        },
    )
    table = incomplete_runs_table(read_runs(folder))
    assert isinstance(table, Table)
    assert table.caption == "Of 6 runs, 2 finished; the means do not include these:"
    assert table.rows == (
        ("native_adam", "2", "0.001", "missing", "no record", COMMAND),
        ("native_adam", "0", "0.001", "diverged")
        + ("the training cost became nan in epoch 2, iteration 5",)
        + ("none: divergence is a result",),
        ("native_adam", "1", "0.001", "failed", "UserError: optimizer: refuses its settings")
        + (COMMAND,),
        ("custom_adam", "0", "0.001", "running")
        + ("interrupted or still running, 3 iterations done",)
        + (COMMAND,),
    )


def test_without_a_plan_the_command_is_that_of_the_run(tmp_path: Path) -> None:
    write_run(tmp_path, name="a", status="running", costs=())
    table = incomplete_runs_table(read_runs(tmp_path))
    assert isinstance(table, Table)
    assert table.rows[0][4:] == (
        "interrupted or still running, 0 iterations done",
        "python -m catsdogs.train optimizer=native_adam seed=0",
    )


def test_a_run_that_repeats_another_is_named(tmp_path: Path) -> None:
    for name in ("first", "second"):
        write_run(tmp_path, name=name, facts={"started": name})
    table = incomplete_runs_table(read_runs(tmp_path))
    assert isinstance(table, Table)
    assert table.rows == (
        ("native_adam", "0", "0.001", "repeated")
        + ("first repeats another run, which is used instead", "none: nothing is missing"),
    )
