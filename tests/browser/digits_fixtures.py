"""Fixtures that open the MNIST tab: a pytest plugin, so that digits_page.py is imported as the plain module it is."""

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser

from tests.browser.conftest import Watched
from tests.browser.digits_page import DigitsPage


@pytest.fixture
def digits(page: Watched, app_url: str) -> Iterator[DigitsPage]:
    """One MNIST tab on a laptop's screen, which may have had no fault in the end; a failed test leaves a screenshot."""
    tab = DigitsPage(page, app_url)
    yield tab
    assert tab.page.locator(".toast-body").all_inner_texts() == []
    assert page.errors == []
    assert page.outside_hosts == set()


@pytest.fixture
def visit_digits(browser: Browser, app_url: str) -> Iterator[Any]:
    """`visit_digits(**options of the browser context)` opens an MNIST tab; in the end no page may have had a fault."""
    opened: list[DigitsPage] = []

    def open_page(**options: Any) -> DigitsPage:
        context = browser.new_context(**{"viewport": {"width": 1440, "height": 900}, **options})
        opened.append(DigitsPage(Watched(context.new_page()), app_url))
        return opened[-1]

    yield open_page
    for tab in opened:
        tab.page.context.close()
        assert tab.watched.errors == []
        assert tab.watched.outside_hosts == set()
