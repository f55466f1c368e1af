"""The toy lab's Train, Pause, One step and Reset, training time, and a run that diverges, as an impatient student."""

from tests.browser.toy_page import ORANGE, Mask, Picture, ToyPage, around, count, grey, like

pytest_plugins = ["tests.browser.fixtures"]


def share_on(data: Mask, picture: Picture) -> float:
    """The share of the samples' pixels that lie on the data."""
    samples = like(picture, ORANGE)
    return float((samples & data).sum() / samples.sum())


def test_training_is_seen(toy: ToyPage) -> None:
    toy.canvas.evaluate("c => { c.firstOne = true }")
    assert count(toy.picture(), ORANGE) == 0
    toy.train(1)
    first_distance, first_frames, first = toy.stat("distance"), toy.data("frames"), toy.picture()
    toy.until("(c, frames) => c.dataset.frames >= frames + 3", first_frames)
    assert (toy.picture() != first).any()
    toy.until(
        "(c, limit) => Number(document.querySelector('[data-stat=distance]').textContent) < limit",
        0.6 * first_distance,
    )

    paused_at = toy.pause()
    assert toy.status() == f"Paused at step {paused_at:,}"
    frames = toy.data("frames")
    toy.quiet()
    assert (toy.step, toy.data("frames")) == (paused_at, frames)

    late = toy.picture()
    toy.look_back(0)
    early = toy.picture()
    toy.press("Samples")
    toy.still()
    data = around(grey(toy.picture()), 5)
    assert share_on(data, late) > share_on(data, early) + 0.2
    toy.press("Samples")
    toy.look_back(1)

    toy.press("One step")
    toy.until("(c, step) => Number(c.dataset.step) > step", paused_at)
    assert toy.stopped() == paused_at + 1
    toy.press("Reset")
    toy.until("c => c.dataset.step === '0'")
    toy.train(3)
    assert toy.pause() < paused_at
    assert toy.canvas.evaluate("c => c.firstOne === true"), "the canvas was put in anew"


def test_impatience(toy: ToyPage) -> None:
    toy.button("Train").dblclick()
    toy.until("c => Number(c.dataset.step) >= 5")
    toy.press("Pause", "Train")
    toy.until("(c, step) => Number(c.dataset.step) > step + 3", toy.step)
    toy.press("Reset")
    assert toy.stopped() == 0
    toy.quiet()
    assert toy.step == 0
    toy.press_at_once("train", "reset")
    assert toy.stopped() == 0

    toy.press_at_once("train", "pause")  # the run begins after Pause was pressed
    toy.page.wait_for_function("() => document.querySelector('.pg-status').textContent.startsWith('Paused')")
    step = toy.stopped()
    toy.quiet()
    assert toy.step == step


def test_keys(toy: ToyPage) -> None:
    keyboard = toy.page.keyboard
    keyboard.press("Space")
    toy.until("c => Number(c.dataset.step) >= 5")
    keyboard.press("Space")
    step = toy.stopped()
    keyboard.press(".")
    toy.until("(c, step) => Number(c.dataset.step) > step", step)
    assert toy.stopped() == step + 1
    toy.press("Train")  # and leaves no focus behind that would swallow the next key
    toy.until("(c, step) => Number(c.dataset.step) > step + 5", step)
    keyboard.press("Space")
    toy.stopped()

    places = []
    for key in ("End", "ArrowLeft", "Home", "ArrowRight", "ArrowRight", "ArrowLeft"):
        keyboard.press(key)
        places.append(toy.data("t"))
    assert places == [999, 989, 0, 10, 20, 10]
    slider = toy.page.get_by_label("how noisy")
    slider.focus()
    for key, place in (("End", 999), ("ArrowLeft", 998), ("Home", 0)):
        keyboard.press(key)  # the slider's own keys: finer steps
        assert toy.data("t") == place


def test_training_time_runs_backwards_and_forks(toy: ToyPage) -> None:
    toy.train()
    toy.until("c => c.dataset.frames >= 16")
    end, late = toy.pause(), toy.picture()
    chosen = toy.look_back(0.6)
    assert toy.training_time() == f"step {chosen} of {end}"
    assert (toy.picture() != late).any()
    assert toy.step == end, "looking back changes nothing yet"
    toy.press("Go back here")
    toy.until("(c, step) => Number(c.dataset.step) <= step", chosen)
    arrived = toy.stopped()
    assert chosen / 1.08 - 5 <= arrived <= chosen  # the last checkpoint before
    assert toy.training_time() == f"step {arrived}"

    toy.page.get_by_label("training speed").select_option("5 / s")
    chosen = toy.look_back(0.6)  # an earlier place, and without "Go back here"
    before = toy.picture()
    assert chosen < arrived
    steps = toy.steps_since(
        lambda: toy.press("Train"), "(c, frames) => c.dataset.frames >= frames + 6", toy.data("frames")
    )
    assert chosen / 1.08 - 5 <= steps[0] - 1 <= chosen
    assert steps == list(range(steps[0], steps[0] + len(steps))), "slow motion shows every step"
    assert toy.stat("rate") <= 5
    assert toy.pause() < end
    assert toy.training_time() == f"step {toy.step}"
    assert (toy.picture() != before).any(), "the new run is not shown"


def test_divergence_is_explained_and_can_be_undone(toy: ToyPage) -> None:
    toy.train(30)
    toy.choose("learning rate", "10")
    diverged = toy.stopped()
    for words in ("diverged", "learning rate is 10", "Rewind or reset"):
        assert words in toy.status()
    toy.choose("learning rate", "0.001")
    toy.page.wait_for_url("**training.learning_rate=0.001*")
    toy.look_back(0.3)
    toy.press("Go back here")
    toy.until("(c, step) => Number(c.dataset.step) < step", diverged)
    toy.stopped()
    assert toy.status().startswith("Back at step")
    toy.train(diverged)
    assert toy.pause() > diverged
    assert toy.stat("loss") < 2


def test_the_speed_changes_while_it_runs(toy: ToyPage) -> None:
    speed = toy.page.get_by_label("training speed")
    speed.select_option("1 / s")
    toy.train(2)
    for faster, steps in (("20 / s", 12), ("max", 60)):
        speed.select_option(faster)
        toy.until("(c, steps) => Number(c.dataset.step) >= steps", steps)
    toy.pause()
