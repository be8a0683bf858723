"""A headless Chromium, and the names of selenium that tests use; Any where it is not installed."""

import contextlib
import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

try:
    from selenium.webdriver import ActionChains, Chrome, ChromeOptions, ChromeService, Keys
    from selenium.webdriver.chromium.webdriver import ChromiumDriver
    from selenium.webdriver.remote.webdriver import WebDriver
    from selenium.webdriver.remote.webelement import WebElement
    from selenium.webdriver.support.wait import WebDriverWait
except ImportError:
    INSTALLED = False
    if not TYPE_CHECKING:  # only annotations use them: `chromium` skips the tests that would
        ActionChains = Chrome = ChromeOptions = ChromeService = Keys = Any
        ChromiumDriver = WebDriver = WebElement = WebDriverWait = Any
else:
    INSTALLED = True

__all__ = [
    "ActionChains",
    "ChromiumDriver",
    "Keys",
    "WebDriver",
    "WebDriverWait",
    "WebElement",
    "chromium",
]
SWITCHES = (
    "headless",
    "no-sandbox",  # root has none in Chromium, and the pages are our own
    "disable-gpu",
    "disable-dev-shm-usage",
    "window-size=1400,1000",
    # No traffic but the tests' own.
    "disable-quic",
    "no-first-run",
    "disable-background-networking",
    "disable-component-update",
    "disable-sync",
)


@contextlib.contextmanager
def chromium() -> Iterator[WebDriver]:
    """Yield a headless Chromium of 1400 by 1000 pixels; skip the test without one."""
    if not INSTALLED:
        pytest.skip("needs selenium (pip install 'catsdogs[dev]')")
    binary, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if binary is None or driver is None:
        pytest.skip("needs chromium and chromedriver (Debian: chromium, chromium-driver)")
    options = ChromeOptions()
    options.binary_location = binary
    for switch in SWITCHES:
        options.add_argument(f"--{switch}")
    # Given the path, selenium does not look for a driver to download.
    with Chrome(options, ChromeService(driver)) as page:
        page.set_page_load_timeout(60)
        yield page
