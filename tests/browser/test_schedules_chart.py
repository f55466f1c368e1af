"""The quality chart, the snippets and the way to the other tabs."""

import csv
import io
import json

import diffusers
import numpy as np
import pytest
import torch
from playwright.sync_api import expect

from playground.diffusion.schedule_config import ScheduleConfig
from playground.schedules.quality import ChartConfig, ChartPoint, measure
from tests.browser.schedules_page import SchedulesPage
from tests.browser.toy_page import TWO_FRAMES

pytest_plugins = ["tests.browser.fixtures"]


def choose_samplers(tab: SchedulesPage, *names: str) -> None:
    for box in tab.page.locator(".pg-samplers input").all():
        box.set_checked(box.get_attribute("value") in names)


def test_a_chart_is_measured_and_taken_home(schedules: SchedulesPage) -> None:
    schedules.hold()
    for _ in range(3):
        schedules.cards().last.locator("[data-card=remove]").click()
    schedules.quiet()
    choose_samplers(schedules, "ddim", "dpm++")
    schedules.press("Measure")
    word = schedules.page.locator(".pg-quality-word")
    word.locator("text=/12 points, exact, 1,000 points, seed 0/").wait_for()
    name, text = schedules.download("CSV")
    assert name == "quality.csv"
    rows = list(csv.DictReader(io.StringIO(text.decode().partition("\n")[2])))
    config = ChartConfig(schedules=(ScheduleConfig("linear"),), samplers=("dpm++", "ddim"))
    points = [event for event in measure(config) if isinstance(event, ChartPoint)]
    assert len(rows) == len(points) == 12
    for row, point in zip(rows, points, strict=True):
        assert (row["sampler"], int(row["calls"])) == (point.sampler, point.calls)
        assert float(row["error"]) == pytest.approx(point.error, rel=1e-6)
        assert float(row["distance"]) == pytest.approx(point.distance, rel=1e-6)
    shown = schedules.page.locator(".pg-facet").evaluate_all(
        "divs => divs.map((div) => div.data.map((line) => line.y.length))"
    )
    assert shown == [[6], [6]], "a chart for each sampler, a line for the schedule"
    captions = schedules.page.locator(".pg-facets figcaption").all_inner_texts()
    assert captions == ["DPM-Solver++ 2M", "DDIM"], "in the order of the boxes"


def test_a_sampler_that_ends_elsewhere_says_why_its_chart_is_empty(schedules: SchedulesPage) -> None:
    choose_samplers(schedules, "ddpm")
    schedules.press("Measure")
    schedules.page.locator(".pg-quality-word").locator("text=/6 points, exact/").wait_for()
    why = schedules.page.locator(".pg-facet-note", has_text="DDPM adds noise at every step")
    why.wait_for()
    schedules.press("distance to the data")
    why.wait_for(state="hidden")
    shown = schedules.page.locator(".pg-facet").first.evaluate("div => div.data[0].y.length")
    assert shown == 6
    schedules.press("error against the exact path")


def test_nothing_to_measure_is_refused(schedules: SchedulesPage) -> None:
    choose_samplers(schedules)
    schedules.press("Measure")
    schedules.page.locator(".pg-quality-word.pg-wrong").wait_for()
    assert schedules.button("Measure").is_enabled()


def test_stop_keeps_what_is_there(schedules: SchedulesPage) -> None:
    choose_samplers(schedules, "ddim", "ddpm", "pndm", "dpm++", "unipc", "heun", "euler")
    schedules.page.get_by_label("seed of the chart").fill("7")
    schedules.press("Measure")
    schedules.page.wait_for_function("() => Number(document.querySelector('.pg-facets').dataset.points) >= 1")
    schedules.press("Stop")
    count = schedules.page.locator(".pg-facets").get_attribute("data-points")
    schedules.quiet()
    schedules.page.wait_for_timeout(1_000)
    assert schedules.page.locator(".pg-facets").get_attribute("data-points") == count
    assert int(count or 0) < 42


