"""The toy lab for everyone: two visitors at once, phones, dark rooms, screen readers, eyes that want no motion."""

from typing import Any

from playwright.sync_api import Page

from tests.browser.toy_page import ORANGE, ToyPage, Visit, count, grey

pytest_plugins = ["tests.browser.fixtures"]

CONTROLS = {"button", "checkbox", "combobox", "link", "option", "radio", "slider", "spinbutton", "tab", "textbox"}
GROUPS = ("Data", "Noise", "Network", "Learning", "Sampling")
FOLDED = (*GROUPS, "more", "How it works", "The code that is running", "Take it home")


def accessible_nodes(page: Page) -> list[dict[str, Any]]:
    """The tree that screen readers are given, as a list."""
    nodes = page.context.new_cdp_session(page).send("Accessibility.getFullAXTree")["nodes"]
    return [node for node in nodes if not node["ignored"]]


def test_two_visitors_train_side_by_side(visit: Visit) -> None:
    one, two = visit(), visit("?dataset=disc_grid")
    one.train(3)
    two.train(3)
    at = one.step
    two.until("(c, step) => Number(c.dataset.step) > step + 5", two.step)
    one.until("(c, step) => Number(c.dataset.step) > step + 5", at)
    assert "disc_grid" not in one.page.url
    stopped = one.pause()
    two.until("(c, step) => Number(c.dataset.step) > step + 5", two.step)
    assert one.step == stopped
    ours, theirs = grey(one.picture()), grey(two.picture())
    assert (ours ^ theirs).sum() > 0.5 * ours.sum()

    one.train(5)
    assert one.watched.errors == []
    one.page.context.close()
    one.watched.errors.clear()  # Gradio complains of its streams when a page is left
    two.until("(c, step) => Number(c.dataset.step) > step + 20", two.step)
    assert two.watched.errors == []
    two.page.reload()
    two.until("c => c.dataset.painted > 0")
    two.watched.errors.clear()
    assert two.step == 0
    two.train(5)
    two.pause()


def test_every_control_has_a_name(toy: ToyPage) -> None:
    toy.unfold(*FOLDED)
    toy.train(3)
    toy.pause()
    toy.quiet()
    nodes = [node for node in accessible_nodes(toy.page) if node["role"]["value"] in CONTROLS]
    assert len(nodes) > 60
    nameless = [node["role"]["value"] for node in nodes if not node.get("name", {}).get("value", "").strip()]
    assert nameless == []
    names = [node["name"]["value"] for node in nodes]
    for name in ("Train", "how noisy (t)", "training time, rewind", "score arrows", "point cloud", "learning rate"):
        assert name in names
    views = {node["name"]["value"]: node for node in nodes if node["role"]["value"] == "button"}
    pressed = {p["name"]: p["value"]["value"] for p in views["Samples"]["properties"]}
    assert pressed["pressed"] in (True, "true")


def test_a_screen_reader_is_told(toy: ToyPage) -> None:
    def announced() -> str:
        roles = {node["nodeId"]: node["role"]["value"] for node in accessible_nodes(toy.page)}
        assert "status" in roles.values()
        return toy.page.get_by_role("status").first.inner_text()

    assert announced() == "Press Train"
    toy.train(3)
    assert announced() == "Training"
    step = toy.pause()
    assert announced() == f"Paused at step {step}"
    toy.page.get_by_label("how noisy").press("End")
    assert toy.page.get_by_label("how noisy").get_attribute("aria-valuetext") == "t = 999 of 999, 100 % noise"


def test_everything_by_keyboard(toy: ToyPage) -> None:
    toy.button("Train").focus()
    toy.page.keyboard.press("Enter")
    toy.until("c => Number(c.dataset.step) > 3")
    toy.button("Pause").focus()
    toy.page.keyboard.press("Space")  # presses the button, and is not the shortcut at the same time
    toy.stopped()
    toy.button("Forward").focus()
    toy.page.keyboard.press("Space")
    assert toy.button("Forward").get_attribute("aria-pressed") == "true"
    assert toy.status().startswith("Paused")
    knob = toy.page.get_by_role("combobox", name="learning rate")
    knob.focus()
    for key in ("ArrowDown", "ArrowDown", "Enter"):
        toy.page.keyboard.press(key)
    toy.page.wait_for_url("**training.learning_rate=*")
    assert toy.status().startswith("Paused"), "keys in a knob are the knob's"


def test_reduced_motion(visit: Visit) -> None:
    toy = visit(reduced_motion="reduce")
    toy.quiet()
    painted = toy.data("painted")
    toy.quiet()
    assert toy.data("painted") == painted, "something plays by itself"
    assert toy.data("t") == 0
    toy.train(30)
    toy.pause()
    toy.unfold("Sampling")
    toy.canvas.evaluate(
        """c => new MutationObserver(() => requestAnimationFrame(() => requestAnimationFrame(() => {
        window.soonAfter = c.toDataURL() }))).observe(c, {attributeFilter: ["data-frames"]})"""
    )
    toy.choose("sampler", "DDPM")  # a frame with all points elsewhere
    toy.until("() => window.soonAfter")
    toy.still()
    assert toy.canvas.evaluate("c => c.toDataURL() === window.soonAfter"), "points glide"


def test_a_phone(visit: Visit) -> None:
    toy = visit(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    toy.unfold(*FOLDED)
    toy.button("Train").tap()
    toy.until("c => Number(c.dataset.step) >= 10")
    toy.button("Pause").tap()
    toy.stopped()
    assert count(toy.picture(), ORANGE) > 200
    assert toy.page.evaluate("() => document.documentElement.scrollWidth") <= 390
    outside = toy.page.locator("button, input, select").evaluate_all(
        """controls => controls.filter((c) => c.checkVisibility() && !c.closest("[aria-hidden=true]"))
        .map((c) => [c.getBoundingClientRect(), c]).filter(([box]) => box.width && (box.left < -1 || box.right > 391))
        .map(([box, c]) => c.outerHTML)"""
    )
    assert outside == []
    toy.choose("point cloud", "Heart")
    toy.page.wait_for_url("**dataset=heart*")
    toy.canvas.scroll_into_view_if_needed()
    toy.button("Train").tap()
    toy.until("c => Number(c.dataset.step) >= 3")


def test_a_dark_room(visit: Visit) -> None:
    toy = visit(color_scheme="dark")
    toy.train(5)
    toy.pause()
    picture = toy.picture()
    assert picture[-1, 0].max() < 60
    assert count(picture, ORANGE) > 500
    for darkness, painted in ((False, range(240, 256)), (True, range(60))):
        toy.press("switch between light and dark")
        toy.until("(c, dark) => document.body.classList.contains('dark') === dark", darkness)
        toy.still()
        assert toy.picture()[-1, 0].max() in painted
