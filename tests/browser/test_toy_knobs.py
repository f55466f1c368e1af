"""The toy lab's knobs while it trains: what takes effect at once, what starts again, and what is refused."""

import re
from urllib.parse import unquote

from playground.diffusion.schedules import SCHEDULES
from playground.toy import PRESETS, ToyConfig
from playground.ui.shared.knobs import Knob
from playground.ui.shared.schedule_knobs import RowKnob
from playground.ui.toy.knobs import groups
from tests.browser.toy_page import ToyPage, around, grey

pytest_plugins = ["tests.browser.fixtures"]

# Choices that go together; every other list is turned to its last entry.
CHOSEN = {
    "dataset": "Disc grid",
    "schedule.name": "cosine",
    "training.learning_rate": "0.003",
    "sampling.sampler": "DDIM",
    "sampling.spacing": "trailing",
}
SLIDES = {"n_points": 1000, "schedule.timesteps": 500, "sampling.steps": 10}


def turn(toy: ToyPage, knob: Knob) -> None:
    """Turn `knob` away from its default, and wait until the page's address says so. Of the schedules' own knobs, only
    those of the chosen schedule are on the page.
    """
    default, named = knob.value(ToyConfig()), knob.path
    if isinstance(knob, RowKnob):
        if SCHEDULES[knob.row].title != CHOSEN["schedule.name"] or knob.spec is None:
            return
        named = f"schedule.{knob.spec.field}"
        toy.number(knob.label).fill(f"{knob.spec.high:g}")
        toy.number(knob.label).press("Tab")
        toy.page.wait_for_url(lambda url: f"{named}=" in url)
        return
    if knob.choices:
        toy.choose(knob.label, CHOSEN.get(knob.path))
    elif knob.limits:
        value = SLIDES.get(knob.path, default + knob.limits[2])
        toy.number(knob.label).fill(f"{value:g}")
        toy.number(knob.label).press("Tab")
    else:
        toy.settled(toy.page.get_by_label(knob.label, exact=True)).click()
    toy.page.wait_for_url(lambda url: f"{named}=" in url)


def test_the_learning_rate_changes_at_once(toy: ToyPage) -> None:
    toy.train(10)
    before = toy.step
    steps = toy.steps_since(
        lambda: toy.choose("learning rate", "0.003"), "(c, step) => Number(c.dataset.step) >= step + 30", before
    )
    toy.notice("learning rate: from step").wait_for()
    assert steps == sorted(steps)
    assert steps[0] >= before
    assert "training.learning_rate=0.003" in toy.page.url


def test_width_and_data_start_again_and_train_on(toy: ToyPage) -> None:
    toy.unfold("Network")
    toy.train(30)
    toy.restarted_by(lambda: toy.choose("width", "32"))
    toy.notice("width: the network starts again at step 0").wait_for()
    toy.until("c => Number(c.dataset.step) >= 10")

    old = grey(toy.picture())
    toy.restarted_by(lambda: toy.choose("point cloud", "Disc grid"))
    toy.page.wait_for_url("**dataset=disc_grid*")
    toy.until("c => Number(c.dataset.step) >= 10")
    new = grey(toy.picture())
    assert (new & ~around(old, 3)).sum() > 0.3 * new.sum(), "the old data are still there"
    toy.pause()


def test_every_knob_can_be_turned_while_it_trains(toy: ToyPage) -> None:
    toy.page.get_by_label("training speed").select_option("5 / s")
    toy.train(1)
    for group, knobs in groups().items():
        toy.unfold(group)
        toy.page.get_by_text(knobs[0].label, exact=True).first.wait_for()  # what is folded comes with it
        toy.unfold("more")
        for knob in knobs:
            turn(toy, knob)
    assert toy.page.locator(".pg-notice .pg-wrong").all_inner_texts() == []
    toy.until("(c, frames) => c.dataset.frames >= frames + 2", toy.data("frames"))
    toy.pause()


