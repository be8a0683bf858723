"""Nothing that was planned or found is dropped in silence."""

from pathlib import Path

from catsdogs.reporting.document import Paragraph, Table
from catsdogs.reporting.sections.incomplete_runs import gaps
from catsdogs.runs.reader import read_runs
from tests.support.synthetic_runs import write_comparison, write_run

COMMAND = "python -m catsdogs.compare contenders=[native_adam,custom_adam]"


def test_a_whole_comparison_has_no_gaps(tmp_path: Path) -> None:
    assert gaps(read_runs(write_comparison(tmp_path))) == Paragraph("All 6 runs finished.")


def test_every_run_that_is_not_finished_is_named_with_its_reason_and_a_way_out(
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
    table = gaps(read_runs(folder))
    assert isinstance(table, Table)
    assert table.caption == "Of 6 runs, 2 finished; these are in no mean."
    assert table.rows == (
        ("native_adam", "2", "0.001", "missing", "there is no record", COMMAND),
        ("native_adam", "0", "0.001", "diverged")
        + ("the training cost became nan in epoch 2, iteration 5",)
        + ("a result, not a gap: nothing to redo",),
        ("native_adam", "1", "0.001", "failed", "UserError: optimizer: refuses its settings")
        + (COMMAND,),
        ("custom_adam", "0", "0.001", "running")
        + ("it is not done, or was cut off after 3 iterations",)
        + (COMMAND,),
    )


def test_without_a_plan_the_runs_own_command_is_the_way_out(tmp_path: Path) -> None:
    write_run(tmp_path, name="a", status="running", costs=())
    table = gaps(read_runs(tmp_path))
    assert isinstance(table, Table)
    assert table.rows[0][4:] == (
        "it is not done, or was cut off after 0 iterations",
        "python -m catsdogs.train optimizer=native_adam seed=0",
    )


def test_a_run_that_repeats_another_is_named(tmp_path: Path) -> None:
    for name in ("first", "second"):
        write_run(tmp_path, name=name, facts={"started": name})
    table = gaps(read_runs(tmp_path))
    assert isinstance(table, Table)
    assert table.rows == (
        ("native_adam", "0", "0.001", "repeated")
        + ("first repeats a run that is used in its place", "nothing to do"),
    )