def test_the_schedule_in_diffusers_words(schedules: SchedulesPage) -> None:
    snippet = schedules.page.locator(".pg-snippet code")
    assert "PNDMScheduler(" in snippet.inner_text()
    name, text = schedules.download("scheduler_config.json")
    assert name == "scheduler_config.json"
    theirs = diffusers.PNDMScheduler.from_config(json.loads(text))
    ours = ScheduleConfig("linear").make().alphas_cumprod
    torch.testing.assert_close(theirs.alphas_cumprod.double(), ours, rtol=1e-4, atol=1e-6)
    schedules.cards().first.locator(".pg-kind").select_option("laplace")
    snippet.locator("text=trained_betas").wait_for()
    name, text = schedules.download("Curves (.csv)")
    table = list(csv.reader(io.StringIO(text.decode())))
    assert len(table) == 1001
    name, text = schedules.download("Curves (.json)")
    assert len(json.loads(text)["schedules"]) == 1


def assert_seen_from_the_top(tab: SchedulesPage, canvas: str) -> None:
    """Once `canvas` shows, and on from there; the button that was pressed lies a page below."""
    tab.page.locator(canvas).wait_for()
    tab.page.wait_for_function("() => scrollY === 0")
    tab.page.evaluate(TWO_FRAMES)
    assert tab.page.evaluate("() => scrollY") == 0


def test_a_tab_changed_by_hand_stays_where_it_is(schedules: SchedulesPage) -> None:
    page = schedules.page
    page.locator(".pg-snippet").scroll_into_view_if_needed()
    page.get_by_role("tab", name="Schedules", exact=True).scroll_into_view_if_needed()
    page.evaluate("() => scrollTo(0, 40)")
    page.get_by_role("tab", name="Toy lab", exact=True).evaluate("(tab) => tab.click()")  # a mouse might scroll to it
    page.locator("canvas[data-testid=toy-live]").wait_for()
    page.evaluate(TWO_FRAMES)
    assert page.evaluate("() => scrollY") == 40
    page.get_by_role("tab", name="Schedules", exact=True).click()


def test_the_toy_lab_and_mnist_take_it(schedules: SchedulesPage) -> None:
    page = schedules.page
    schedules.press("Use it in the toy lab")
    assert_seen_from_the_top(schedules, "canvas[data-testid=toy-live]")
    schedules.notice("Brought from Schedules: Laplace").locator("visible=true").first.wait_for()
    brought = page.get_by_role("combobox", name="schedule", exact=True).locator("visible=true")
    expect(brought).to_have_value("Laplace")
    page.wait_for_url(lambda url: "schedule.name=laplace" in url and "pndm" in url)  # the schedule, and its sampler
    page.get_by_role("tab", name="Schedules", exact=True).click()
    schedules.press("Use it in MNIST")
    assert_seen_from_the_top(schedules, "canvas[data-testid=mnist-live]")
    digits = page.locator("canvas[data-testid=mnist-live]")
    digits.wait_for()
    # What was drawn beforehand comes after the first picture, and takes the slider with it as it begins to play.
    said = "drawn beforehand). Press Generate to draw on Laplace"
    page.locator(".pg-status:visible", has_text=said).wait_for()
    expect(page.get_by_role("combobox", name="noise schedule").locator("visible=true")).to_have_value("Laplace")
    expect(page.get_by_role("combobox", name="sampler", exact=True).locator("visible=true")).to_have_value("PNDM")
    last = ScheduleConfig("laplace").make().alphas_cumprod
    page.locator(".pg-mnist .pg-t").evaluate(
        "s => { s.value = 500; s.dispatchEvent(new Event('input', {bubbles: true})); }"
    )
    page.wait_for_function(
        "wanted => document.querySelector('.pg-mnist .pg-readout').textContent.includes(wanted)",
        arg=f"ᾱ = {float(np.round(float(last[500]), 2)):.2f}",
    )
