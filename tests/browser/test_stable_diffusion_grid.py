"""Side by side: sweeps and grids fill in, two prompts share their noise, and what cannot be is said."""

from tests.browser.stable_diffusion_page import FINISHED, StableDiffusionPage, differ
from tests.browser.toy_page import WAIT_MS

pytest_plugins = ["tests.browser.fixtures"]


def test_a_sweep_fills_in_and_a_cell_gives_its_settings(diffusion: StableDiffusionPage) -> None:
    diffusion.press("Grid")
    diffusion.page.get_by_label("values along x").fill("1, 4, 7.5")
    diffusion.page.get_by_label("what changes along y").select_option("steps")
    diffusion.page.get_by_label("values along y").fill("3, 6")
    diffusion.finished_by(lambda: diffusion.press("Draw"))
    assert diffusion.data("cells") == 6
    cells = diffusion.places("cell")
    assert [(cell["row"], cell["column"]) for cell in cells] == [(r, c) for r in range(2) for c in range(3)]
    assert differ(diffusion.shown(cells[0]), diffusion.shown(cells[2]))
    diffusion.click_on(cells[2])
    diffusion.page.wait_for_function("() => [...document.querySelectorAll('input')].some((i) => i.value === '7.5')")
    assert diffusion.number("guidance scale (s)").input_value() == "7.5"
    assert diffusion.number("steps").input_value() == "3"
    assert diffusion.button("One prompt").get_attribute("aria-pressed") == "true", "Draw makes this one again"
    (large,) = diffusion.places("kept")
    assert large["width"] > 1.5 * cells[2]["width"]


def test_an_experiment_is_drawn_and_pairs_never_seen_are_framed(diffusion: StableDiffusionPage) -> None:
    diffusion.finished_by(lambda: diffusion.choose("experiment", "4 · Never seen"), within=4 * WAIT_MS)  # 525 calls
    diffusion.notice("These pairs of digit and colour it never saw").wait_for()
    assert diffusion.data("cells") == 25
    picture, framed = diffusion.picture(), []
    for cell in diffusion.places("cell"):
        x, y, width = (round(cell[name]) for name in ("x", "y", "width"))
        edge = picture[y : y + 3, x : x + width].astype(int)  # two pixels of frame, wherever between pixels it begins
        white, black = (edge.min(2) > 215).mean(1).max(), (edge.max(2) < 40).mean(1).max()
        if min(white, black) > 0.25:  # dashes
            framed.append((cell["row"], cell["column"]))
    assert len(framed) == len({row for row, _ in framed}) == len({column for _, column in framed}) == 5


def test_two_prompts_on_the_same_noise(diffusion: StableDiffusionPage) -> None:
    diffusion.press("Two prompts")
    other = diffusion.page.get_by_label("the other prompt")
    assert other.input_value() == "a red three on a blue background"
    other.fill("a green seven on a blue background")
    diffusion.finished_by(lambda: other.press("Enter"))
    last, places = diffusion.data("k"), diffusion.places()
    assert len(places) == 8
    assert differ(diffusion.shown(places[0]), diffusion.shown(places[4]))
    diffusion.scrub(0)
    diffusion.press("xₜ")
    diffusion.still()
    assert not differ(diffusion.shown(places[1]), diffusion.shown(places[5])), "the same noise"
    assert last == 21

    diffusion.press("Picture")
    diffusion.scrub(last)
    assert diffusion.words()[1] == "red"
    diffusion.click_on(places[5])
    assert diffusion.words()[1] == "green", "the words of what one clicked on"
    first, second = diffusion.shown(places[0]), diffusion.shown(places[4])
    diffusion.button("green").hover()
    diffusion.still()
    assert differ(diffusion.shown(places[4]), second), "a light on where the word acts"
    assert not differ(diffusion.shown(places[0]), first), "and none where the prompt has another word"


def test_what_cannot_be_drawn_is_said_and_the_picture_stays(diffusion: StableDiffusionPage) -> None:
    before = diffusion.large()
    number = diffusion.number("steps")
    number.fill("1")
    number.press("Enter")
    diffusion.notice("PNDM with 1 step would ask the network once").first.wait_for()
    assert not differ(diffusion.large(), before)
    diffusion.prompt.fill("red " * 2_500)
    diffusion.prompt.press("Enter")
    diffusion.notice("10,000 characters").first.wait_for()
    diffusion.until(FINISHED)
    number.fill("4")
    diffusion.draw("")
    assert "No words" in diffusion.status()
    diffusion.draw("a thick seven " * 12)
    assert "cut" in diffusion.status()
    assert diffusion.page.locator(".pg-token.pg-cut").count() > 3
