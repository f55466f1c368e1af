"""A schedule with knobs turned arrives with them: by a link, and from the Schedules tab in parts of the page that were
folded, or not opened yet.
"""

import numpy as np

from playground.diffusion.schedule_config import ScheduleConfig
from tests.browser.fixtures import Visit
from tests.browser.schedules_page import SchedulesPage

pytest_plugins = ["tests.browser.fixtures"]


def test_a_link_brings_the_knobs(visit: Visit) -> None:
    toy = visit("?schedule.name=cosine&schedule.s=0.1")
    toy.unfold("Noise")
    toy.page.get_by_text("timesteps T", exact=True).first.wait_for()
    toy.unfold("more")
    toy.number("offset s").wait_for()
    toy.quiet()
    assert toy.number("offset s").input_value() == "0.1"
    assert toy.page.get_by_label("number input for ρ", exact=True).locator("visible=true").count() == 0


def test_mnist_takes_the_knobs_along(schedules: SchedulesPage) -> None:
    """Also where they are folded away, and the next knob that is turned sends all of them back."""
    page = schedules.page
    page.get_by_role("tab", name="MNIST", exact=True).click()
    page.locator(".pg-status:visible", has_text="drawn beforehand").wait_for()
    page.get_by_role("tab", name="Schedules", exact=True).click()
    schedules.knob(schedules.card("cosine"), "s").fill("0.3")
    schedules.quiet()
    page.locator(".pg-which").select_option(label="cosine")
    schedules.quiet()
    schedules.press("Use it in MNIST")
    page.locator(".pg-status:visible", has_text="cosine, s = 0.3").wait_for()
    alphas_cumprod = float(ScheduleConfig("cosine", s=0.3).make().alphas_cumprod[500])
    for turn in range(2):
        if turn:
            page.get_by_label("number input for seed", exact=True).locator("visible=true").fill("5")
            page.locator(".pg-status:visible", has_text="seed 5").wait_for()
        page.locator(".pg-mnist .pg-t").evaluate(
            "s => { s.value = 500; s.dispatchEvent(new Event('input', {bubbles: true})); }"
        )
        page.wait_for_function(
            "wanted => document.querySelector('.pg-mnist .pg-readout').textContent.includes(wanted)",
            arg=f"ᾱ = {float(np.round(alphas_cumprod, 2)):.2f}",
            timeout=10_000,
        )
