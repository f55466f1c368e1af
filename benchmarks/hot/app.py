"""The start of the app: importing everything, and building the page."""

from __future__ import annotations

from collections.abc import Callable, Iterator


def figures() -> Iterator[tuple[str, Callable[[], object]]]:
    """Names and work; the import is the preparation."""
    import app  # builds a page, too
    from playground.sessions import Sessions
    from playground.ui.page import build

    assert app.demo
    yield "building the page", lambda: build(Sessions())
