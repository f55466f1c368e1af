"""Fixtures of the browser tests: the real app as a subprocess, and watched pages of a real Chromium."""

import http.client
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, sync_playwright

from tests.browser.chromium import HELP, find

ROOT = Path(__file__).resolve().parents[2]
ARTIFACTS = Path(os.environ.get("CI_ARTIFACTS") or ROOT / "tests" / ".artifacts")
START_SECONDS = 180  # importing torch and gradio from a cold disk
LOCAL_HOSTS = {"127.0.0.1", "localhost"}
CHROMIUM_ARGS = [
    "--no-sandbox",  # root, as in a container, cannot start the sandbox
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # A request to any other host fails at once, on every machine alike, and is still recorded.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
]
FAILED = pytest.StashKey[bool]()


@dataclass
class Watched:
    """A page and what it did so far: JavaScript errors, URLs asked for, hosts that are not this machine."""

    page: Page
    errors: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)  # http, websocket, data: and blob: URLs
    outside_hosts: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", self._console)
        self.page.on("request", lambda request: self._asked_for(request.url))
        self.page.on("websocket", lambda websocket: self._asked_for(websocket.url))

    def _console(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.errors.append(f"{message.text} ({message.location.get('url')})")

    def _asked_for(self, url: str) -> None:
        self.requests.append(url)
        host = urlsplit(url).hostname  # None for data: and blob:
        if host and host not in LOCAL_HOSTS:
            self.outside_hosts.add(host)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark this folder's tests, and run them last: playwright keeps an event loop on the main thread."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker("browser")
    items.sort(key=lambda item: here in item.path.parents)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Tell the `page` fixture, whose end comes after its test, whether that test failed."""
    report = yield
    if report.failed:
        item.stash[FAILED] = True
    return report


@pytest.fixture(scope="session")
def app_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of `python app.py`, started on a free port for the whole test run."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    log = tmp_path_factory.mktemp("app") / "output.txt"
    env = os.environ | {"GRADIO_SERVER_PORT": str(port), "PLAYGROUND_PORT": str(port)}
    with log.open("wb") as output:
        app = subprocess.Popen(
            [sys.executable, "app.py"],
            cwd=ROOT,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        deadline = time.monotonic() + START_SECONDS
        while not _answers(port):
            if app.poll() is not None:
                pytest.fail(f"app.py ended with exit status {app.returncode}:\n{log.read_text()}")
            if time.monotonic() > deadline:
                pytest.fail(f"app.py did not answer within {START_SECONDS} s:\n{log.read_text()}")
            time.sleep(0.2)
        yield f"http://127.0.0.1:{port}"
    finally:
        app.terminate()
        try:
            app.wait(timeout=10)
        except subprocess.TimeoutExpired:
            app.kill()
            app.wait()


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):  # not listening yet
        return False
    finally:
        connection.close()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """One headless Chromium for the whole test run."""
    path = find()
    if path is None:
        pytest.fail(f"{HELP}\n  or let it be tried:       python tests/browser/chromium.py")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=CHROMIUM_ARGS)
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser: Browser, request: pytest.FixtureRequest) -> Iterator[Watched]:
    """A page of 1440 x 900 pixels in a browser context of its own; a failed test leaves a screenshot."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    watched = Watched(context.new_page())
    yield watched
    if request.node.stash.get(FAILED, False):
        ARTIFACTS.mkdir(parents=True, exist_ok=True)
        watched.page.screenshot(path=ARTIFACTS / f"{re.sub(r'[^A-Za-z0-9]+', '-', request.node.nodeid)}.png")
    context.close()
