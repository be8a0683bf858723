"""Fixtures of all tests: small images, an isolated cache, commands to run, a browser."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch

from catsdogs import check, compare, diamonds, export, predict, train
from tests.support.images import SIZES, write_image

if TYPE_CHECKING:
    from tests.support.browser import WebDriver


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--slow`."""
    parser.addoption("--slow", action="store_true", help="run the long tests too")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip the slow tests without `--slow`, and those of a GPU on a machine without one."""
    reasons = {}
    if not config.getoption("--slow"):
        reasons["slow"] = "long: make test-slow"
    if not torch.cuda.is_available():
        reasons["gpu"] = "needs a CUDA device"
    for item in items:
        for marker, reason in reasons.items():
            if item.get_closest_marker(marker):
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Set `CATSDOGS_CACHE` to an empty folder and return it."""
    path = tmp_path / "cache"
    monkeypatch.setenv("CATSDOGS_CACHE", str(path))
    return path


@pytest.fixture(autouse=True)
def determinism_of_torch_restored() -> Iterator[None]:
    """Undo what a run sets for the whole process."""
    deterministic = torch.are_deterministic_algorithms_enabled()
    fills = torch.utils.deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]
    yield
    torch.use_deterministic_algorithms(deterministic)
    torch.utils.deterministic.fill_uninitialized_memory = fills  # type: ignore[attr-defined]


@pytest.fixture(autouse=True)
def no_fsync(monkeypatch: pytest.MonkeyPatch) -> None:
    """Skip `os.fsync`: it takes most of the time of a write, and no test outlives a power cut."""
    monkeypatch.setattr("os.fsync", lambda descriptor: None)


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder in the competition's layout with nine images of each class."""
    root = tmp_path_factory.mktemp("images")
    for seed, name in enumerate(("cat", "dog")):
        for number in range(9):
            write_image(root / f"{name}.{number}.jpg", 100 * seed + number)
    return root


@pytest.fixture
def small(images: Path) -> list[str]:
    """Return the arguments of a short run on the small folder of images."""
    return ["data=folder", f"data.root={images}", "data.workers=0", "batch_size=4", *SIZES]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., int]:
    """Return a function that runs a command's `main` in `tmp_path` and returns the exit status."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [*sys.path])  # a command adds the working directory

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
    """Return a function that runs `python -m catsdogs.train ARGUMENTS`."""
    return lambda *arguments: run(train.main, *arguments)


@pytest.fixture
def run_check(run: Callable[..., int]) -> Callable[..., int]:
    """Return a function that runs `python -m catsdogs.check ARGUMENTS`."""
    return lambda *arguments: run(check.main, *arguments)


@pytest.fixture
def run_compare(run: Callable[..., int]) -> Callable[..., int]:
    """Return a function that runs `python -m catsdogs.compare ARGUMENTS`."""
    return lambda *arguments: run(compare.main, *arguments)


@pytest.fixture
def run_predict(run: Callable[..., int]) -> Callable[..., int]:
    """Return a function that runs `python -m catsdogs.predict ARGUMENTS`."""
    return lambda *arguments: run(predict.main, *arguments)


@pytest.fixture
def run_export(run: Callable[..., int]) -> Callable[..., int]:
    """Return a function that runs `python -m catsdogs.export ARGUMENTS`."""
    return lambda *arguments: run(export.main, *arguments)


@pytest.fixture
def run_diamonds(run: Callable[..., int]) -> Callable[..., int]:
    """Return a function that runs `python -m catsdogs.diamonds ARGUMENTS`."""
    return lambda *arguments: run(diamonds.main, *arguments)


@pytest.fixture(scope="module")
def browser() -> Iterator["WebDriver"]:
    """Yield a headless Chromium of 1400 by 1000 pixels; skip the test without one."""
    from tests.support.browser import chromium  # imports selenium, which other tests do without

    with chromium() as page:
        yield page
