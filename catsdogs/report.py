"""Make the report of a folder of runs: one page, its figures and the numbers, from records alone.

python -m catsdogs.report runs=outputs/comparison out=report
"""

from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from catsdogs.cli import command, plain
from catsdogs.errors import UserError
from catsdogs.io.files import expanded
from catsdogs.io.text import one_line
from catsdogs.reporting.render import write_report
from catsdogs.reporting.report import contents, headline
from catsdogs.reporting.results_csv import results_csv
from catsdogs.reporting.sections.contract import check_table
from catsdogs.reporting.sections.incomplete_runs import reason
from catsdogs.reporting.verdict import Verdict, verdicts
from catsdogs.runs.reader import Runs, read_runs


@command("report")
def main(config: DictConfig) -> int:
    """Read the runs, write the report and say in a few lines what it says."""
    values = plain(config)
    folder = expanded(Path(str(values["runs"])), "runs")
    out = expanded(Path(str(values["out"] or folder / "report")), "out")
    runs = read_runs(folder)
    checks = tuple(check_table(path) for path in _folders(values["checks"], "checks"))
    judged = verdicts(runs)
    page = write_report(contents(runs, judged, checks), results_csv(runs), out)
    _print_verdicts(judged)
    _print_gaps(runs)
    print(f"report: {page}")
    return 0


def _folders(value: Any, setting: str) -> list[Path]:
    if not isinstance(value, list):
        raise UserError(f"{setting}={value}: is no list; give {setting}=[PATH,PATH]")
    return [expanded(Path(str(path)), setting) for path in value]


def _print_verdicts(judged: tuple[Verdict, ...]) -> None:
    for verdict in judged:
        print(one_line(headline(verdict)))


def _print_gaps(runs: Runs) -> None:
    for planned in runs.missing:
        print(f"missing: {one_line(planned.directory)}")
    for run in runs.found:
        if run.status != "finished":
            print(one_line(f"left out: {run.directory.name}: {reason(run)}"))


if __name__ == "__main__":
    main()
