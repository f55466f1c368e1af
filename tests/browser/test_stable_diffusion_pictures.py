"""Pictures go out and come back: PNGs with settings inside, starts and repaints, and everyone's own."""

import io
from typing import Any

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from playground.stable_diffusion.picture import KEY, read_png
from tests.browser.stable_diffusion_page import StableDiffusionPage, differ

pytest_plugins = ["tests.browser.fixtures"]
CHOOSER = ".pg-stable-diffusion .pg-open"


def test_settings_travel_in_a_png(diffusion: StableDiffusionPage) -> None:
    number = diffusion.number("steps")
    number.fill("6")
    diffusion.draw("a thin blue four on a pink background")
    diffusion.kept().nth(1).click()  # the third of four
    name, data = diffusion.download("PNG")
    assert name == "tiny-2.png"
    made = read_png(data).parameters
    assert made is not None
    assert (made.request.prompt, made.request.steps, made.request.seeds) == (diffusion.prompt.input_value(), 6, (2,))

    number.fill("9")
    diffusion.draw("a two")
    diffusion.page.set_input_files(CHOOSER, {"name": name, "mimeType": "image/png", "buffer": data})
    diffusion.notice("Settings read from the PNG").wait_for()
    assert diffusion.prompt.input_value() == "a thin blue four on a pink background"
    assert number.input_value() == "6"
    assert diffusion.page.get_by_label("seed", exact=True).input_value() == "2"
    diffusion.finished_by(lambda: diffusion.press("Draw"))
    assert differ(diffusion.large(), 0 * diffusion.large())

    info, out = PngInfo(), io.BytesIO()
    info.add_itxt(KEY, '{"format": "<script>"}')
    Image.new("RGB", (32, 32)).save(out, "PNG", pnginfo=info)
    for content, words in ((out.getvalue(), "damaged"), (b"GIF89a", "no PNG"), (_plain(), "does not say how")):
        diffusion.page.set_input_files(CHOOSER, {"name": "x.png", "mimeType": "image/png", "buffer": content})
        diffusion.notice(words).first.wait_for()
    assert diffusion.prompt.input_value() == "a thin blue four on a pink background"


def test_a_picture_begins_the_next(diffusion: StableDiffusionPage) -> None:
    before = diffusion.large()
    diffusion.finished_by(lambda: diffusion.press("Start from it"))
    assert "begun from picture" in diffusion.page.locator("[data-note=loop]").inner_text()
    assert differ(diffusion.large(), before)
    before = diffusion.large()
    diffusion.prompt.fill("a green two on a yellow background")
    diffusion.press("Repaint")
    pen = diffusion.page.locator("canvas.pg-pen:visible")
    box = pen.bounding_box()
    assert box
    for share in (0.1, 0.2, 0.3):
        diffusion.page.mouse.move(box["x"] + 5, box["y"] + share * box["height"])
        diffusion.page.mouse.down()
        diffusion.page.mouse.move(box["x"] + box["width"] - 5, box["y"] + share * box["height"], steps=5)
        diffusion.page.mouse.up()
    diffusion.finished_by(lambda: diffusion.press("Repaint this"))
    after = diffusion.large()
    rows = abs(after - before).mean((1, 2))
    height = len(rows)
    assert rows[: height // 3].mean() > 2 * rows[2 * height // 3 :].mean()


def test_two_visitors_at_once_get_their_own(visit_diffusion: Any) -> None:
    first, second = visit_diffusion(), visit_diffusion()
    goals = [tab.data("runs") + 1 for tab in (first, second)]
    prompts = ("a white zero on a black background", "a black one on a white background")
    for tab, prompt in zip((first, second), prompts, strict=True):
        tab.prompt.fill(prompt)
        tab.prompt.press("Enter")
    for tab, goal in zip((first, second), goals, strict=True):
        tab.until("(c, goal) => Number(c.dataset.runs) >= goal && Number(c.dataset.done) > 0", goal)
        tab.still()
    assert differ(first.large(), second.large())
    for tab, prompt in zip((first, second), prompts, strict=True):
        assert prompt in (tab.kept().first.get_attribute("aria-label") or "")
        assert tab.kept().count() == 8
        assert tab.data("k") == 21


def _plain() -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (20, 30), (9, 99, 9)).save(out, "PNG")
    return out.getvalue()
