"""The MNIST tab on a telephone, in the dark, and for those who do not see it."""

from typing import Any

import numpy as np
import pytest

pytest_plugins = ["tests.browser.fixtures"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_telephone(visit_digits: Any, scheme: str) -> None:
    tab = visit_digits(viewport={"width": 390, "height": 844}, color_scheme=scheme, has_touch=True)
    tab.hold()
    wide = tab.page.evaluate("() => document.documentElement.scrollWidth")
    assert wide <= 390, "nothing sticks out"
    tab.scrub(500)
    assert np.ptp(tab.picture()) > 200


def test_every_control_has_a_name(visit_digits: Any) -> None:
    tab = visit_digits()
    tab.hold()
    nameless = tab.page.evaluate(
        """() => ['button', 'input', 'select', 'canvas']
        .flatMap((kind) => [...document.querySelectorAll(`.pg-mnist ${kind}`)])
        .filter((e) => !(e.getAttribute('aria-label') || e.textContent.trim() || e.closest('label') || e.title))
        .map((e) => e.outerHTML.slice(0, 120))
        .filter((html) => !html.includes('pg-below'))"""
    )
    assert nameless == []


def test_two_visitors_do_not_meet(visit_digits: Any) -> None:
    one, other = visit_digits(), visit_digits()
    one.hold()
    other.hold()
    paths = other.data("paths")
    one.draw_now(lambda: one.press("Generate"))
    assert other.data("paths") == paths
