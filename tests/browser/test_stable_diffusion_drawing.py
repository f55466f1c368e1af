"""The Stable Diffusion tab's main job: words become a picture before one's eyes, and all of it can be scrubbed."""

import re

from tests.browser.stable_diffusion_page import StableDiffusionPage, differ
from tests.browser.toy_page import QUIET_MS

pytest_plugins = ["tests.browser.fixtures"]


def test_a_prompt_is_drawn_watched_and_scrubbed(diffusion: StableDiffusionPage) -> None:
    assert diffusion.prompt.input_value() == "a red seven on a blue background"
    assert diffusion.kept().count() == 4
    diffusion.prompt.fill("a green two on a white background")
    seen = diffusion.previews(lambda: diffusion.prompt.press("Enter"))
    assert seen >= 5
    assert diffusion.kept().count() == 8
    last, end = diffusion.data("k"), diffusion.large()
    assert diffusion.data("steps") == last + 1, "every step came, and came once"

    asked = diffusion.quiet()
    diffusion.scrub(0)
    noise = diffusion.large()
    diffusion.canvas.focus()
    diffusion.page.keyboard.press("ArrowRight")
    diffusion.until("c => Number(c.dataset.k) === 1")
    diffusion.scrub(last // 2)
    half = diffusion.large()
    views = {}
    for name in ("xₜ", "ε∅", "ε words", "Guidance", "Channels", "Picture"):
        diffusion.press(name)
        diffusion.still()
        views[name] = diffusion.picture().tobytes()
    assert len(set(views.values())) == 6
    diffusion.page.get_by_role("button", name="green", exact=True).hover()
    diffusion.still()
    assert differ(diffusion.large(), half), "a light on where the word acts"
    diffusion.page.mouse.move(2, 2)
    diffusion.canvas.focus()
    diffusion.page.keyboard.press("End")
    diffusion.still()
    assert not differ(diffusion.large(), end)
    assert differ(noise, half)
    assert differ(half, end)
    diffusion.page.wait_for_timeout(QUIET_MS)
    assert len(diffusion.watched.requests) == asked


def test_stop_keeps_what_is_there(diffusion: StableDiffusionPage) -> None:
    diffusion.set_number("images", 1)
    number = diffusion.number("steps")
    number.fill("900")
    goal = diffusion.data("runs") + 1
    number.press("Enter")
    diffusion.until("(c, goal) => Number(c.dataset.runs) >= goal && Number(c.dataset.steps) >= 30", goal)
    diffusion.press("Stop")
    diffusion.until("c => Number(c.dataset.done) > 0")
    diffusion.still()
    steps = diffusion.data("steps")
    assert 30 <= steps < 900
    assert "Stopped at step" in diffusion.status()
    assert diffusion.kept().count() == 5
    now = diffusion.large()
    diffusion.scrub(0)
    assert differ(diffusion.large(), now)
    diffusion.page.wait_for_timeout(QUIET_MS)
    assert diffusion.data("steps") == steps, "it has stopped"


def test_guidance_changes_the_picture_and_the_tab_draws_once(diffusion: StableDiffusionPage) -> None:
    diffusion.page.get_by_role("tab", name="Toy lab").click()
    diffusion.page.get_by_role("tab", name="Stable Diffusion").click()
    diffusion.still()
    assert diffusion.data("runs") == 1
    diffusion.set_number("images", 1)
    diffusion.set_number("guidance scale (s)", 1)
    without = diffusion.large()
    diffusion.set_number("guidance scale (s)", 6)
    assert differ(diffusion.large(), without)
    assert re.search(r"\d \w+ in \d+\.\d s", diffusion.status())
