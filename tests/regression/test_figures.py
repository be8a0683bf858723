"""The figures: reproducible bytes, whatever the user's matplotlib settings."""

from pathlib import Path

import matplotlib
import pytest

from catsdogs.regression.experiment import KINDS, METHODS, ExperimentResult
from catsdogs.regression.figures import write_figures
from catsdogs.regression.fit import Fit, Line, load_diamonds, prepare


@pytest.fixture(scope="module")
def result() -> ExperimentResult:
    line = Line(0.9, 0.0)
    return ExperimentResult(
        problem=prepare(load_diamonds()),
        fits={
            f"{kind}_{method}": Fit(line, [0.2, 0.16], "flat", 1.5)
            for kind in KINDS
            for method in METHODS
        },
        listings={method: Fit(line, [3.0, 5.0], "epochs", 1.5) for method in METHODS},
    )


def drawn(result: ExperimentResult, folder: Path) -> dict[str, bytes]:
    folder.mkdir()
    write_figures(result, folder)
    return {file.name: file.read_bytes() for file in folder.iterdir()}


@pytest.mark.slow
def test_the_same_numbers_give_the_same_files_to_the_byte(
    result: ExperimentResult, tmp_path: Path
) -> None:
    one = drawn(result, tmp_path / "one")
    assert one == drawn(result, tmp_path / "two")
    assert set(one) == {
        f"{name}.{end}" for name in ("costs", "runtime_and_rmse") for end in ("svg", "png")
    }


@pytest.mark.slow
def test_the_users_own_matplotlibrc_changes_nothing(
    result: ExperimentResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = drawn(result, tmp_path / "before")
    monkeypatch.setitem(matplotlib.rcParams, "lines.linewidth", 9.0)
    monkeypatch.setitem(matplotlib.rcParams, "figure.dpi", 33.0)
    monkeypatch.setitem(matplotlib.rcParams, "xtick.labelsize", 30.0)
    assert drawn(result, tmp_path / "after") == before
