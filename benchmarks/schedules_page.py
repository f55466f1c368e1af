"""The Schedules tab, measured from outside: a knob to repainted curves, what scrubbing costs, how soon it is up.

python -m benchmarks.schedules_page
"""

from __future__ import annotations

import statistics
import time
from typing import Any

from playwright.sync_api import Page

from benchmarks.page import WARM_UP_SECONDS, main, open_page, scrub

CHANGED = 25
FIRST = "() => Number(document.querySelector('[data-testid=schedules-live]')?.dataset.curves) > 0"
# Milliseconds from the event on a slider to the frame after the last of six panels was drawn, the request included.
CHANGES = """async (times) => {
  const canvas = document.querySelector('[data-testid=schedules-live]'), taken = [];
  const knob = document.querySelector('.pg-card[data-name=linear] [data-field=beta_end] input[type=range]');
  for (let k = 0; k < times; k++) {
    const before = canvas.dataset.curves, began = performance.now();
    knob.value = 500 + 8 * k; knob.dispatchEvent(new Event('input', {bubbles: true}));
    while (canvas.dataset.curves === before) await new Promise(requestAnimationFrame);
    taken.push([performance.now() - began, Number(canvas.dataset.answered)]);
    await new Promise((wait) => setTimeout(wait, 400));
  }
  return taken;
}"""
# The frames that a second has on this machine where a page does next to nothing: what any page could paint at most.
BARE = """async () => {
  let frames = 0; const end = performance.now() + 2000;
  while (performance.now() < end) { await new Promise(requestAnimationFrame); frames++; }
  return frames / 2;
}"""


def run() -> dict[str, Any]:
    """Milliseconds, frames and requests, by what they are of. Raises RuntimeError where there is no browser."""
    with open_page() as page:
        page.wait_for_timeout(1e3 * WARM_UP_SECONDS)
        bare = page.evaluate(BARE)
        began = time.perf_counter()
        page.get_by_role("tab", name="Schedules").click()
        page.wait_for_function(FIRST)
        opened = time.perf_counter() - began
        page.locator(".pg-schedules [data-do=play]").click()
        page.wait_for_timeout(1_500)
        found = {"tab to first curves, s": round(opened, 2), **_change(page)}
        painted, requests = scrub(page, page.get_by_test_id("schedules-live"))
    return found | {
        "scrubbing, painted frames/s": round(painted, 1),
        "scrubbing, requests": requests,
        "an idle page's frames/s here": bare,
    }


def _change(page: Page) -> dict[str, float]:
    """A knob is changed; four schedules at T = 1000, six panels."""
    taken = page.evaluate(CHANGES, CHANGED)
    whole, answered = zip(*taken, strict=True)
    return {
        "knob to repainted curves, median ms": round(statistics.median(whole), 1),
        "knob to repainted curves, worst ms": round(max(whole), 1),
        "of it until the answer, median ms": round(statistics.median(answered), 1),
    }


if __name__ == "__main__":
    main(__doc__, run)
