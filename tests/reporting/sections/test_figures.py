"""Figures: what they show, what their texts say, and reproducible bytes."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from catsdogs.reporting.document import Figure, Panels
from catsdogs.reporting.plotting import inline_svg, png, svg
from catsdogs.reporting.sections.calibration import reliability
from catsdogs.reporting.sections.curves import training_cost, validation_accuracy, validation_cost
from catsdogs.reporting.sections.learning_rates import sensitivity
from catsdogs.reporting.sections.parity import cost_difference
from catsdogs.reporting.sections.time_and_memory import memory, step_time, way_to_target
from catsdogs.reporting.style import HUES, line_style, panels
from catsdogs.runs.reader import Runs, read_runs
from tests.support.synthetic_runs import write_comparison

FAMILY = (
    *(f"{role}_{method}" for method in HUES for role in ("native", "custom") if method != "saga"),
    "custom_saga",
    "published_sgd",
    "published_adam",
)


def read(tmp_path: Path, *labels: str, **arguments: Any) -> Runs:
    return read_runs(write_comparison(tmp_path / "runs", labels, **arguments))


def legend(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.drawing.legends[0].get_texts()]


def line(figure: Figure, number: int) -> np.ndarray[Any, Any]:
    return np.asarray(figure.drawing.axes[0].lines[number].get_xydata())


def test_a_curve_equal_to_the_native_one_is_drawn_and_labelled_as_equal(tmp_path: Path) -> None:
    runs = read(tmp_path, "native_adam", "custom_adam")
    (figure,) = training_cost(runs).figures
    assert legend(figure) == ["native_adam (wide)", "custom_adam (dashed, equal to native_adam)"]
    assert line(figure, 0).tolist() == line(figure, 1).tolist()
    native, custom = figure.drawing.axes[0].lines
    assert native.get_linewidth() > 2 * custom.get_linewidth()
    assert custom.get_zorder() > native.get_zorder()


def test_a_curve_that_differs_in_one_seed_is_not_labelled_as_equal(tmp_path: Path) -> None:
    other = {("custom_adam", 2): {"costs": (0.75, 0.5, 0.25, 0.1250001)}}
    runs = read(tmp_path, "native_adam", "custom_adam", runs=other)
    assert "custom_adam (dashed)" in legend(training_cost(runs).figures[0])


def test_a_curve_is_the_mean_over_seeds_with_a_band_from_lowest_to_highest(
    tmp_path: Path,
) -> None:
    runs = read(
        tmp_path,
        "native_adam",
        seeds=(0, 1),
        runs={("native_adam", 1): {"costs": (0.25, 0.5, 0.75, 0.625)}},
    )
    (figure,) = training_cost(runs).figures
    assert line(figure, 0).tolist() == [[1, 0.5], [2, 0.5], [3, 0.5], [4, 0.375]]
    band = figure.drawing.axes[0].collections[0].get_paths()[0].vertices
    assert {(1, 0.25), (1, 0.75), (4, 0.125), (4, 0.625)} <= set(map(tuple, np.asarray(band)))
    assert figure.alt.endswith("native_adam goes from 0.5 to 0.375.")


def test_a_long_series_is_drawn_as_means_and_the_caption_says_so(tmp_path: Path) -> None:
    costs = tuple(np.linspace(1, 0, 2000))
    runs = read(tmp_path, "native_adam", seeds=(0,), runs={("native_adam", 0): {"costs": costs}})
    panels_ = training_cost(runs)
    assert "Training cost averaged over blocks of 3 iterations" in panels_.caption
    drawn = line(panels_.figures[0], 0)
    assert drawn[0].tolist() == [2.0, pytest.approx(np.mean(costs[:3]))]
    assert len(drawn) == 666


def test_the_caption_mentions_costs_above_the_axis(tmp_path: Path) -> None:
    high = {("native_adam", 0): {"costs": (*[0.5] * 300, 7.25)}}
    runs = read(tmp_path, "native_adam", seeds=(0,), runs=high)
    caption = training_cost(runs).caption
    assert "The axis ends at 1; the highest cost is 7.25." in caption
    assert training_cost(runs).figures[0].drawing.axes[0].get_ylim() == (0, 1)


def test_a_diverged_run_ends_the_curve_and_is_named_and_a_failed_one_is_omitted(
    tmp_path: Path,
) -> None:
    runs = read(
        tmp_path,
        "native_adam",
        "custom_adam",
        runs={
            ("native_adam", 1): {"status": "diverged", "costs": (0.75, 0.5)},
            ("custom_adam", 2): {"status": "failed", "costs": (0.75,)},
        },
    )
    (figure,) = training_cost(runs).figures
    assert legend(figure)[0] == "native_adam (wide, seed 1 diverged)"
    assert len(line(figure, 0)) == 2
    assert len(line(figure, 1)) == 4


def test_every_method_has_a_panel_and_all_panels_have_the_same_axes(tmp_path: Path) -> None:
    runs = read(tmp_path, *FAMILY, seeds=(0,))
    for drawn in (training_cost(runs), validation_cost(runs), validation_accuracy(runs)):
        titles = [figure.caption for figure in drawn.figures]
        assert titles == ["SGD", "momentum", "RMSprop", "Adam", "SAGA"]
        axes = [figure.drawing.axes[0] for figure in drawn.figures]
        assert len({(a.get_xlim(), a.get_ylim()) for a in axes}) == 1


def test_an_own_optimizer_is_in_every_panel() -> None:
    assert panels(("my_adagrad", "native_sgd", "native_adam")) == {
        "sgd": ("native_sgd", "my_adagrad"),
        "adam": ("native_adam", "my_adagrad"),
    }
    assert panels(("one", "two")) == {"all contenders": ("one", "two")}


def test_contenders_of_one_panel_never_look_alike() -> None:
    contenders = (*FAMILY, "my_adagrad", "lion")
    for labels in panels(contenders).values():
        looks = [line_style(label, contenders) for label in labels]
        assert len({one.colour for one in looks}) == len(labels)
    plain = [
        line_style(label, contenders).colour for label in contenders if "published" not in label
    ]
    assert len(set(plain)) == len(plain)


def test_equal_costs_have_a_difference_of_exactly_zero(tmp_path: Path) -> None:
    drawn = cost_difference(read(tmp_path, "native_adam", "custom_adam"))
    assert drawn is not None
    (figure,) = drawn.figures
    assert legend(figure) == ["custom_adam: exactly 0 (4 iterations, 3 seeds)"]
    assert [text.get_text() for text in figure.drawing.axes[0].texts] == [
        "exactly 0 at every iteration"
    ]


def test_costs_that_differ_are_drawn_with_the_largest_of_the_seeds(tmp_path: Path) -> None:
    other = {
        ("published_adam", 1): {"costs": (0.75, 0.5, 0.5, 0.125)},
        ("published_adam", 2): {"costs": (0.75, 0.5, 0.25 + 2**-40, 0.25)},
    }
    drawn = cost_difference(read(tmp_path, "native_adam", "published_adam", runs=other))
    assert drawn is not None
    (figure,) = drawn.figures
    assert legend(figure) == ["published_adam: up to 0.25, 0 at 2 of 4 iterations"]
    heights = line(figure, 0)[:, 1]
    np.testing.assert_array_equal(heights, [np.nan, np.nan, 0.25, 0.125])
    assert figure.drawing.axes[0].get_yscale() == "log"
    # The axis fits the maximum over the seeds, not a seed with a smaller difference.
    assert figure.drawing.axes[0].get_ylim() == pytest.approx((0.125 / 3, 0.25 * 3))
    assert not figure.drawing.axes[0].texts


def test_without_twins_no_difference_is_drawn(tmp_path: Path) -> None:
    assert cost_difference(read(tmp_path, "native_adam", "custom_saga")) is None


def test_learning_rates_are_drawn_for_a_grid(tmp_path: Path) -> None:
    assert sensitivity(read(tmp_path / "one", "native_adam")) is None
    runs = read(tmp_path, "native_adam", seeds=(0,), learning_rates=(1e-4, 1e-3, 1e-2))
    drawn = sensitivity(runs)
    assert drawn is not None
    (figure,) = drawn.figures
    np.testing.assert_allclose(line(figure, 0), [[1e-4, 95], [1e-3, 95], [1e-2, 95]])
    assert line(figure, 1)[:, 0].tolist() == [1e-4, 1e-4]  # the smallest of equals
    assert figure.drawing.axes[0].get_xscale() == "log"
    assert "95.0 % at 0.001" in figure.alt


def test_accuracy_is_drawn_over_training_time_with_the_target(tmp_path: Path) -> None:
    drawn = way_to_target(read(tmp_path, "native_adam"))
    assert drawn is not None
    np.testing.assert_allclose(line(drawn.figures[0], 0), [[0, 50], [2, 90], [4, 95]])
    assert "the target, 94.0 %" in drawn.caption
    assert line(drawn.figures[0], 1)[:, 1].tolist() == pytest.approx([94, 94])


def test_step_times_are_drawn_if_they_were_measured(tmp_path: Path) -> None:
    assert step_time(read(tmp_path / "no", "native_adam")) is None
    times = {"native_adam": [1e-3, 2e-3, 3e-3], "custom_adam": [2e-3, 4e-3, 6e-3]}
    figure = step_time(read(tmp_path, "native_adam", "custom_adam", step_seconds=times))
    assert figure is not None
    assert [text.get_text() for text in figure.drawing.axes[0].texts] == ["2.00", "4.00"]
    assert line(figure, 0)[:, 0].tolist() == [1.5, 2.5]


def test_memory_separates_the_task_from_the_optimizer(tmp_path: Path) -> None:
    figure = memory(read(tmp_path, "native_adam"))
    task, own = (bar.get_extents() for bar in figure.drawing.axes[0].patches)
    assert task.width == pytest.approx(own.width)  # 24 + 24 and 48 bytes; checkpoints are on disk
    assert task.x1 == pytest.approx(own.x0)
    assert figure.alt == "native_adam: 48 B of state."


def test_calibration_shows_confidence_and_accuracy(tmp_path: Path) -> None:
    drawn = reliability(read(tmp_path, "native_adam"))
    assert drawn is not None
    places = np.asarray(drawn.figures[0].drawing.axes[0].collections[0].get_offsets())
    np.testing.assert_allclose(places, [[95.26, 100]], rtol=1e-3)
    failed = {("native_adam", seed): {"status": "failed"} for seed in (0, 1, 2)}
    assert reliability(read(tmp_path / "failed", "native_adam", runs=failed)) is None


def everything(runs: Runs) -> list[Figure]:
    drawn = [training_cost(runs), cost_difference(runs), way_to_target(runs), reliability(runs)]
    panels_ = [figure for one in drawn if isinstance(one, Panels) for figure in one.figures]
    return [*panels_, memory(runs)]


def test_a_figure_drawn_again_has_the_same_bytes(tmp_path: Path) -> None:
    runs = read(tmp_path, "native_adam", "custom_adam")
    once, again = everything(runs), everything(runs)
    assert [svg(figure.drawing) for figure in once] == [svg(figure.drawing) for figure in again]
    assert png(once[0].drawing) == png(again[0].drawing)


def test_the_users_own_matplotlibrc_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import matplotlib

    runs = read(tmp_path, "native_adam")
    before = svg(training_cost(runs).figures[0].drawing)
    monkeypatch.setitem(matplotlib.rcParams, "lines.linewidth", 9.0)
    monkeypatch.setitem(matplotlib.rcParams, "figure.dpi", 33.0)
    monkeypatch.setitem(matplotlib.rcParams, "xtick.labelsize", 30.0)
    assert svg(training_cost(runs).figures[0].drawing) == before


def test_ids_of_the_figures_of_a_page_are_unique(tmp_path: Path) -> None:
    drawn = everything(read(tmp_path, "native_adam", "native_sgd"))
    ids = [
        name
        for figure in drawn
        for name in set(re.findall(r'\bid="([^"]+)"', inline_svg(svg(figure.drawing), figure.name)))
    ]
    assert len(ids) == len(set(ids)) > 20
