"""The Stable Diffusion tab as its visitor sees it: a toy lab's page with another stage."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
from playwright.sync_api import Locator

from tests.browser.conftest import Watched
from tests.browser.toy_page import WAIT_MS, Picture, ToyPage

CANVAS = "canvas[data-testid=stable-diffusion-live]"
FINISHED = "() => document.querySelector('.pg-stable-diffusion [data-do=stop]').disabled"


class StableDiffusionPage(ToyPage):
    """One open Stable Diffusion tab; what is inherited looks at its stage and presses its buttons."""

    selector = CANVAS

    def __init__(self, watched: Watched, url: str, query: str = "") -> None:
        super().__init__(watched, url, query, tab="Stable Diffusion")
        self.until("c => Number(c.dataset.done) > 0", within=2 * WAIT_MS)  # the first picture, drawn by itself
        self.still()

    @property
    def prompt(self) -> Locator:
        """Where one writes what to draw."""
        return self.page.get_by_role("textbox", name="prompt", exact=True)

    def finished_by(self, action: Callable[[], None], runs: int = 1, within: float = WAIT_MS) -> None:
        """Wait until `action` has brought so many more runs, and the last one has ended."""
        goal = self.data("runs") + runs
        action()
        self.until("(c, goal) => Number(c.dataset.runs) >= goal && Number(c.dataset.done) > 0", goal, within)
        self.until(FINISHED, within=within)
        self.still()

    def draw(self, prompt: str) -> None:
        """Write a prompt and press Enter; the run is over when this returns."""
        self.prompt.fill(prompt)
        self.finished_by(lambda: self.prompt.press("Enter"))

    def set_number(self, knob: str, value: float) -> None:
        """Write the number beside a knob. The model is small: what is on the stage is drawn anew at once."""
        field = self.number(knob)
        field.fill(str(value))
        self.finished_by(lambda: field.press("Enter"))

    def scrub(self, k: int) -> None:
        """Put the slider to step k."""
        slider = self.page.locator(".pg-stable-diffusion .pg-t")
        slider.evaluate("(s, k) => { s.value = k; s.dispatchEvent(new Event('input', {bubbles: true})); }", k)
        self.until("(c, k) => Number(c.dataset.k) === k", k)
        self.still()

    def places(self, kind: str = "image") -> list[dict[str, Any]]:
        """Where pictures lie on the canvas."""
        found: list[dict[str, Any]] = json.loads(self.canvas.get_attribute("data-places") or "[]")
        return [place for place in found if place["kind"] == kind]

    def shown(self, place: dict[str, Any]) -> Picture:
        """What is painted at a place."""
        x, y, width, height = (round(place[name]) for name in ("x", "y", "width", "height"))
        return self.picture()[y + 2 : y + height - 2, x + 2 : x + width - 2].astype(int)

    def large(self) -> Picture:
        """The large picture."""
        return self.shown(self.places()[0])

    def previews(self, action: Callable[[], None]) -> int:
        """How many different pictures the stage shows from `action` until the run is over."""
        self.canvas.evaluate(
            """c => { window.seen = new Set(); window.watching = new MutationObserver(() => seen.add(c.toDataURL()));
            watching.observe(c, {attributeFilter: ["data-painted"]}); }"""
        )
        self.finished_by(action)
        count: int = self.page.evaluate("() => { watching.disconnect(); return seen.size; }")
        return count

    def click_on(self, place: dict[str, Any]) -> None:
        """Click on the canvas where this lies."""
        self.canvas.click(position={"x": place["x"] + 9, "y": place["y"] + 9})
        self.still()

    def words(self) -> list[str]:
        """The tokens above the stage, the marks at both ends not among them."""
        return self.page.locator(".pg-token:not(.pg-mark):visible").all_inner_texts()

    def kept(self) -> Locator:
        """The gallery's pictures, the newest first."""
        return self.page.locator(".pg-shelf [data-kept]")


def differ(one: Picture, other: Picture) -> bool:
    """Whether two pictures are plainly not the same."""
    return bool(np.abs(one - other).mean() > 2)
