"""Write docs/bad-input.md anew from what the commands answer to each case now.

python -m tests.support.write_bad_input_page

Run this after a change of messages, and read the diff of the page. Where a case breaks a rule that
holds for all of them, such as one line on stderr, the page stays as it is.
"""

import os
import signal
import sys
from typing import Any, NoReturn

import pytest

from catsdogs.io.progress import progress
from tests.bad_input import test_catalogue
from tests.bad_input.test_catalogue import IMAGES, PARTS, ROW
from tests.support import catalogue

MINUTES = 30  # for all cases; two idle cores need one
TESTS = (
    test_catalogue.test_an_image_is_used_or_left_out_with_its_reason,
    test_catalogue.test_a_command_refuses_bad_input_in_one_line_and_leaves_nothing_behind,
)


class Recorder:
    """A plugin of pytest that collects the row of each case, be it on the page or not."""

    def __init__(self, bar: Any) -> None:
        self.rows: dict[str, str] = {}
        self.failures: list[str] = []
        self._bar = bar

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take the row from a finished test; without one, the case has broken a rule."""
        row = dict(report.user_properties).get(ROW)
        if report.when == "call" and isinstance(row, str):
            self.rows[catalogue.first_cell(row)] = row
            self._bar.update()
        elif report.failed:
            self.failures.append(f"{report.nodeid}\n{report.longreprtext}\n")


def main() -> int:
    """Run all cases and write the page; return an exit status."""
    os.environ["OMP_NUM_THREADS"] = "1"  # a process for each core, as `make test`
    tests = [f"{test_catalogue.__file__}::{test.__name__}" for test in TESTS]
    options = ["-p", "no:terminal", "-o", "addopts=--import-mode=importlib"]
    options += ["--numprocesses", "auto", "--dist", "worksteal"]
    # This program has imported them before pytest, which runs nothing in this process.
    options += ["-W", "ignore:Module already imported:pytest.PytestAssertRewriteWarning"]
    signal.signal(signal.SIGALRM, _give_up)
    signal.alarm(60 * MINUTES)
    total = len(IMAGES) + sum(map(len, PARTS.values()))
    with progress(total=total, description="running the cases", unit="case") as bar:
        recorder = Recorder(bar)
        pytest.main([*options, *tests], plugins=[recorder])
    print(*recorder.failures, sep="\n", end="", file=sys.stderr)
    if len(recorder.rows) < total:
        print(f"{total - len(recorder.rows)} of {total} cases gave no row", file=sys.stderr)
        return 1
    before = catalogue.pinned_rows()
    catalogue.PAGE.write_text(catalogue.page(IMAGES, PARTS, recorder.rows))
    changed = sum(before.get(given) != row for given, row in recorder.rows.items())
    print(f"{catalogue.PAGE}: {changed} of {total} rows are new or changed")
    return 0


def _give_up(*_: object) -> NoReturn:
    pytest.exit(f"not finished after {MINUTES} minutes", returncode=1)


if __name__ == "__main__":
    sys.exit(main())
