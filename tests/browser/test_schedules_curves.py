"""Curves that follow the knobs, keep their zoom, and tell what cannot be. One page, test after test."""

from functools import partial

import numpy as np
import pytest

from playground.diffusion.sampling import SamplingConfig
from playground.diffusion.schedule_config import ScheduleConfig
from playground.schedules.curves import curves
from playground.schedules.steps import where
from tests.browser.schedules_page import PANELS, SchedulesPage

pytest_plugins = ["tests.browser.fixtures"]
LINEAR, SCALED, COSINE, KARRAS = range(4)
FLOAT32 = 2e-6  # relative: what crosses is float32


def test_the_first_sight_moves_and_has_four_schedules(schedules: SchedulesPage) -> None:
    before = schedules.told("s")
    schedules.until("(c, s) => c.dataset.s !== s", before)
    assert schedules.cards().count() == 4
    assert [card.get_attribute("data-name") for card in schedules.cards().all()] == [
        "linear",
        "scaled_linear",
        "cosine",
        "karras",
    ]
    schedules.hold()


@pytest.mark.parametrize("curve", ["alphas_cumprod", "step_noise", "log_snr", "weight_noise"])
def test_a_curve_is_what_the_lab_says(schedules: SchedulesPage, curve: str) -> None:
    for number, name in enumerate(("linear", "scaled_linear", "cosine", "karras")):
        x, y = schedules.line(curve, number)
        assert x[0] == 0
        assert x[-1] == 999
        assert len(x) > 100
        wanted = curves(ScheduleConfig(name).make())[curve].numpy()[x.astype(int)]
        np.testing.assert_allclose(y, wanted, rtol=FLOAT32)


def test_the_density_lies_over_log_snr(schedules: SchedulesPage) -> None:
    x, y = schedules.line("density", COSINE)
    np.testing.assert_allclose(y[20:-20], 1 / np.cosh(x[20:-20] / 2) / (2 * np.pi), rtol=0.05)  # sech, s = 0


def test_a_knob_changes_curves_and_pictures(schedules: SchedulesPage) -> None:
    schedules.scrub(400)
    before = schedules.digits()
    knob = schedules.knob(schedules.card("linear"), "beta_end")
    schedules.redrawn_by(lambda: knob.fill("0.05"))
    x, y = schedules.line("alphas_cumprod", LINEAR)
    changed = ScheduleConfig("linear", beta_end=0.05).make().alphas_cumprod.numpy()
    np.testing.assert_allclose(y, changed[x.astype(int)], rtol=FLOAT32)
    schedules.still()
    after = schedules.digits()
    assert np.abs(after[LINEAR] - before[LINEAR]).mean() > 5
    for other in (SCALED, COSINE, KARRAS):
        assert np.abs(after[other] - before[other]).max() == 0


def test_a_zoom_is_kept_over_updates_and_shared(schedules: SchedulesPage) -> None:
    box = schedules.figure("alphas_cumprod").bounding_box()
    assert box
    mouse = schedules.page.mouse
    mouse.move(box["x"] + 80, box["y"] + 60)
    mouse.down()
    mouse.move(box["x"] + 160, box["y"] + 160, steps=5)
    mouse.up()
    schedules.page.wait_for_function("() => !document.querySelector('[data-do=whole]').hidden")
    schedules.still()
    zoomed = schedules.x_range("alphas_cumprod")
    assert 0 < zoomed[0] < zoomed[1] < 999
    assert schedules.x_range("step_noise") == pytest.approx(zoomed)
    knob = schedules.knob(schedules.card("linear"), "beta_end")
    schedules.redrawn_by(lambda: knob.fill("0.02"))
    assert schedules.x_range("alphas_cumprod") == pytest.approx(zoomed)
    x, _ = schedules.line("alphas_cumprod", LINEAR)
    assert np.diff(x[(x > zoomed[0]) & (x < zoomed[1])]).max() <= (zoomed[1] - zoomed[0]) / 100, "finer where one looks"
    schedules.press("Whole curves")
    schedules.still()
    assert schedules.x_range("alphas_cumprod") == [0, 999]


def test_hover_reads_all_schedules_at_one_t(schedules: SchedulesPage) -> None:
    box = schedules.figure("alphas_cumprod").bounding_box()
    assert box
    schedules.page.mouse.move(box["x"] + 140, box["y"] + 100)
    read = schedules.page.locator(".pg-hover:visible")
    read.wait_for()
    t = int(read.locator("b").inner_text().rpartition("=")[2])
    for name, line in zip(("linear", "scaled_linear", "cosine", "karras"), read.locator("span").all(), strict=True):
        wanted = float(ScheduleConfig(name).make().alphas_cumprod[t])
        assert float(line.inner_text().split()[-1]) == pytest.approx(wanted, rel=6e-3)
    schedules.page.mouse.move(5, 5)


