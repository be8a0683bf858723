"""The charts: the same bytes for the same numbers, and what they name."""

from pathlib import Path

from catsdogs.regression.experiment import KINDS, METHODS, ExperimentResult
from catsdogs.regression.figures import write_figures
from catsdogs.regression.fit import Fit, Line, load_diamonds, prepare
from catsdogs.regression.published import Climb


def test_the_same_numbers_give_the_same_files_to_the_byte(tmp_path: Path) -> None:
    line = Line(0.9, 0.0)
    outcome = ExperimentResult(
        problem=prepare(load_diamonds()),
        fits={
            f"{kind}_{method}": Fit(line, [0.2, 0.16], "flat", 1.5)
            for kind in KINDS
            for method in METHODS
        },
        climbs={method: Climb(line, [3.0, 5.0], "epochs") for method in METHODS},
    )
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        write_figures(outcome, tmp_path / name)
    one, two = (
        {file.name: file.read_bytes() for file in (tmp_path / name).iterdir()}
        for name in ("one", "two")
    )
    assert one == two
    assert set(one) == {
        f"{name}.{end}" for name in ("costs", "runtime_and_rmse") for end in ("svg", "png")
    }