def test_a_recipe_that_fails_says_why(toy: ToyPage) -> None:
    toy.choose("recipe", "Failure: T = 50")
    toy.page.wait_for_url("**timesteps=50*")
    toy.unfold("Noise", "Sampling")
    warning = toy.page.locator(".pg-wrong", has_text="never reaches pure noise")
    warning.wait_for()
    assert "0.60" in warning.inner_text()
    assert toy.number("timesteps T").input_value() == "50"
    assert toy.page.get_by_role("combobox", name="sampler", exact=True).input_value() == "DDIM"
    assert toy.page.get_by_label(re.compile("^how noisy")).get_attribute("max") == "49"

    toy.number("steps").fill("60")
    toy.number("steps").press("Tab")
    toy.notice("60 sampling steps do not fit into a schedule of T = 50").wait_for()
    toy.until("() => document.querySelector('[aria-label=\"number input for steps\"]').value === '20'")
    toy.train(20)
    toy.pause()
    toy.choose("recipe", PRESETS["fast"].title)
    toy.page.wait_for_url(lambda url: "timesteps" not in url)
    warning.wait_for(state="hidden")


def test_numbers_are_typed_digit_by_digit_and_dragged(toy: ToyPage) -> None:
    toy.unfold("Noise")
    number = toy.number("timesteps T")
    for delay, value in ((150, "500"), (10, "300")):
        number.click(click_count=3)
        number.press_sequentially(value, delay=delay)  # "5" alone would be too little
        toy.page.wait_for_url(f"**timesteps={value}*")
        toy.quiet()
        assert number.input_value() == value
    number.fill("5")
    number.press("Tab")
    toy.quiet()
    assert f"timesteps={number.input_value()}" in toy.page.url, "the knob shows something else than the experiment has"

    slider, mouse = toy.page.get_by_label("range slider for timesteps T"), toy.page.mouse
    box = slider.bounding_box()
    assert box
    middle = box["y"] + box["height"] / 2
    mouse.move(box["x"] + 4, middle)
    mouse.down()
    for k in range(30):  # slower than the answers come, which must not pull it back
        mouse.move(box["x"] + 4 + 4 * k, middle)
        toy.page.wait_for_timeout(30)
    left_at = slider.input_value()
    mouse.up()
    toy.quiet()
    assert slider.input_value() == left_at
    assert f"timesteps={left_at}" in toy.page.url


def test_two_knobs_turned_faster_than_the_answers_come(toy: ToyPage) -> None:
    toy.unfold("Sampling")
    toy.train(10)
    toy.pause()
    for steps, scale in (("30", "2"), ("25", "3")):
        toy.number("steps").fill(steps)
        toy.number("guidance scale s").fill(scale)
    toy.number("guidance scale s").press("Tab")
    toy.quiet()
    assert (toy.number("steps").input_value(), toy.number("guidance scale s").input_value()) == ("25", "3")
    assert "sampling.steps=25&guidance_scale=3" in toy.page.url


def test_samplers_change_without_training_anew(toy: ToyPage) -> None:
    toy.train(40)
    step = toy.pause()
    toy.unfold("Sampling")
    toy.number("steps").fill("8")
    toy.page.wait_for_url("**sampling.steps=8*")
    sampler = next(knob for knob in groups()["Sampling"] if knob.path == "sampling.sampler")
    for title, name in [*sampler.choices[1:], sampler.choices[0]]:
        frames, before = toy.data("frames"), toy.picture()
        toy.choose("sampler", title)
        toy.until("(c, frames) => c.dataset.frames > frames", frames)
        assert toy.stopped() == step
        assert (toy.picture() != before).any(), f"{title} changes nothing"
        assert ("sampling.sampler=" + name in unquote(toy.page.url)) == (name != ToyConfig().sampling.sampler)
    toy.press("Measure quality")
    toy.notice("Sliced Wasserstein-2").wait_for()
    toy.train(10)
    toy.pause()
