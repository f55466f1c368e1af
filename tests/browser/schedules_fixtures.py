"""A fixture that opens the Schedules tab: a pytest plugin, so that schedules_page.py is imported as a plain module."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests.browser.conftest import ARTIFACTS, Watched
from tests.browser.schedules_page import SchedulesPage


@pytest.fixture(scope="module")
def schedules(browser: Browser, app_url: str) -> Iterator[SchedulesPage]:
    """One Schedules tab for all tests of a file, in their order; it may have had no fault in the end."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    watched = Watched(context.new_page())
    tab = SchedulesPage(watched, app_url)
    yield tab
    ARTIFACTS.mkdir(parents=True, exist_ok=True)
    tab.page.screenshot(path=ARTIFACTS / "schedules-at-the-end.png")
    toasts = tab.page.locator(".toast-body").all_inner_texts()
    context.close()
    assert toasts == []
    assert watched.errors == []
    assert watched.outside_hosts == set()
