"""The report in a browser: phone and desktop widths, light and dark scheme, keyboard."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from catsdogs.reporting.render import write_report
from catsdogs.reporting.report import contents
from catsdogs.reporting.verdict import verdicts
from catsdogs.runs.reader import read_runs
from tests.reporting.test_report import keep_mistakes
from tests.support.browser import (
    ActionChains,
    ChromiumDriver,
    Keys,
    WebDriver,
    WebDriverWait,
)
from tests.support.pages import CONTRASTS, DESK, PHONE, show
from tests.support.synthetic_runs import write_comparison

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Write a report with every kind of table and figure, and return the address of its page."""
    folder = tmp_path_factory.mktemp("runs")
    labels = ("native_sgd", "custom_sgd", "native_adam", "custom_adam", "published_adam")
    write_comparison(
        folder,
        labels,
        (0, 1),
        step_seconds=dict.fromkeys(labels, (0.001, 0.002, 0.003)),
        runs={
            ("published_adam", 0): {"costs": (0.75, 0.5, 0.5, 0.125)},
            ("published_adam", 1): {"status": "failed"},
        },
    )
    keep_mistakes(next(folder.glob("native_sgd*")), ("cat.1.jpg", 1, -9.0))
    runs = read_runs(folder)
    out: Path = tmp_path_factory.mktemp("report")
    return write_report(contents(runs, verdicts(runs)), "", out).as_uri()


@pytest.fixture
def driver(browser: WebDriver, address: str) -> Iterator[ChromiumDriver]:
    assert isinstance(browser, ChromiumDriver)
    browser.get_log("browser")  # type: ignore[no-untyped-call]
    yield browser
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def measure(driver: ChromiumDriver, script: str) -> Any:
    return driver.execute_script(script)


def press(driver: ChromiumDriver, key: str) -> None:
    ActionChains(driver).send_keys(key).perform()


def test_it_opens_from_disk_without_an_error_or_a_request(
    driver: ChromiumDriver, address: str
) -> None:
    show(driver, address, DESK)
    assert driver.title == "Optimizers compared"
    assert driver.get_log("browser") == []  # type: ignore[no-untyped-call]
    assert measure(driver, "return performance.getEntriesByType('resource').map(e => e.name)") == []


@pytest.mark.parametrize("width", [PHONE, DESK])
def test_figures_are_fully_visible_and_the_page_never_scrolls_sideways(
    driver: ChromiumDriver, address: str, width: int
) -> None:
    show(driver, address, width)
    assert measure(driver, "return document.documentElement.scrollWidth") <= width
    boxes = measure(
        driver,
        "return [...document.querySelectorAll('svg, img')].map(e => e.getBoundingClientRect())",
    )
    assert len(boxes) > 12
    for box in boxes:
        assert box["width"] > 100
        assert box["height"] > 100
        assert box["left"] >= 0
        assert box["right"] <= width
    heights = measure(
        driver,
        "return [...document.querySelectorAll('svg text')].map("
        "e => parseFloat(getComputedStyle(e).fontSize) * "
        "Math.hypot(e.getScreenCTM().a, e.getScreenCTM().b))",
    )
    assert min(heights) > 6.5  # exponents of a logarithmic axis; all other text is above 9
    assert sorted(heights)[len(heights) // 10] > 9


def test_panels_are_side_by_side_if_the_page_is_wide_enough(
    driver: ChromiumDriver, address: str
) -> None:
    tops = "return [...document.querySelector('.panels').children].map(e => e.offsetTop || \
        e.getBoundingClientRect().top)"
    show(driver, address, DESK)
    assert len(set(measure(driver, tops))) == 1
    show(driver, address, PHONE)
    assert len(set(measure(driver, tops))) == 2


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_is_readable_in_both_colour_schemes(
    driver: ChromiumDriver, address: str, scheme: str
) -> None:
    show(driver, address, DESK, scheme)
    ground = measure(driver, "return getComputedStyle(document.body).backgroundColor")
    assert (ground == "rgb(255, 255, 255)") == (scheme == "light")
    contrasts = measure(driver, CONTRASTS)
    assert len(contrasts) > 300
    assert [found for found in contrasts if found[1] < 4.5] == []


def test_every_table_is_reached_and_scrolled_by_keyboard(
    driver: ChromiumDriver, address: str
) -> None:
    show(driver, address, PHONE)
    focus = "const e = document.activeElement; return e.getAttribute('role') == 'region' && \
        e.querySelector('caption').textContent"
    press(driver, Keys.TAB)
    skip = measure(driver, "return document.activeElement.getBoundingClientRect().left")
    assert skip >= 0  # the skip link becomes visible
    press(driver, Keys.ENTER)
    seen = []
    for _ in range(40):
        press(driver, Keys.TAB)
        caption = measure(driver, focus)
        if not caption:
            break
        seen.append(caption)
    captions = "return [...document.querySelectorAll('caption')].map(e => e.textContent)"
    assert seen == measure(driver, captions)
    assert len(seen) > 10
    measure(driver, "document.querySelector('[role=region]').focus()")
    before = measure(driver, "return document.activeElement.scrollLeft")
    press(driver, Keys.ARROW_RIGHT)
    assert before == 0
    WebDriverWait(driver, 5).until(
        lambda _: measure(driver, "return document.activeElement.scrollLeft") > 0
    )