def test_a_finger_reads_all_schedules_too(schedules: SchedulesPage) -> None:
    """It is gone as soon as it has tapped; what it asked for stays."""
    plot = schedules.page.locator(".pg-plot").nth(PANELS.index("posterior_variance"))
    plot.evaluate(
        """plot => { const box = plot.getBoundingClientRect(), at = {clientX: box.x + 140, clientY: box.y + 80};
        for (const kind of ["pointerdown", "pointerup", "pointerleave"]) plot.dispatchEvent(
          new PointerEvent(kind, {...at, pointerType: "touch", bubbles: kind != "pointerleave"})); }"""
    )
    read = plot.locator(".pg-hover")
    read.wait_for()
    t = int(read.locator("b").inner_text().rpartition("=")[2])
    table = ScheduleConfig("linear").make()
    shown = [float(v) for v in read.locator("span").first.inner_text().replace(",", "").split()[-2:]]
    assert shown == pytest.approx([float(table.posterior_variance[t]), float(table.betas[t])], rel=6e-3)
    plot.dispatch_event("pointerleave")
    read.wait_for(state="hidden")


def y_range(tab: SchedulesPage, curve: str) -> list[float]:
    found: list[float] = tab.figure(curve).evaluate("div => [...div._fullLayout.yaxis.range]")
    return found


def test_zero_terminal_snr_keeps_the_whole_curve_in_sight(schedules: SchedulesPage) -> None:
    """Its last weight is 0, and has no place on a logarithmic axis: the one before it has."""
    boxes = schedules.page.locator(".pg-zero input").all()
    for box in boxes:
        schedules.redrawn_by(box.check)
    low, high = y_range(schedules, "weight_noise")
    assert low <= -5 < 3 <= high
    refused = schedules.card("linear").locator(".pg-card-refused").inner_text()
    assert refused.startswith("PNDM cannot start"), "the sampler named once"
    for box in boxes:
        schedules.redrawn_by(box.uncheck)


def test_a_spike_of_the_density_does_not_flatten_the_others(schedules: SchedulesPage) -> None:
    card = schedules.cards().first
    schedules.redrawn_by(lambda: card.locator(".pg-kind").select_option("laplace"))
    schedules.redrawn_by(lambda: schedules.knob(card, "b").fill("0.05"))
    assert y_range(schedules, "density")[1] < 2, "p(λ) of the others is 0.1 … 0.2, the spike 10"
    schedules.redrawn_by(lambda: card.locator(".pg-kind").select_option("linear"))


def test_the_line_stands_at_a_whole_timestep(schedules: SchedulesPage) -> None:
    """With few timesteps the share 0.4 of the way lies between two: line, dots and pictures are all at one of them."""
    schedules.scrub(400)
    for card in schedules.cards().all():
        schedules.redrawn_by(partial(schedules.knob(card, "timesteps").fill, "10"))
    schedules.still()
    assert schedules.told("t") == "4,4,4,4"
    wanted, found = schedules.page.locator(".pg-plot").first.evaluate(
        """plot => { const over = plot.querySelector("canvas");
        const axis = plot.querySelector(".pg-plotly")._fullLayout.xaxis;
        const {width, height} = over, {data} = over.getContext("2d").getImageData(0, 0, width, height);
        const filled = Array.from({length: width}, (_, x) => {
          let n = 0; for (let y = 0; y < height; y++) n += data[4 * (y * width + x) + 3] > 0; return n; });
        return [axis._offset + axis.d2p(4), filled.indexOf(Math.max(...filled)) * over.clientWidth / width]; }"""
    )
    assert found == pytest.approx(wanted, abs=2)
    for card in schedules.cards().all():
        schedules.redrawn_by(partial(schedules.knob(card, "timesteps").fill, "1000"))


def test_over_log_snr_all_signal_curves_are_one(schedules: SchedulesPage) -> None:
    schedules.press("over log-SNR")
    schedules.still()
    for number in range(4):
        x, y = schedules.line("alphas_cumprod", number)
        np.testing.assert_allclose(y, 1 / (1 + np.exp(-x)), atol=1e-6)
    schedules.page.get_by_role("button", name="over t", exact=True).click()
    schedules.still()


