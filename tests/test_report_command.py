"""The report command: a page from a folder of runs, without torch."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from catsdogs import report
from tests.support.synthetic_runs import write_comparison, write_run

Run = Callable[..., int]
WITHOUT_TORCH = """
import runpy, sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "torchvision", "tensorboard"):
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Absent())
sys.argv[1:] = {arguments}
runpy.run_module("catsdogs.report", run_name="__main__")
assert "matplotlib.pyplot" not in sys.modules
"""


def files(directory: Path) -> dict[str, bytes]:
    return {
        path.relative_to(directory).as_posix(): path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file()
    }


def test_a_report_is_made_without_torch(tmp_path: Path) -> None:
    folder = write_comparison(tmp_path / "runs")
    arguments = [f"runs={folder}", f"out={tmp_path / 'report'}"]
    code = WITHOUT_TORCH.format(arguments=arguments)
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.splitlines() == [
        "custom_adam and native_adam are identical bit for bit",
        f"report: {tmp_path / 'report' / 'index.html'}",
    ]
    assert {"index.html", "report.md", "results.csv"} <= set(files(tmp_path / "report"))


def test_the_report_is_in_the_folder_of_the_runs_and_a_second_one_has_the_same_bytes(
    run: Run, tmp_path: Path
) -> None:
    folder = write_comparison(tmp_path / "runs", seeds=(0,))
    assert run(report.main, f"runs={folder}") == 0
    first = files(folder)
    assert (folder / "report" / "index.html").stat().st_size < 3_000_000
    assert run(report.main, f"runs={folder}") == 0
    assert files(folder) == first


def test_incomplete_runs_are_named_and_the_report_is_made(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_comparison(
        tmp_path / "runs",
        absent=[("custom_adam", 1)],
        runs={("native_adam", 2): {"status": "failed"}},
    )
    assert run(report.main, f"runs={folder}") == 0
    out = capsys.readouterr().out
    assert "missing: custom_adam-seed1-lr0.001" in out
    assert "failed: native_adam-seed2-lr0.001: UserError: optimizer: refuses its settings" in out
    page = (folder / "report" / "index.html").read_text()
    assert "no record" in page


def test_html_in_a_label_a_path_or_an_error_is_escaped(run: Run, tmp_path: Path) -> None:
    evil = "<b onclick=alert(1)>&"
    folder = tmp_path / f"runs {evil}"
    write_run(folder, evil, name="one")
    write_run(folder, "native_adam", name=f"two {evil}", status="failed", facts={"error": evil})
    path = json.dumps(str(folder))
    assert run(report.main, f"runs={path}", f"out={tmp_path / 'out'}") == 0
    page = (tmp_path / "out" / "index.html").read_text()
    assert "<b onclick" not in page
    assert "&lt;b onclick=alert(1)&gt;&amp;" in page
    assert "<b onclick" not in (tmp_path / "out" / "report.md").read_text()
