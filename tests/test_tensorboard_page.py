"""TensorBoard in a browser with a native and a custom run: both curves are visible."""

import io
import json
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from catsdogs.training.tensorboard import TensorBoardTracker
from tests.support.browser import WebDriver, WebDriverWait, WebElement

pytestmark = pytest.mark.browser
RUNS = {
    "native_sgd-seed0": 0.9,
    "custom_sgd-seed0": 0.6,
}  # their last values, far enough apart to see both
PATIENCE = 30  # seconds
# TensorBoard's page nests shadow roots, which CSS selectors do not cross.
FIND = """
const found = [], [selector, root] = arguments;
const visit = node => {
    if (node.matches && node.matches(selector)) found.push(node);
    if (node.shadowRoot) visit(node.shadowRoot);
    for (const child of node.children) visit(child);
};
visit(root || document.body);
return found;
"""


def recipe() -> list[str]:
    """Return the arguments that `make tensorboard` gives to TensorBoard."""
    makefile = (Path(__file__).parents[1] / "Makefile").read_text()
    (line,) = re.findall(r"^\t\$\(BIN\)/tensorboard (.*)$", makefile, flags=re.MULTILINE)
    return str(line).split()


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Yield the address of `make tensorboard` with a native and a custom run."""
    folder = tmp_path_factory.mktemp("tensorboard")
    for name, last in RUNS.items():
        optimizer = name.removesuffix("-seed0")
        with TensorBoardTracker(folder / "outputs" / name, {"optimizer": optimizer}) as tracker:
            for epoch in range(4):
                value = last * (epoch + 5) / 8
                tracker.add_step(epoch + 1, value)
                tracker.add_epoch(epoch, val_cost=value, val_accuracy=value, learning_rate=value)
            tracker.add_end("finished")
    log = folder / "log"
    with log.open("w") as file:
        server = subprocess.Popen(
            [sys.executable, "-m", "tensorboard.main", *recipe(), "--port", "0"],
            cwd=folder,
            stdout=file,
            stderr=file,
        )
    try:
        address = wait_for_address(log, server)
        wait_for_runs(address)
        yield address
    finally:
        server.kill()
        server.wait(timeout=PATIENCE)


def wait_for_address(log: Path, server: "subprocess.Popen[bytes]") -> str:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and server.poll() is None:
        if address := re.search(r"http://\S+", log.read_text()):
            return address.group()
        time.sleep(0.1)
    raise AssertionError(f"TensorBoard did not start: {log.read_text()}")


def wait_for_runs(address: str) -> None:
    """Wait until the server has read both runs completely: a page does not refresh itself soon."""
    local = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        with local.open(f"{address}data/plugin/scalars/tags", timeout=PATIENCE) as answer:
            tags = json.load(answer)
        if all("val/best_accuracy" in tags.get(run, {}) for run in RUNS):
            return
        time.sleep(0.1)
    raise AssertionError(f"TensorBoard did not read both runs: {tags}")


def find(browser: WebDriver, selector: str, root: WebElement | None = None) -> list[WebElement]:
    found: list[WebElement] = browser.execute_script(FIND, selector, root)
    return found


def wait(browser: WebDriver, condition: Callable[[], Any], what: str) -> Any:
    return WebDriverWait(browser, PATIENCE, 0.25).until(lambda _: condition(), what)


def open_tab(browser: WebDriver, page: str, tab: str) -> None:
    browser.get("about:blank")  # a different fragment alone would not reload the page
    browser.get(f"{page}#{tab}")


def colours(element: WebElement) -> set[tuple[int, ...]]:
    """Return every colour of an element on the screen."""
    image = Image.open(io.BytesIO(element.screenshot_as_png)).convert("RGB")
    found = image.getcolors(image.width * image.height) or []
    return {colour for _, colour in found if isinstance(colour, tuple)}


def own_colour(element: WebElement, css: str) -> tuple[int, ...]:
    """Return the colour of a run in TensorBoard's legend."""
    return tuple(map(int, re.findall(r"\d+", element.value_of_css_property(css))[:3]))


@pytest.mark.slow
def test_custom_scalars_draw_the_curves_of_both_runs_in_each_of_the_four_charts(
    browser: WebDriver, page: str
) -> None:
    open_tab(browser, page, "custom_scalars")
    wait(browser, lambda: len(find(browser, ".match-list-entry")) == 8, "four charts of two curves")
    cards = find(browser, "tf-custom-scalar-multi-line-chart-card")
    assert len(cards) == 4
    for card in cards:
        entries = find(browser, ".match-list-entry", card)
        named = {str(entry.get_property("textContent")).split()[-1] for entry in entries}
        assert named == {f"({run})" for run in RUNS}
        expected = {own_colour(entry, "color") for entry in entries}
        assert len(expected) == 2
        (chart,) = find(browser, "vz-line-chart2", card)
        wait(browser, lambda: expected <= colours(chart), f"both curves of {card.text}")  # noqa: B023


def test_the_time_series_overlay_both_runs_in_the_chart_of_every_curve(
    browser: WebDriver, page: str
) -> None:
    open_tab(browser, page, "timeseries")
    wait(browser, lambda: len(find(browser, "card-view line-chart")) == 5, "a chart for each tag")
    rows = find(browser, "runs-data-table tb-data-table-content-row")
    assert {row.text for row in rows} == set(RUNS)
    swatches = find(browser, "runs-data-table .run-color-swatch")
    expected = {own_colour(swatch, "background-color") for swatch in swatches}
    assert len(expected) == 2
    curves = [card for card in find(browser, "card-view") if "best_accuracy" not in card.text]
    assert len(curves) == 4
    for card in curves:
        (chart,) = find(browser, "line-chart", card)
        browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", chart)
        wait(browser, lambda: expected <= colours(chart), f"both curves of {card.text}")  # noqa: B023


def test_the_table_of_hyperparameters_shows_both_runs_with_their_results(
    browser: WebDriver, page: str
) -> None:
    open_tab(browser, page, "hparams")

    def cells() -> list[str]:
        return [cell.text for cell in find(browser, "vaadin-grid-cell-content") if cell.text]

    wait(browser, lambda: set(RUNS) <= set(cells()), "both runs")
    shown = cells()
    assert "val/best_accuracy" in shown
    for run, last in RUNS.items():
        row = shown[shown.index(run) :]
        assert row[1] == run.removesuffix("-seed0")
        assert f"{last:.5f}" in row[2:7]


def test_the_page_loads_nothing_from_other_hosts(browser: WebDriver, page: str) -> None:
    open_tab(browser, page, "timeseries")
    wait(browser, lambda: find(browser, "card-view line-chart"), "the page")
    names = "return performance.getEntriesByType('resource').map(entry => entry.name)"
    loaded: list[str] = browser.execute_script(names)
    assert loaded
    assert all(name.startswith(page) for name in loaded)


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc/net")
def test_tensorboard_listens_on_the_loopback_address_alone(page: str) -> None:
    port = int(page.rstrip("/").rpartition(":")[2])
    sockets = [
        line.split()[1:4]  # local address, remote address, state
        for table in ("tcp", "tcp6")
        for line in Path("/proc/net", table).read_text().splitlines()[1:]
    ]
    listening = {local for local, _, state in sockets if state == "0A"}
    mine = {address for address in listening if int(address.rpartition(":")[2], 16) == port}
    ipv4, ipv6 = f"0100007F:{port:04X}", f"00000000000000000000000001000000:{port:04X}"
    assert mine
    assert mine <= {ipv4, ipv6}
