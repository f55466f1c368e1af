"""Fixtures that open the tabs: a pytest plugin, so that toy_page.py and its like are imported as plain modules."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import pytest
from playwright.sync_api import Browser

from tests.browser.conftest import ARTIFACTS, Watched
from tests.browser.mnist_page import MnistPage
from tests.browser.schedules_page import SchedulesPage
from tests.browser.stable_diffusion_page import StableDiffusionPage
from tests.browser.toy_page import ToyPage, Visit

Tab = TypeVar("Tab", bound=ToyPage)
Faults = tuple[list[str], list[str], set[str]]
NONE: Faults = ([], [], set())


def faults(tab: ToyPage) -> Faults:
    """What no page may have had in the end: toasts, JavaScript errors, requests to hosts that are not this machine.

    The last two are the page's own lists: what happens while it is being closed comes into them too.
    """
    toasts = [] if tab.page.is_closed() else tab.page.locator(".toast-body").all_inner_texts()
    return toasts, tab.watched.errors, tab.watched.outside_hosts


def one(kind: type[Tab], page: Watched, url: str) -> Iterator[Tab]:
    """A tab on a laptop's screen, which may have had no fault in the end; a failed test leaves a screenshot."""
    tab = kind(page, url)
    yield tab
    assert faults(tab) == NONE


@contextmanager
def pages(kind: type[Tab], browser: Browser, url: str) -> Iterator[Callable[..., Tab]]:
    """`open_page(query, **options of the browser context)` opens a tab; in the end no page may have had a fault."""
    opened: list[Tab] = []

    def open_page(*query: str, **options: Any) -> Tab:
        context = browser.new_context(**{"viewport": {"width": 1440, "height": 900}, **options})
        opened.append(kind(Watched(context.new_page()), url, *query))
        return opened[-1]

    yield open_page
    found = [faults(tab) for tab in opened]
    for tab in opened:
        tab.page.context.close()
    assert found == [NONE] * len(opened)


@pytest.fixture
def toy(page: Watched, app_url: str) -> Iterator[ToyPage]:
    """One toy lab."""
    yield from one(ToyPage, page, app_url)


@pytest.fixture
def digits(page: Watched, app_url: str) -> Iterator[MnistPage]:
    """One MNIST tab."""
    yield from one(MnistPage, page, app_url)


@pytest.fixture
def diffusion(page: Watched, app_url: str) -> Iterator[StableDiffusionPage]:
    """One Stable Diffusion tab."""
    yield from one(StableDiffusionPage, page, app_url)


@pytest.fixture(scope="module")
def schedules(browser: Browser, app_url: str) -> Iterator[SchedulesPage]:
    """One Schedules tab for all tests of a file, in their order."""
    with pages(SchedulesPage, browser, app_url) as open_page:
        tab = open_page()
        yield tab
        ARTIFACTS.mkdir(parents=True, exist_ok=True)
        tab.page.screenshot(path=ARTIFACTS / "schedules-at-the-end.png")


@pytest.fixture
def visit(browser: Browser, app_url: str) -> Iterator[Visit]:
    """`visit(query, **options of the browser context)` opens a toy lab."""
    with pages(ToyPage, browser, app_url) as open_page:
        yield open_page


@pytest.fixture
def visit_digits(browser: Browser, app_url: str) -> Iterator[Callable[..., MnistPage]]:
    """`visit_digits(query, **options of the browser context)` opens an MNIST tab."""
    with pages(MnistPage, browser, app_url) as open_page:
        yield open_page


@pytest.fixture
def visit_diffusion(browser: Browser, app_url: str) -> Iterator[Callable[..., StableDiffusionPage]]:
    """`visit_diffusion(query, **options of the browser context)` opens a Stable Diffusion tab."""
    with pages(StableDiffusionPage, browser, app_url) as open_page:
        yield open_page
