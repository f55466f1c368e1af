"""The page, measured from outside: how soon it is up, how smoothly it trains, what scrubbing costs."""

from __future__ import annotations

import http.client
import os
import re
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from playwright.sync_api import CDPSession, Locator, sync_playwright
from playwright.sync_api import Page as BrowserPage

from playground.toy import ToyLab
from tests.browser.chromium import HELP, find

ROOT = Path(__file__).resolve().parents[1]
START_SECONDS = 120.0
POLL_SECONDS = 0.01
WARM_UP_SECONDS = 3.0
GENTLE_STEPS = 1_000  # the app trains slowly at first, so that one sees it learn; that is not what is measured
SCRUB_SECONDS = 3.0
CHROMIUM_ARGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]

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


@contextmanager
def serving(script: Path) -> Iterator[tuple[int, float]]:
    """`python script` on a free port, from the checkout: port, and seconds until / and then /config are answered.

    Raises RuntimeError when it ends or stays silent. Everything it started ends with it.
    """
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = os.environ | {"GRADIO_SERVER_PORT": str(port), "GRADIO_ANALYTICS_ENABLED": "False"}
    with tempfile.TemporaryFile() as output:
        began = time.perf_counter()
        server = subprocess.Popen(
            [sys.executable, str(script)],
            cwd=ROOT,
            env=environment | {"PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        try:
            for path in ("/", "/config"):
                while not _answers(port, path):
                    silent = time.perf_counter() - began > START_SECONDS
                    if silent or server.poll() is not None:
                        output.seek(0)
                        raise RuntimeError(f"{script.name} does not answer:\n{output.read().decode(errors='replace')}")
                    time.sleep(POLL_SECONDS)
            yield port, time.perf_counter() - began
        finally:
            _end(server)


def _answers(port: int, path: str) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        response.read()
        return response.status == 200
    except (OSError, http.client.HTTPException):  # not listening yet
        return False
    finally:
        connection.close()


def _end(server: subprocess.Popen[bytes]) -> None:
    if os.name == "posix":
        with suppress(ProcessLookupError):  # it ended by itself
            os.killpg(server.pid, signal.SIGTERM)
    else:
        server.terminate()
    try:
        server.wait(10)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


def app() -> Path:
    """The app's script. Raises FileNotFoundError."""
    path = ROOT / "app.py"
    if not path.is_file():
        raise FileNotFoundError(f"{path.name} is not there: run this from a checkout that has the app.")
    return path


def measure_startup(starts: int) -> Startup:
    """Start the app and a page without anything, in turns; of several starts the first only fills the disk's cache."""
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
    """Train on the real page in a headless Chromium and without it, in turns, then pause and scrub.

    Raises RuntimeError where there is no browser.
    """
    browser_path = find()
    if browser_path is None:
        raise RuntimeError(HELP)
    seen = Page()
    lab = ToyLab()
    _headless(lab, 0.5)
    with serving(app()) as (port, _), sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path, args=CHROMIUM_ARGS)
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        page.set_default_timeout(60_000)
        page.goto(f"http://127.0.0.1:{port}")
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
        browser.close()
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
    page.wait_for_timeout(1e3 * WARM_UP_SECONDS)
    before, busy_before, began = _counts(canvas), _busy_seconds(devtools), time.perf_counter()
    page.wait_for_timeout(1e3 * seconds)
    after, busy_after, ended = _counts(canvas), _busy_seconds(devtools), time.perf_counter()
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


def scrub(page: BrowserPage, canvas: Locator) -> tuple[float, int]:
    """Drag "how noisy" to and fro, a movement every sixtieth of a second or as fast as the browser takes them.

    Returns painted frames a second, and requests made meanwhile.
    """
    box = page.get_by_role("slider", name=re.compile("^how noisy")).bounding_box()
    assert box is not None, "the slider is on the page, so it has a place"
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    y, left, width = box["y"] + box["height"] / 2, box["x"] + 10, box["width"] - 20
    page.mouse.move(left, y)
    page.mouse.down()
    painted, began = _counts(canvas)["painted"], time.perf_counter()
    while (passed := time.perf_counter() - began) < SCRUB_SECONDS:
        page.mouse.move(left + width * (1 - abs(1 - passed % 2)), y)
        page.wait_for_timeout(max(0.0, 1e3 / 60 - 1e3 * (time.perf_counter() - began - passed)))
    rate = (_counts(canvas)["painted"] - painted) / passed
    page.mouse.up()
    page.wait_for_timeout(1_000)  # what it asks for late, counts
    return rate, len(requests)


def _counts(canvas: Locator) -> dict[str, int]:
    """What the canvas tells of itself: step, frames, painted."""
    counts: dict[str, int] = canvas.evaluate(
        "c => Object.fromEntries(['step', 'frames', 'painted'].map((name) => [name, Number(c.dataset[name])]))"
    )
    return counts


def _busy_seconds(devtools: CDPSession) -> float:
    """Seconds of tasks on the browser's main thread since the page was opened."""
    metrics = devtools.send("Performance.getMetrics")["metrics"]
    return float(next(m["value"] for m in metrics if m["name"] == "TaskDuration"))
