"""The page, measured from outside: how soon it is up, how smoothly it trains, what scrubbing costs."""

from __future__ import annotations

import statistics
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from playwright.sync_api import CDPSession, Locator
from playwright.sync_api import Page as BrowserPage

from benchmarks.page import app, counts, open_page, scrub, serving
from playground.toy import ToyLab

SETTLE_SECONDS = 3.0
GENTLE_STEPS = 1_000  # the app trains slowly at first, so that one sees it learn; that is not what is measured

EMPTY_PAGE = """\
import gradio as gr

with gr.Blocks() as demo:
    pass

demo.launch()
"""


@dataclass(frozen=True)
class Startup:
    """Seconds from `python …` until / and /config are answered: medians, and every start."""

    app: float
    empty: float
    app_all: list[float]
    empty_all: list[float]


@dataclass
class Page:
    """What a visitor with the default experiment sees while it trains, and while scrubbing afterwards."""

    steps_per_second: float = 0.0
    headless_steps_per_second: float = 0.0  # of the same experiment without a page, between the page's runs
    frames_per_second: float = 0.0  # new samples shown
    painted_per_second: float = 0.0  # repaints of the canvas, glides between two frames included
    busy: float = 0.0  # share of the browser's main thread
    remounts: int = 0
    scrub_requests: int = 0
    scrub_painted_per_second: float = 0.0
    steps_per_second_all: list[float] = field(default_factory=list)
    headless_steps_per_second_all: list[float] = field(default_factory=list)


def measure_startup(starts: int) -> Startup:
    """Start the app and an empty page, alternately; of several starts the first only fills the disk's cache."""
    seconds: dict[str, list[float]] = {"app": [], "empty": []}
    with tempfile.TemporaryDirectory() as folder:
        empty = Path(folder) / "empty.py"
        empty.write_text(EMPTY_PAGE)
        for _ in range(starts):
            for name, script in (("app", app()), ("empty", empty)):
                with serving(script) as (_, took):
                    seconds[name].append(took)
    kept = {name: values[1:] or values for name, values in seconds.items()}
    return Startup(statistics.median(kept["app"]), statistics.median(kept["empty"]), kept["app"], kept["empty"])


def measure_page(rounds: int, seconds: float) -> Page:
    """Train on the real page in a headless Chromium and without it, alternately, then pause and scrub.

    Raises RuntimeError where there is no browser.
    """
    seen = Page()
    lab = ToyLab()
    _headless(lab, 0.5)
    with open_page() as page:
        page.wait_for_function("Number(document.querySelector('[data-testid=toy-live]')?.dataset.painted) > 0")
        canvas = page.get_by_test_id("toy-live")
        canvas.evaluate("c => { c.taggedByBenchmark = true; }")
        devtools = page.context.new_cdp_session(page)
        devtools.send("Performance.enable")
        for _ in range(rounds):
            seen.headless_steps_per_second_all.append(_headless(lab, seconds / 2))
            _train(page, canvas, devtools, seconds, rounds, seen)
        seen.headless_steps_per_second_all.append(_headless(lab, seconds / 2))
        seen.scrub_painted_per_second, seen.scrub_requests = scrub(page, canvas)
    seen.steps_per_second = statistics.median(seen.steps_per_second_all)
    seen.headless_steps_per_second = statistics.median(seen.headless_steps_per_second_all)
    return seen


def _headless(lab: ToyLab, seconds: float) -> float:
    """Training steps per second with nobody watching."""
    began, first = time.perf_counter(), lab.step
    for _ in lab.train():
        if (passed := time.perf_counter() - began) >= seconds:
            break
    return (lab.step - first) / passed


def _train(page: BrowserPage, canvas: Locator, devtools: CDPSession, seconds: float, rounds: int, seen: Page) -> None:
    """One run of Train … Pause; its share of the means goes into `seen`."""
    page.get_by_role("button", name="Train", exact=True).click()
    page.wait_for_function(f"Number(document.querySelector('[data-testid=toy-live]').dataset.step) >= {GENTLE_STEPS}")
    page.wait_for_timeout(1e3 * SETTLE_SECONDS)
    before, busy_before, began = counts(canvas), _busy_seconds(devtools), time.perf_counter()
    page.wait_for_timeout(1e3 * seconds)
    after, busy_after, ended = counts(canvas), _busy_seconds(devtools), time.perf_counter()
    passed = ended - began
    seen.steps_per_second_all.append((after["step"] - before["step"]) / passed)
    seen.frames_per_second += (after["frames"] - before["frames"]) / passed / rounds
    seen.painted_per_second += (after["painted"] - before["painted"]) / passed / rounds
    seen.busy += (busy_after - busy_before) / passed / rounds
    if not canvas.evaluate("c => c.taggedByBenchmark === true"):
        seen.remounts += 1
        canvas.evaluate("c => { c.taggedByBenchmark = true; }")
    page.get_by_role("button", name="Pause", exact=True).click()
    page.wait_for_function("!document.querySelector('[data-do=train]').disabled")
    page.wait_for_timeout(1_000)


def _busy_seconds(devtools: CDPSession) -> float:
    """Seconds of tasks on the browser's main thread since the page was opened."""
    metrics = devtools.send("Performance.getMetrics")["metrics"]
    return float(next(m["value"] for m in metrics if m["name"] == "TaskDuration"))
