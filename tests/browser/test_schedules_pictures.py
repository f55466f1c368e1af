"""The same digit and points under every schedule: pixels against the formula, and nothing asked while one looks."""

from typing import Any

import numpy as np
import pytest
import torch

from playground.diffusion.schedule_config import ScheduleConfig
from playground.mnist.data import to_bytes
from playground.ui.schedules.stage import START, pictures
from tests.browser.schedules_page import SchedulesPage

pytest_plugins = ["tests.browser.fixtures"]
DIGIT = 3


def mixed(alpha: float, sigma: float) -> np.ndarray:
    """What the page should paint of the digit, 0 … 255."""
    shown = pictures()
    return to_bytes(alpha * shown["digits"][DIGIT] + sigma * shown["digit_eps"]).numpy().astype(float)


def test_scrubbing_paints_the_formula_and_asks_for_nothing(schedules: SchedulesPage) -> None:
    schedules.hold()
    asked = schedules.quiet()
    tables = [config.make() for config in START]
    for t in (0, 50, 400, 999):
        schedules.scrub(t)
        for table, painted in zip(tables, schedules.digits(), strict=True):
            wanted = mixed(float(table.alphas[t]), float(table.sigmas[t]))
            assert np.abs(painted - wanted).max() <= 2, "a grey level of rounding, in 256"
    assert len(schedules.watched.requests) == asked


def test_keys_and_one_step(schedules: SchedulesPage) -> None:
    schedules.canvas.focus()
    keyboard = schedules.page.keyboard
    keyboard.press("End")
    schedules.still()
    assert schedules.told("s") == "1.00000"
    keyboard.press("ArrowLeft")
    schedules.still()
    assert float(schedules.told("s")) == pytest.approx(0.99)
    keyboard.press(".")
    schedules.still()
    assert float(schedules.told("s")) < 0.98, "at the sampler's next timestep"
    keyboard.press("Home")
    schedules.still()
    assert schedules.told("s") == "0.00000"
    keyboard.press("Space")
    schedules.until("c => Number(c.dataset.s) > 0.01")
    schedules.hold()


def test_at_equal_snr_all_pictures_are_the_same(schedules: SchedulesPage) -> None:
    schedules.page.locator(".pg-card").last.locator(".pg-kind").select_option("flow")
    schedules.quiet()
    schedules.scrub(300)
    apart = schedules.digits()
    assert np.abs(apart[0] - apart[2]).mean() > 5
    schedules.press("equal SNR")
    schedules.still()
    together = schedules.digits()
    for other in together[1:]:
        assert np.abs(other - together[0]).max() <= 2
    level = float(torch.special.logit(START[0].make().alphas_cumprod[300]))
    np.testing.assert_allclose(
        together[0], mixed((1 / (1 + np.exp(-level))) ** 0.5, (1 / (1 + np.exp(level))) ** 0.5), atol=6
    )
    schedules.page.get_by_role("button", name="equal t", exact=True).click()
    schedules.still()
    flow = ScheduleConfig("flow").make()
    t = int(schedules.told("t").split(",")[3])
    np.testing.assert_allclose(schedules.digits()[3], mixed(float(flow.alphas[t]), float(flow.sigmas[t])), atol=2)


def test_a_curve_is_drawn_made_to_fall_and_used(schedules: SchedulesPage) -> None:
    schedules.press("Draw your own")
    paper, note = schedules.page.locator(".pg-curve-paper"), schedules.page.locator(".pg-drawn .pg-paper-note")
    box = paper.bounding_box()
    assert box
    schedules.press("Use this curve")
    note.locator("text=There is no curve yet").wait_for()

    def stroke(*places: tuple[float, float]) -> None:
        answers = int(paper.get_attribute("data-answers") or 0)
        for number, (u, v) in enumerate(places):
            schedules.page.mouse.move(
                box["x"] + 30 + u * (box["width"] - 40), box["y"] + 8 + (1 - v) * (box["height"] - 30)
            )
            if number == 0:
                schedules.page.mouse.down()
        schedules.page.mouse.up()
        schedules.page.wait_for_function(
            "n => Number(document.querySelector('.pg-curve-paper').dataset.answers) > n", arg=answers
        )

    stroke((0.01, 0.05), (0.99, 0.95))
    assert "rises" in note.inner_text()
    schedules.press("Clear")
    stroke((0.01, 0.98), (0.4, 0.4), (0.6, 0.6), (0.98, 0.02))
    assert "can only fall" in note.inner_text()
    cards = schedules.cards().count()
    schedules.redrawn_by(lambda: schedules.press("Use this curve"))
    assert schedules.cards().count() == cards + 1
    _, y = schedules.line("alphas_cumprod", cards)
    assert (np.diff(y) <= 0).all()
    assert y[0] > 0.9
    assert y[-1] < 0.1


def test_the_keys_draw_a_curve(schedules: SchedulesPage) -> None:
    schedules.card("drawn").get_by_role("button", name="Draw it anew").click()
    paper = schedules.page.locator(".pg-curve-paper")
    before = schedules.line("alphas_cumprod", 4)
    paper.focus()
    for _ in range(5):
        schedules.page.keyboard.press("ArrowDown")
    schedules.redrawn_by(lambda: schedules.press("Use this curve"))
    x, y = schedules.line("alphas_cumprod", 4)
    middle = np.interp(500, x, y)
    assert middle == pytest.approx(np.interp(500, *before) - 5 * 0.04, abs=0.02), "no older drawing is taken"


def test_a_schedule_is_learned(schedules: SchedulesPage) -> None:
    card = schedules.cards().nth(1)
    card.locator(".pg-kind").select_option("learned")
    schedules.page.wait_for_function(
        "() => /step 400 of 400/.test(document.querySelector('.pg-learn-word')?.textContent)"
    )
    schedules.quiet()
    x, y = schedules.line("log_snr", 1)
    assert (np.diff(y) < 0).all()
    assert np.abs(y - np.interp(x, [0, 999], [10, -10])).max() > 0.5, "not the straight line it began as"


def test_there_is_an_end_to_schedules(schedules: SchedulesPage) -> None:
    for _ in range(12 - schedules.cards().count() + 1):
        schedules.press("Add schedule")
    assert schedules.cards().count() == 12
    assert "12 schedules" in schedules.page.locator(".pg-cards-note").inner_text()
    schedules.quiet()
    assert len(schedules.told("places").split(";")) == 12
    for _ in range(11):
        schedules.cards().last.locator("[data-card=remove]").click()
    schedules.cards().last.locator("[data-card=remove]").click()
    assert schedules.cards().count() == 1, "one has to stay"
    schedules.quiet()


def test_a_telephone_does_not_scroll_sideways(browser: Any, app_url: str) -> None:
    from tests.browser.conftest import Watched

    context = browser.new_context(viewport={"width": 390, "height": 844}, reduced_motion="reduce")
    tab = SchedulesPage(Watched(context.new_page()), app_url)
    assert tab.page.evaluate("() => document.documentElement.scrollWidth") == 390
    painted = tab.told("s")
    tab.page.wait_for_timeout(800)
    assert tab.told("s") == painted, "nothing moves for those who asked for it"
    context.close()
    assert tab.watched.errors == []
