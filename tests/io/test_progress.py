"""What is printed beside a progress bar begins a line of its own."""

import subprocess
import sys

import pytest

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


MESSAGE = """
import time
from catsdogs.cli import _one_line_errors
from catsdogs.errors import UserError
from catsdogs.io.progress import progress

with _one_line_errors():
    outer = progress(total=1, description="outside", unit="run")
    bar = progress(range(2), total=2, description="working", unit="step")
    for _ in bar:
        bar.write("a line")
        if LATER:
            time.sleep(1.1)
            bar.write("later")
    raise UserError("epochs=0: wrong")
"""


@pytest.mark.parametrize("later", [False, True])
def test_an_error_after_a_bar_begins_a_line_whether_the_bar_was_due_or_not(later: bool) -> None:
    answer = subprocess.run(
        [sys.executable, "-c", f"LATER = {later}\n{MESSAGE}"],
        env=environment(),
        capture_output=True,
        check=False,
    )
    text = answer.stderr.decode()
    assert "error: epochs=0: wrong" in [line.rpartition("\r")[2] for line in text.split("\n")]
    assert ("working" in text) == later
    assert ("\x1b" in text) == later  # to move between the lines of two bars
