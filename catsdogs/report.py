"""Command that makes a report from a folder of runs: page, figures and numbers, without torch.

python -m catsdogs.report runs=outputs/comparison out=report
"""

from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from catsdogs.cli import Result, command, plain
from catsdogs.errors import UserError
from catsdogs.io.files import expanded
from catsdogs.io.text import one_line
from catsdogs.reporting.render import write_report
from catsdogs.reporting.report import contents
from catsdogs.reporting.results_csv import results_csv
from catsdogs.reporting.sections.contract import check_table
from catsdogs.reporting.sections.incomplete_runs import reason
from catsdogs.reporting.verdict import verdicts
from catsdogs.runs.reader import Runs, read_runs


@command("report")
def main(config: DictConfig) -> Result:
    """Read the runs, write the report and print the verdicts."""
    values = plain(config)
    folder = _path(values["runs"], "runs")
    out = folder / "report" if values["out"] is None else _path(values["out"], "out")
    runs = read_runs(folder)
    checks = tuple(check_table(path) for path in _folders(values["checks"], "checks"))
    found = verdicts(runs)
    page = write_report(contents(runs, found, checks), results_csv(runs), out)
    for verdict in found:
        print(one_line(verdict.headline))
    _print_incomplete_runs(runs)
    print(f"report: {page}")
    return Result()


def _folders(value: Any, setting: str) -> list[Path]:
    if not isinstance(value, list):
        raise UserError(f"{setting}={value}: not a list; give {setting}=[PATH,PATH]")
    return [_path(path, setting) for path in value]


def _path(value: Any, setting: str) -> Path:
    if not value or isinstance(value, bool | list | dict):
        raise UserError(f"{setting}={value}: must be a string that is not empty")
    return expanded(Path(str(value)), setting)


def _print_incomplete_runs(runs: Runs) -> None:
    for planned in runs.missing:
        print(f"missing: {one_line(planned.directory)}")
    for run in runs.found:
        if run.status != "finished":
            print(one_line(f"{run.status}: {run.directory.name}: {reason(run)}"))


if __name__ == "__main__":
    main()