def test_pndm_repeats_its_second_call(schedules: SchedulesPage) -> None:
    visits = where(ScheduleConfig("linear"), SamplingConfig("pndm", steps=10))
    assert visits.repeated[2 - 1] or visits.repeated[2]
    strip = schedules.page.locator(".pg-steps canvas")
    assert strip.get_attribute("data-calls") == "11,11,11,11"
    schedules.press("to the data")
    schedules.still()
    assert strip.get_attribute("data-history") == "4,4,4,4", "the last update draws on four"
    assert "10 steps are 11 calls" in schedules.page.locator(".pg-steps-note").inner_text()
    assert strip.get_attribute("data-arcs") == "9>10 8>10 7>10"
    schedules.scrub(round(visits.timesteps[3]))
    assert strip.get_attribute("data-arcs") == "2>3 0>3", "call 1, the repeat's first, is forgotten"


@pytest.mark.parametrize(
    ("schedule", "field", "value", "words"),
    [
        ("linear", "beta_end", "1.5", "between 0 and 1"),
        ("scaled_linear", "timesteps", "1", "T"),
        ("cosine", "s", "-0.1", "[0, 1)"),
        ("karras", "sigma_min", "50", "σ_max"),
        ("linear", "timesteps", "7.5", "whole number"),
    ],
)
def test_refused_at_the_knob_and_the_last_good_curve_stays(
    schedules: SchedulesPage, schedule: str, field: str, value: str, words: str
) -> None:
    card = schedules.card(schedule)
    knob, number = schedules.knob(card, field), ("linear", "scaled_linear", "cosine", "karras").index(schedule)
    good, before = knob.input_value(), schedules.line("alphas_cumprod", number)
    knob.fill(value)
    said = schedules.refusal(card)
    assert words in said
    assert "last good curves" in said
    assert knob.get_attribute("aria-invalid") == "true"
    np.testing.assert_array_equal(schedules.line("alphas_cumprod", number), before)
    knob.fill(good)
    card.locator(".pg-card-error").wait_for(state="hidden")
    knob.fill("")
    assert "give a number" in schedules.refusal(card)
    knob.fill(good)
    card.locator(".pg-card-error").wait_for(state="hidden")
    schedules.quiet()


def test_a_sampler_that_a_schedule_cannot_drive(schedules: SchedulesPage) -> None:
    card, note = schedules.card("cosine"), schedules.page.locator(".pg-schedules .pg-sched-top .pg-status")
    schedules.redrawn_by(lambda: card.locator(".pg-zero input").check())
    assert "zero terminal SNR" in card.locator(".pg-card-refused").inner_text()
    assert "cosine" in note.inner_text()
    strip = schedules.page.locator(".pg-steps canvas")
    schedules.still()
    assert strip.get_attribute("data-calls") == "11,11,11", "the others keep their steps"
    _, y = schedules.line("alphas_cumprod", COSINE)
    assert y[-1] == 0
    visits = schedules.data("visits")
    schedules.page.locator(".pg-sampler").select_option("dpm++")
    schedules.until("(c, n) => Number(c.dataset.visits) > n", visits)
    assert note.inner_text() == ""
    visits = schedules.data("visits")
    schedules.page.locator(".pg-spacing").select_option("karras")
    schedules.until("(c, n) => Number(c.dataset.visits) > n", visits)
    assert "infinite" in card.locator(".pg-card-refused").inner_text()


def test_more_steps_than_timesteps_are_refused_and_the_ticks_stay(schedules: SchedulesPage) -> None:
    schedules.page.locator(".pg-spacing").select_option("trailing")
    schedules.quiet()
    strip = schedules.page.locator(".pg-steps canvas")
    steps = schedules.page.locator(".pg-steps-k")
    steps.fill("1")
    schedules.page.locator(".pg-sched-top .pg-status.pg-wrong").wait_for()
    assert strip.get_attribute("data-calls") == "10,10,10,10"
    steps.fill("20")
    schedules.page.wait_for_function("() => document.querySelector('.pg-steps canvas').dataset.calls === '20,20,20,20'")


def test_both_of_heuns_calls_at_a_place_show(schedules: SchedulesPage) -> None:
    visits = schedules.data("visits")
    schedules.page.locator(".pg-sampler").select_option("heun")
    schedules.until("(c, n) => Number(c.dataset.visits) > n", visits)
    sampling = SamplingConfig("heun", steps=20, spacing=schedules.page.locator(".pg-spacing").input_value())
    schedules.scrub(round(where(ScheduleConfig("linear"), sampling).timesteps[3]))
    assert schedules.page.locator(".pg-steps canvas").get_attribute("data-arcs") == "2>3"
