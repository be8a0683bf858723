"""Helpers for tests of pages: parsed elements, and a browser that shows a page."""

from html.parser import HTMLParser
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.support.browser import ChromiumDriver

VOID = {"meta", "link", "img", "input"}
PHONE, DESK = 390, 1300
# The contrast of every text on the page with its background, as WCAG 2 defines it.
CONTRASTS = """
const channel = c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
const light = ([r, g, b]) => 0.2126 * channel(r / 255) + 0.7152 * channel(g / 255) +
    0.0722 * channel(b / 255);
const parts = colour => colour.match(/[\\d.]+/g).map(Number);
const ground = element => {
    for (; element; element = element.parentElement) {
        const colour = parts(getComputedStyle(element).backgroundColor);
        if (colour.length < 4 || colour[3] > 0) return colour;
    }
};
return [...document.querySelectorAll("h1,h2,p,strong,a,th,td,caption,figcaption,svg text,span")]
    .filter(element => element.textContent.trim())
    .map(element => {
        const style = getComputedStyle(element);
        const ink = element.closest("svg") ? style.fill : style.color;
        const [a, b] = [light(parts(ink)), light(ground(element))].sort();
        return [element.tagName + " " + element.textContent.trim().slice(0, 30),
                (b + 0.05) / (a + 0.05)];
    });
"""


class Elements(HTMLParser):
    """The elements of a page with their attributes, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str]]] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, {key: value or "" for key, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, {key: value or "" for key, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def of(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.found if name == tag]


def show(driver: "ChromiumDriver", address: str, width: int, scheme: str = "light") -> None:
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width == PHONE}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    wanted = [{"name": "prefers-color-scheme", "value": scheme}]
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": wanted})
    driver.get(address)
