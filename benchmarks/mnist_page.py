"""The MNIST tab, measured from outside: how soon its first picture moves, and what scrubbing costs.

python -m benchmarks.mnist_page
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass

from benchmarks.page import WARM_UP_SECONDS, main, open_page, scrub

MOVES = "() => { const c = document.querySelector('[data-testid=mnist-live]'); return c && Number(c.dataset.t) > 0; }"


@dataclass(frozen=True)
class TabFigures:
    """What a visitor meets. Sixteen digits, three panels, twice."""

    seconds_to_move: float  # from the click on the tab until the first picture moves
    scrub_painted_per_second: float
    scrub_requests: int
    seconds_to_draw: float  # from Generate to sixteen new digits on show: 20 guided steps


def measure() -> TabFigures:
    """Open the tab in a headless Chromium, drag the slider, draw. Raises RuntimeError where there is no browser."""
    with open_page() as page:
        page.wait_for_timeout(1e3 * WARM_UP_SECONDS)
        began = time.perf_counter()
        page.get_by_role("tab", name="MNIST").click()
        page.wait_for_function(MOVES)
        moves = time.perf_counter() - began
        canvas = page.get_by_test_id("mnist-live")
        page.locator(".pg-mnist [data-do=play]").click()
        painted, requests = scrub(page, canvas)
        paths = int(canvas.get_attribute("data-paths") or 0)
        began = time.perf_counter()
        page.get_by_role("button", name="Generate").click()
        page.wait_for_function(f"Number(document.querySelector('[data-testid=mnist-live]').dataset.paths) > {paths}")
        draws = time.perf_counter() - began
    return TabFigures(moves, painted, requests, draws)


if __name__ == "__main__":
    main(__doc__, lambda: asdict(measure()))
