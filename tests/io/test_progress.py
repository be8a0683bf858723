"""What is printed beside a progress bar begins a line of its own."""

import subprocess
import sys

from tests.support.processes import environment

WORK = """
import logging
from catsdogs.cli import _one_line_errors
from catsdogs.errors import UserError
from catsdogs.io.progress import LinesBesideBars, progress

logging.basicConfig(format="%(levelname)s: %(message)s", handlers=[LinesBesideBars()])
with _one_line_errors():
    bar = progress(total=9, description="working", unit="step", delay=0)
    bar.delay = 0
    bar.refresh()
    logging.warning("beside")
    raise UserError("epochs=0: wrong")
"""


def test_an_error_and_a_warning_stand_on_lines_of_their_own() -> None:
    answer = subprocess.run(
        [sys.executable, "-c", WORK],
        env=environment(),
        capture_output=True,
        check=False,
    )
    assert answer.returncode == 2
    text = answer.stderr.decode()
    shown = [line.rpartition("\r")[2] for line in text.split("\n")]
    assert "WARNING: beside" in shown
    assert "error: epochs=0: wrong" in text.split("\n")
    assert "working" in text
