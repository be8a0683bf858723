"""Gallery: self-contained, escaped, capped, and usable in a browser."""

import base64
import hashlib
import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from catsdogs.data.manifest import OK
from catsdogs.inference.gallery import MOST, MOST_UNREADABLE, choose, gallery
from catsdogs.inference.predictions import Prediction, ranked
from tests.support.browser import ActionChains, ChromiumDriver, Keys, WebDriver
from tests.support.pages import CONTRASTS, DESK, PHONE, Elements, show

EVIL = '<img src=x onerror="alert(1)">&\'.jpg'


def predictions(count: int) -> list[Prediction]:
    return [Prediction(Path(f"p{n:04}.jpg"), (n + 1) * (-1.0) ** n / 10) for n in range(count)]


def page(
    readable: list[Prediction], unreadable: list[Prediction] | None = None, *, size: int = 32
) -> str:
    shown = choose(ranked(readable))
    images = [Image.new("RGB", (size, size // 2), "teal") for _ in shown.predictions]
    return gallery(shown, images, unreadable or [], lead=f"lead {EVIL}")


def test_every_name_and_reason_is_escaped() -> None:
    text = page([Prediction(Path(EVIL), 1.0)], [Prediction(Path(EVIL), None, EVIL)])
    elements = Elements(text)
    assert [image["alt"] for image in elements.of("img")] == [EVIL]
    assert not {"onerror"} & {key for _, attributes in elements.found for key in attributes}
    assert elements.text.count(EVIL) == 4  # the lead, the card, the table's name and reason


def test_nothing_outside_the_file_is_used_and_only_its_own_script_may_run() -> None:
    text = page(predictions(3))
    elements = Elements(text)
    assert {tag for tag, _ in elements.found if tag in ("link", "iframe", "object")} == {"link"}
    assert [link["href"] for link in elements.of("link")] == ["data:,"]
    assert all(image["src"].startswith("data:image/jpeg;base64,") for image in elements.of("img"))
    assert "http:" not in text
    assert "https:" not in text
    (policy,) = (meta["content"] for meta in elements.of("meta") if "http-equiv" in meta)
    (script,) = re.findall("<script>(.*?)</script>", text, re.S)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert policy.startswith("default-src 'none';")
    assert f"script-src 'sha256-{digest}';" in policy


def test_the_most_confident_image_comes_first() -> None:
    cards = [card for card in Elements(page(predictions(5))).of("li") if "data-logit" in card]
    assert [float(card["data-logit"]) for card in cards] == [0.5, -0.4, 0.3, -0.2, 0.1]
    assert [card["data-label"] for card in cards] == ["cat", "dog", "cat", "dog", "cat"]


def test_a_missing_image_has_a_prediction_and_a_placeholder() -> None:
    shown = choose(predictions(1))
    text = gallery(shown, [None], [], lead="")
    assert "no longer readable" in text
    assert Elements(text).of("img") == []


def test_up_to_the_cap_all_images_are_shown() -> None:
    ranking = ranked(predictions(MOST))
    assert choose(ranking).predictions == ranking
    assert choose(ranking).note == ""


def test_beyond_the_cap_the_least_confident_and_some_of_the_rest_are_shown_with_a_note() -> None:
    ranking = ranked(predictions(3 * MOST))
    shown = choose(ranking)
    assert len({one.path for one in shown.predictions}) == MOST
    assert shown.predictions[MOST // 2 :] == ranking[-MOST // 2 :]
    assert shown.predictions[0] == ranking[0]
    places = [ranking.index(one) for one in shown.predictions[: MOST // 2]]
    assert {b - a for a, b in itertools.pairwise(places)} <= {5, 6}
    text = page(predictions(MOST + 1), size=4)
    note = f"Showing {MOST} of {MOST + 1} images: the {MOST // 2} with the least confident"
    assert note in text
    assert len(Elements(text).of("img")) == MOST


def test_files_without_a_prediction_are_listed_in_a_table_of_limited_length() -> None:
    bad = [Prediction(Path(f"bad{n}.jpg"), None, "broken") for n in range(MOST_UNREADABLE + 5)]
    text = page([], bad)
    assert "None of the files could be read." in text
    assert f"{len(bad)} files without a prediction" in text
    assert text.count("<td>broken</td>") == MOST_UNREADABLE
    assert "And 5 more" in text
    assert "without a prediction" not in page(predictions(1))
    assert all(one.status == OK for one in predictions(1))


@pytest.fixture
def driver(
    browser: WebDriver, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[ChromiumDriver]:
    assert isinstance(browser, ChromiumDriver)
    bad = [Prediction(Path("long/" * 40 + "name.jpg"), None, "OSError: broken")]
    (tmp_path / "gallery.html").write_text(page(predictions(30), bad), encoding="utf-8")
    browser.get_log("browser")  # type: ignore[no-untyped-call]
    width, scheme = getattr(request, "param", (DESK, "light"))
    show(browser, (tmp_path / "gallery.html").as_uri(), width, scheme)
    yield browser
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def visible(driver: ChromiumDriver) -> list[float]:
    """Return the logits of the visible cards, in order."""
    cards = "[...document.querySelectorAll('.cards li')].filter(e => e.offsetParent)"
    found: list[float] = driver.execute_script(f"return {cards}.map(e => +e.dataset.logit)")
    return found


def type_keys(driver: ChromiumDriver, *keys: str) -> None:
    for key in keys:
        ActionChains(driver).send_keys(key).perform()


def focused(driver: ChromiumDriver) -> Any:
    return driver.execute_script("return document.activeElement.name")


@pytest.mark.browser
def test_it_opens_from_disk_without_an_error_or_a_request(driver: ChromiumDriver) -> None:
    assert driver.get_log("browser") == []  # type: ignore[no-untyped-call]
    fetched = "return performance.getEntriesByType('resource').filter(e => !/^data:/.test(e.name))"
    assert driver.execute_script(fetched) == []
    assert len(visible(driver)) == 30


@pytest.mark.browser
def test_filters_and_sorting_work_by_keyboard_alone(driver: ChromiumDriver) -> None:
    status = "return document.getElementById('count').textContent"
    type_keys(driver, Keys.TAB, Keys.TAB)
    assert focused(driver) == "label"
    type_keys(driver, Keys.ARROW_RIGHT)
    assert visible(driver) == [(29 - 2 * n) / 10 for n in range(15)]
    assert driver.execute_script(status) == "15 of 30 shown"
    type_keys(driver, Keys.ARROW_RIGHT)
    assert all(logit < 0 for logit in visible(driver))
    type_keys(driver, Keys.ARROW_RIGHT, Keys.TAB)  # all again, and on to the slider
    assert focused(driver) == "limit"
    type_keys(driver, Keys.HOME, *[Keys.ARROW_RIGHT] * 5)
    assert max(map(abs, visible(driver))) == 0.2  # confidence at most 55 %: a logit up to 0.2007
    type_keys(driver, Keys.END, Keys.TAB)
    assert focused(driver) == "order"
    type_keys(driver, "l")
    assert [abs(logit) for logit in visible(driver)] == [n / 10 for n in range(1, 31)]
    type_keys(driver, Keys.ARROW_DOWN)
    assert visible(driver) == sorted(visible(driver), reverse=True)
    type_keys(driver, Keys.TAB, *"P000")
    assert sorted(map(abs, visible(driver))) == [n / 10 for n in range(1, 11)]
    type_keys(driver, Keys.ENTER)
    assert len(visible(driver)) == 10  # the form is not submitted


@pytest.mark.browser
@pytest.mark.parametrize("driver", [(PHONE, "light"), (DESK, "light")], indirect=True)
def test_the_page_never_scrolls_sideways_and_images_are_large_enough(
    driver: ChromiumDriver,
) -> None:
    width = driver.execute_script("return innerWidth")
    assert driver.execute_script("return document.documentElement.scrollWidth") <= width
    boxes = driver.execute_script(
        "return [...document.querySelectorAll('.frame')].map(e => e.getBoundingClientRect())"
    )
    assert min(box["width"] for box in boxes) > 120
    assert max(box["right"] for box in boxes) <= width


@pytest.mark.browser
@pytest.mark.parametrize("driver", [(DESK, "light"), (DESK, "dark")], indirect=True)
def test_every_text_has_enough_contrast_in_light_and_dark_mode(driver: ChromiumDriver) -> None:
    contrasts = driver.execute_script(CONTRASTS.replace("h1,h2", "h1,h2,bdi,label,legend,output"))
    assert len(contrasts) > 60
    assert [found for found in contrasts if found[1] < 4.5] == []
