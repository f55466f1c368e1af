"""The Stable Diffusion tab, measured from outside: how soon its first picture is there, and what scrubbing costs.

python -m benchmarks.stable_diffusion_page
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass

from benchmarks.page import main, open_page, scrub

DONE = """(runs) => { const c = document.querySelector('[data-testid=stable-diffusion-live]');
return c && Number(c.dataset.runs) >= runs && Number(c.dataset.done) > 0; }"""


@dataclass(frozen=True)
class TabFigures:
    """What a visitor meets with the tiny model: four pictures of 20 guided steps."""

    seconds_to_first: float  # from the click on the tab, the app just started: imports and weights included
    seconds_to_draw: float  # from Draw to four new pictures, every step of them shown
    scrub_painted_per_second: float
    scrub_requests: int


def measure() -> TabFigures:
    """Open the tab in a headless Chromium, draw, drag the slider. Raises RuntimeError where there is no browser."""
    with open_page() as page:
        tab = page.get_by_role("tab", name="Stable Diffusion")
        tab.wait_for()
        began = time.perf_counter()
        tab.click()
        page.wait_for_function(DONE, arg=1)
        first = time.perf_counter() - began
        began = time.perf_counter()
        page.get_by_role("button", name="Draw", exact=True).click()
        page.wait_for_function(DONE, arg=2)
        draws = time.perf_counter() - began
        painted, requests = scrub(page, page.get_by_test_id("stable-diffusion-live"))
    return TabFigures(first, draws, painted, requests)


if __name__ == "__main__":
    main(__doc__, lambda: asdict(measure()))
