"""Fixtures that open the Stable Diffusion tab: a pytest plugin, so that diffusion_page.py is a plain module."""

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser

from tests.browser.conftest import Watched
from tests.browser.diffusion_page import DiffusionPage


@pytest.fixture
def diffusion(page: Watched, app_url: str) -> Iterator[DiffusionPage]:
    """One Stable Diffusion tab on a laptop's screen, which may have had no fault in the end."""
    tab = DiffusionPage(page, app_url)
    yield tab
    assert tab.page.locator(".toast-body").all_inner_texts() == []
    assert page.errors == []
    assert page.outside_hosts == set()


@pytest.fixture
def visit_diffusion(browser: Browser, app_url: str) -> Iterator[Any]:
    """`visit_diffusion(**options of the browser context)` opens the tab; in the end no page may have had a fault."""
    opened: list[DiffusionPage] = []

    def open_page(**options: Any) -> DiffusionPage:
        context = browser.new_context(**{"viewport": {"width": 1440, "height": 900}, **options})
        opened.append(DiffusionPage(Watched(context.new_page()), app_url))
        return opened[-1]

    yield open_page
    for tab in opened:
        tab.page.context.close()
        assert tab.watched.errors == []
        assert tab.watched.outside_hosts == set()
