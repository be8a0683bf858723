"""Small pictures, a cache of its own for every test, ways to type a command and to see a page."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from selenium import webdriver
from selenium.webdriver.chrome.options import Options as ChromeOptions
from selenium.webdriver.chrome.service import Service as ChromeService
from selenium.webdriver.remote.webdriver import WebDriver

from catsdogs import check, compare, diamonds, export, predict, train
from tests.support.images import SIZES, write_image


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep every test away from the user's own cache."""
    path = tmp_path / "cache"
    monkeypatch.setenv("CATSDOGS_CACHE", str(path))
    return path


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that runs the long tests too."""
    parser.addoption("--slow", action="store_true", help="run the tests that take over ten seconds")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip the long tests unless they are asked for."""
    if config.getoption("--slow"):
        return
    skip = pytest.mark.skip(reason="takes over ten seconds: make test-slow")
    for item in items:
        if item.get_closest_marker("slow"):
            item.add_marker(skip)


@pytest.fixture(autouse=True)
def torch_as_it_was() -> Iterator[None]:
    """Give every test a torch that no earlier run has made deterministic."""
    deterministic = torch.are_deterministic_algorithms_enabled()
    fills = torch.utils.deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]
    yield
    torch.use_deterministic_algorithms(deterministic)
    torch.utils.deterministic.fill_uninitialized_memory = fills  # type: ignore[attr-defined]


@pytest.fixture(autouse=True)
def no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test writes need not outlive a power cut; syncing is most of its time."""
    monkeypatch.setattr("os.fsync", lambda descriptor: None)


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder in the competition's layout with nine pictures of each class."""
    root = tmp_path_factory.mktemp("pictures")
    for seed, name in enumerate(("cat", "dog")):
        for number in range(9):
            write_image(root / f"{name}.{number}.jpg", 100 * seed + number)
    return root


@pytest.fixture
def small(images: Path) -> list[str]:
    """Return the arguments of a run of seconds on the small folder of pictures."""
    return ["data=folder", f"data.root={images}", "data.workers=0", "batch_size=4", *SIZES]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., int]:
    """Return a function that runs a command's `main` here with arguments, for its exit status."""
    monkeypatch.chdir(tmp_path)

    def run_main(main: Callable[[], None], *arguments: str) -> int:
        monkeypatch.setattr("sys.argv", ["catsdogs", *arguments])
        try:
            main()
        except SystemExit as stop:
            return int(stop.code or 0)
        return 0

    return run_main


@pytest.fixture
def run_train(run: Callable[..., int]) -> Callable[..., int]:
    """Return a function that runs `python -m catsdogs.train ARGUMENTS` here."""
    return lambda *arguments: run(train.main, *arguments)


@pytest.fixture
def run_check(run: Callable[..., int]) -> Callable[..., int]:
    """Return a function that runs `python -m catsdogs.check ARGUMENTS` here."""
    return lambda *arguments: run(check.main, *arguments)


@pytest.fixture
def run_compare(run: Callable[..., int]) -> Callable[..., int]:
    """Return a function that runs `python -m catsdogs.compare ARGUMENTS` here."""
    return lambda *arguments: run(compare.main, *arguments)


@pytest.fixture(scope="module")
def browser() -> Iterator[WebDriver]:
    """Yield a headless Chromium of 1400 by 1000 pixels; without one the test is skipped."""
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if chromium is None or driver is None:
        pytest.skip("needs chromium and chromedriver (Debian: chromium, chromium-driver)")
    options = ChromeOptions()
    options.binary_location = chromium
    # Root has no sandbox in Chromium; the pages are our own. The rest keeps it off the network.
    for switch in (
        "headless",
        "no-sandbox",
        "disable-gpu",
        "disable-dev-shm-usage",
        "disable-quic",
        "no-first-run",
        "disable-background-networking",
        "disable-component-update",
        "disable-sync",
        "window-size=1400,1000",
    ):
        options.add_argument(f"--{switch}")
    # With a path given, selenium looks for no driver to download.
    with webdriver.Chrome(options, ChromeService(driver)) as page:
        page.set_page_load_timeout(60)
        yield page


@pytest.fixture
def run_predict(run: Callable[..., int]) -> Callable[..., int]:
    """Return a function that runs `python -m catsdogs.predict ARGUMENTS` here."""
    return lambda *arguments: run(predict.main, *arguments)


@pytest.fixture
def run_export(run: Callable[..., int]) -> Callable[..., int]:
    """Return a function that runs `python -m catsdogs.export ARGUMENTS` here."""
    return lambda *arguments: run(export.main, *arguments)


@pytest.fixture
def run_diamonds(run: Callable[..., int]) -> Callable[..., int]:
    """Return a function that runs `python -m catsdogs.diamonds ARGUMENTS` here."""
    return lambda *arguments: run(diamonds.main, *arguments)
