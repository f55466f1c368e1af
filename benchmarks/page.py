"""The app in a headless browser, for the figures that are measured from outside."""

from __future__ import annotations

import http.client
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from playwright.sync_api import Locator, Page, sync_playwright

from benchmarks.table import Figure, Report, make_parser
from tests.browser.chromium import HELP, find

ROOT = Path(__file__).resolve().parents[1]
START_SECONDS = 120.0
POLL_SECONDS = 0.01
WARM_UP_SECONDS = 20.0  # the app loads what takes long in the background, once it is up
SCRUB_SECONDS = 3.0
PATIENCE_MS = 120_000  # longer than anything takes that is waited for
CHROMIUM_ARGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]


def main(doc: str | None, measure: Callable[[], dict[str, Any]]) -> None:
    """A page benchmark as a command."""
    report = Report(make_parser(doc).parse_args())
    found = measure()
    report.finish(rows(found), page=found)


def rows(found: dict[str, Any]) -> list[Figure]:
    """What was measured of a page, as rows of the table."""
    return [Figure(f"page: {what.replace('_', ' ')}", f"{value:g}", "", None) for what, value in found.items()]


@contextmanager
def open_page() -> Iterator[Page]:
    """The app just started, and its page on a laptop's screen in a headless Chromium.

    Raises RuntimeError where there is no browser, or the app does not start.
    """
    browser_path = find()
    if browser_path is None:
        raise RuntimeError(HELP)
    with serving(app()) as (port, _), sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path, args=CHROMIUM_ARGS)
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        page.set_default_timeout(PATIENCE_MS)
        page.goto(f"http://127.0.0.1:{port}")
        yield page
        browser.close()


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


def scrub(page: Page, canvas: Locator) -> tuple[float, int]:
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
    painted, began = counts(canvas)["painted"], time.perf_counter()
    while (passed := time.perf_counter() - began) < SCRUB_SECONDS:
        page.mouse.move(left + width * (1 - abs(1 - passed % 2)), y)
        page.wait_for_timeout(max(0.0, 1e3 / 60 - 1e3 * (time.perf_counter() - began - passed)))
    rate = (counts(canvas)["painted"] - painted) / passed
    page.mouse.up()
    page.wait_for_timeout(1_000)  # what it asks for late, counts
    return rate, len(requests)


def counts(canvas: Locator) -> dict[str, int]:
    """What the canvas tells of itself: step, frames, painted."""
    told: dict[str, int] = canvas.evaluate(
        "c => Object.fromEntries(['step', 'frames', 'painted'].map((name) => [name, Number(c.dataset[name])]))"
    )
    return told
