"""Fixtures that open the toy lab: a pytest plugin, so that toy_page.py is imported as the plain module it is."""

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser

from tests.browser.conftest import Watched
from tests.browser.toy_page import ToyPage, Visit


@pytest.fixture
def visit(browser: Browser, app_url: str) -> Iterator[Visit]:
    """`visit(query, **options of the browser context)` opens a toy lab; in the end no page may have had a fault."""
    opened: list[ToyPage] = []

    def open_page(query: str = "", **options: Any) -> ToyPage:
        context = browser.new_context(**{"viewport": {"width": 1440, "height": 900}, **options})
        opened.append(ToyPage(Watched(context.new_page()), app_url, query))
        return opened[-1]

    yield open_page
    for toy in opened:
        if not toy.page.is_closed():
            assert toy.page.locator(".toast-body").all_inner_texts() == []
            toy.page.context.close()
        assert toy.watched.errors == []
        assert toy.watched.outside_hosts == set()


@pytest.fixture
def toy(page: Watched, app_url: str) -> Iterator[ToyPage]:
    """One toy lab on a laptop's screen, which may have had no fault in the end; a failed test leaves a screenshot."""
    toy = ToyPage(page, app_url)
    yield toy
    assert toy.page.locator(".toast-body").all_inner_texts() == []
    assert page.errors == []
    assert page.outside_hosts == set()
