"""The MNIST tab as its visitor sees it: a toy lab's page with another stage."""

import json
from typing import Any

import numpy as np
from playwright.sync_api import Locator

from tests.browser.conftest import Watched
from tests.browser.toy_page import WAIT_MS, ToyPage

CANVAS = "canvas[data-testid=mnist-live]"
TILES = 16
FORWARD, REVERSE = 0, 3  # the first of three panels: x_t, x_0, ε
PANEL = {"x": 0, "x0": 1, "eps": 2}


class MnistPage(ToyPage):
    """One open MNIST tab; what is inherited looks at its stage and presses its buttons."""

    selector = CANVAS

    def __init__(self, watched: Watched, url: str, query: str = "") -> None:
        super().__init__(watched, url, query, tab="MNIST")
        self.until("c => Number(c.dataset.paths) > 0", within=2 * WAIT_MS)  # the model and the first run are loaded

    def tiles(self, band: int, panel: str) -> np.ndarray:
        """(16, 28, 28) grey values 0 … 255 of one panel's digits, each as it was before it was enlarged."""
        places = json.loads(self.canvas.get_attribute("data-places") or "[]")
        picture = self.picture().astype(float).mean(axis=2)
        first = (band + PANEL[panel]) * TILES
        found = []
        for place in places[first : first + TILES]:
            side = place["tile"] / 28
            at = ((np.arange(28) + 0.5) * side).astype(int)
            found.append(picture[np.ix_(place["y"] + at, place["x"] + at)])
        return np.stack(found)

    def scrub(self, t: int) -> None:
        """Put the slider to t."""
        slider = self.page.locator(".pg-mnist .pg-t")
        slider.evaluate("(s, t) => { s.value = t; s.dispatchEvent(new Event('input', {bubbles: true})); }", t)
        self.until("(c, t) => Number(c.dataset.t) === t", t)
        self.still()

    def hold(self) -> None:
        """Stop playing."""
        button = self.page.locator(".pg-mnist [data-do=play]")
        if button.get_attribute("aria-label") == "stop playing":
            button.click()
        self.still()

    def draw_now(self, action: Any, paths: int = 1) -> None:
        """Wait until `action` has brought so many more runs, and the last word on them."""
        goal = self.data("paths") + paths
        action()
        self.until("(c, goal) => Number(c.dataset.paths) >= goal", goal)
        self.until("() => document.querySelector('.pg-mnist [data-do=stop]').disabled")

    def pen(self) -> Locator:
        """The sheet of paper."""
        return self.page.locator("canvas.pg-pen")

    def stroke(self, *places: tuple[float, float]) -> None:
        """Draw on the paper; (0, 0) is its upper left corner, (1, 1) the lower right one."""
        box = self.pen().bounding_box()
        assert box
        for number, (x, y) in enumerate(places):
            self.page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"], steps=8)
            if number == 0:
                self.page.mouse.down()
        self.page.mouse.up()
