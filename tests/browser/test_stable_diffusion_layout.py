"""The Stable Diffusion tab on windows of several widths, and pictures of several shapes."""

from typing import Any

import pytest

from tests.browser.stable_diffusion_page import StableDiffusionPage
from tests.browser.toy_page import TWO_FRAMES

pytest_plugins = ["tests.browser.fixtures"]
STICKING_OUT = """() => {
  const diagram = document.querySelector(".pg-diagram").getBoundingClientRect();
  return [...document.querySelectorAll(".pg-diagram *")].filter((e) => e.getClientRects().length)
    .map((e) => [e.className || e.tagName, e.getBoundingClientRect()])
    .filter(([, box]) => box.left < diagram.left - 1 || box.right > diagram.right + 1).map(([name]) => name);
}"""
FITTED = """(width) => innerWidth === width
  && document.querySelector(".pg-diagram").dataset.wide === String(document.querySelector(".pg-flow").clientWidth)"""
SCROLLED = """() => ["html", "body", ".gradio-container", ".pg-flow"].map((one) => document.querySelector(one))
  .map((e) => [e.scrollLeft, e.scrollWidth - e.clientWidth])"""


def test_the_diagram_gives_way_to_the_window(diffusion: StableDiffusionPage) -> None:
    for width in (1440, 1366, 1280, 1024, 920, 390):
        diffusion.page.set_viewport_size({"width": width, "height": 800})
        diffusion.page.wait_for_function(FITTED, arg=width)
        diffusion.page.evaluate(TWO_FRAMES)
        diffusion.page.locator("[data-thumb=picture]").locator("..").focus()  # the last, at the very right
        assert diffusion.page.evaluate(STICKING_OUT) == [], width
        assert diffusion.page.evaluate(SCROLLED) == [[0, 0]] * 4, width
        if width >= 1280:
            high = diffusion.page.locator(".pg-flow").bounding_box()
            assert high
            assert high["height"] < 160, "one line"


def test_knobs_are_close_to_the_picture_on_a_telephone(visit_diffusion: Any) -> None:
    tab = visit_diffusion(viewport={"width": 390, "height": 844}, has_touch=True)
    tab.still()
    picture, knob = tab.canvas.bounding_box(), tab.number("guidance scale (s)").bounding_box()
    assert 0 < knob["y"] - (picture["y"] + picture["height"]) < 400
    tab.scrub(3)  # the stage still hears and paints
    tab.press("Grid")
    for axis in "xy":
        assert tab.page.get_by_label(f"values along {axis}").bounding_box()["width"] > 200


@pytest.mark.parametrize(("width", "height"), [(64, 32), (32, 64)])
def test_pictures_keep_their_shape(diffusion: StableDiffusionPage, width: int, height: int) -> None:
    diffusion.unfold("more")
    diffusion.set_number("images", 2)
    diffusion.set_number("width" if width > height else "height", 64)
    for place in diffusion.places():
        assert place["width"] / place["height"] == pytest.approx(width / height, rel=0.02)
    diffusion.kept().first.click()
    diffusion.still()
    (kept,) = diffusion.places("kept")
    assert kept["width"] / kept["height"] == pytest.approx(width / height, rel=0.02)
    diffusion.press("Repaint")
    sheet = diffusion.page.locator(".pg-sheet:visible").bounding_box()
    assert sheet
    assert sheet["width"] / sheet["height"] == pytest.approx(width / height, rel=0.02)


def test_tab_passes_the_gallery_in_one_step(diffusion: StableDiffusionPage) -> None:
    diffusion.kept().first.focus()
    diffusion.page.keyboard.press("ArrowRight")
    diffusion.page.keyboard.press("Enter")
    diffusion.still()
    second = diffusion.kept().nth(1)
    assert second.get_attribute("aria-selected") == "true"
    assert diffusion.places("kept"), "shown large"
    assert diffusion.page.locator(".pg-shelf [tabindex='0']").count() == 1
    diffusion.page.keyboard.press("Tab")
    assert diffusion.page.evaluate("() => !document.activeElement.closest('.pg-shelf')")
    assert diffusion.data("runs") == 1
