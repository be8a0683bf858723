"""`results.csv`: every run, with every number to the last bit."""

import csv
import io
from pathlib import Path

from catsdogs.reporting.results_csv import COLUMNS, results_csv
from catsdogs.reporting.run_summary import summarize
from catsdogs.runs.reader import Runs, read_runs
from tests.support.synthetic_runs import mistaken, write_comparison, write_run


def rows(runs: Runs) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(results_csv(runs))))


def test_every_column_is_described_and_in_order(tmp_path: Path) -> None:
    text = results_csv(read_runs(write_comparison(tmp_path)))
    assert text.splitlines()[0] == ",".join(COLUMNS)
    assert all(COLUMNS.values())


def test_numbers_read_back_to_the_same_bits(tmp_path: Path) -> None:
    third = 1 / 3
    write_run(
        tmp_path,
        val_accuracies=(0.1, 0.1 + 0.2, 0.3),
        val_costs=(0.7, third, 1e-17),
        test_logits=[logit / 7 for logit in mistaken(1, 2)],
        seconds=third,
    )
    runs = read_runs(tmp_path)
    (row,) = rows(runs)
    summary = summarize(runs.found[0])
    for name in ("best_val_accuracy", "best_epoch_val_cost", "lowest_val_cost", "test_accuracy"):
        assert float(row[name]) == getattr(summary, name)
    assert float(row["best_val_accuracy"]) == 0.1 + 0.2
    assert float(row["lowest_val_cost"]) == 1e-17
    assert float(row["training_seconds"]) == third + third
    assert (row["best_epoch"], row["lowest_val_cost_epoch"], row["last_epoch"]) == ("1", "2", "2")


def test_a_row_identifies_its_run(tmp_path: Path) -> None:
    write_run(tmp_path / "deep", "Own", 7, learning_rate=None, name="run")
    (row,) = rows(read_runs(tmp_path))
    assert {name: row[name] for name in list(COLUMNS)[:8]} == {
        "optimizer": "Own",
        "seed": "7",
        "learning_rate": "",
        "chosen": "true",
        "status": "finished",
        "reason": "",
        "directory": "deep/run",
        "iterations": "4",
    }
    assert (row["test_pictures"], row["state_bytes"], row["table_bytes"]) == ("20", "48", "0")


def test_runs_that_are_missing_failed_or_repeated_have_rows_with_empty_cells(
    tmp_path: Path,
) -> None:
    folder = write_comparison(
        tmp_path,
        ["native_adam"],
        absent={("native_adam", 2)},
        runs={("native_adam", 1): {"status": "failed", "val_accuracies": (), "val_costs": ()}},
    )
    first, failed, missing = rows(read_runs(folder))
    assert (first["status"], failed["status"], missing["status"]) == (
        "finished",
        "failed",
        "missing",
    )
    assert failed["reason"] == "UserError: optimizer: refuses its settings"
    for empty in (failed, missing):
        assert {empty[name] for name in list(COLUMNS)[8:19]} == {""}
    assert missing["seed"] == "2"


def test_of_repeated_runs_one_is_chosen(tmp_path: Path) -> None:
    for name in "ab":
        write_run(tmp_path, name=name, facts={"started": name})
    found = {row["directory"]: (row["status"], row["chosen"]) for row in rows(read_runs(tmp_path))}
    assert found == {"b": ("finished", "true"), "a": ("repeated", "false")}


def test_only_the_chosen_learning_rate_is_chosen(tmp_path: Path) -> None:
    write_run(tmp_path, learning_rate=0.1)
    write_run(tmp_path, learning_rate=0.01, val_accuracies=(0.5, 0.9, 1.0))
    chosen = {row["learning_rate"]: row["chosen"] for row in rows(read_runs(tmp_path))}
    assert chosen == {"0.1": "false", "0.01": "true"}


def test_the_same_records_give_the_same_bytes(tmp_path: Path) -> None:
    folder = write_comparison(tmp_path, absent={("custom_adam", 0)})
    assert results_csv(read_runs(folder)) == results_csv(read_runs(folder))


def test_text_with_commas_quotes_line_breaks_and_formulas_stays_text_in_its_cell(
    tmp_path: Path,
) -> None:
    error = '=ValueError: "a",\nb'
    write_run(tmp_path, name="run", status="failed", facts={"error": error})
    (row,) = rows(read_runs(tmp_path))
    assert row["reason"] == '\'=ValueError: "a",\\nb'
