"""The Schedules tab as its visitor sees it: cards, curves, pictures, a slider."""

from collections.abc import Callable
from typing import Any

import numpy as np
from playwright.sync_api import Locator

from tests.browser.conftest import Watched
from tests.browser.toy_page import WAIT_MS, ToyPage

CANVAS = "canvas[data-testid=schedules-live]"
SIDE = 28  # pixels of a digit
PANELS = ("alphas_cumprod", "step_noise", "log_snr", "posterior_variance", "weight_noise", "density")


class SchedulesPage(ToyPage):
    """One open Schedules tab; what is inherited looks at its pictures and presses its buttons."""

    selector = CANVAS

    def __init__(self, watched: Watched, url: str) -> None:
        super().__init__(watched, url, tab="Schedules")
        self.until("c => Number(c.dataset.curves) > 0 && Number(c.dataset.visits) > 0", within=2 * WAIT_MS)

    # --- what shows ----------------------------------------------------------------------------------------------

    def told(self, name: str) -> str:
        """What the canvas carries, as text."""
        return self.canvas.get_attribute(f"data-{name}") or ""

    def cards(self) -> Locator:
        """The schedules at the left."""
        return self.page.locator(".pg-card")

    def card(self, name: str) -> Locator:
        """The card of the schedule of this name, the last of them."""
        return self.page.locator(f".pg-card[data-name={name}]").last

    def figure(self, curve: str) -> Locator:
        """The Plotly figure that shows `curve` at the start."""
        return self.page.locator(".pg-plotly").nth(PANELS.index(curve))

    def line(self, curve: str, number: int) -> np.ndarray:
        """(2, N) x and y of a figure's line, as Plotly has it."""
        points = self.figure(curve).evaluate(
            "(div, k) => [div.data[k].x, div.data[k].y].map((values) => Array.from(values))", number
        )
        return np.array(points)

    def x_range(self, curve: str) -> list[float]:
        """Where a figure's x axis begins and ends."""
        found: list[float] = self.figure(curve).evaluate("div => [...div._fullLayout.xaxis.range]")
        return found

    def digits(self) -> list[np.ndarray]:
        """(28, 28) grey values 0 … 255 of each schedule's digit, as it was before it was enlarged."""
        picture, found = self.picture().astype(float).mean(axis=2), []
        for place in self.told("places").split(";"):
            x, y, size = (float(v) for v in place.split(","))
            at = ((np.arange(SIDE) + 0.5) * size / SIDE).astype(int)
            found.append(picture[np.ix_(int(y) + at, int(x) + at)])
        return found

    def refusal(self, card: Locator) -> str:
        """What a card says is wrong, once it says so."""
        message = card.locator(".pg-card-error:visible")
        message.wait_for()
        return message.inner_text()

    # --- what visitors do ----------------------------------------------------------------------------------------

    def hold(self) -> None:
        """Stop playing."""
        button = self.page.locator(".pg-schedules [data-do=play]")
        if button.get_attribute("aria-label") == "stop playing":
            button.click()
        self.still()

    def scrub(self, value: int) -> None:
        """Put the slider to its place `value`."""
        slider = self.page.locator(".pg-schedules .pg-t")
        slider.evaluate("(s, v) => { s.value = v; s.dispatchEvent(new Event('input', {bubbles: true})); }", value)
        self.still()

    def knob(self, card: Locator, field: str) -> Locator:
        """The number of one of a card's knobs."""
        return card.locator(f"[data-field={field}] input[type=number]")

    def redrawn_by(self, action: Callable[[], Any]) -> None:
        """Wait until `action` has brought new curves, and what follows from them."""
        curves, visits = self.data("curves"), self.data("visits")
        action()
        self.until("(c, n) => Number(c.dataset.curves) > n[0] && Number(c.dataset.visits) > n[1]", [curves, visits])
