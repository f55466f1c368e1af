"""The MNIST tab trains: digits sharpen while one watches."""

import numpy as np

from tests.browser.mnist_page import MnistPage

pytest_plugins = ["tests.browser.fixtures"]


def test_train_pause_rewind(digits: MnistPage) -> None:
    digits.press("Train live")
    digits.press("Train")
    digits.until("c => Number(c.dataset.frames) >= 2")
    first = digits.stat("loss")
    early = digits.picture()
    digits.until("c => Number(c.dataset.step) >= 40", within=180_000)
    assert digits.stat("loss") < 0.8 * first
    digits.press("Pause")
    digits.until("() => !document.querySelector('.pg-mnist [data-do=train]').disabled")
    digits.still()
    step = digits.step
    assert np.abs(digits.picture().astype(int) - early).mean() > 1
    digits.look_back(0.5)
    digits.press("Go back here")
    digits.notice("Back at step").first.wait_for()
    assert 0 < digits.step < step
    digits.press("Train")
    digits.until("(c, step) => Number(c.dataset.step) > step", digits.step)
    digits.press("Pause")
    digits.until("() => !document.querySelector('.pg-mnist [data-do=train]').disabled")


def test_teach_it_a_drawn_digit(digits: MnistPage) -> None:
    digits.press("Train live")
    digits.press("Draw a digit")
    digits.stroke((0.3, 0.2), (0.7, 0.2), (0.4, 0.8))
    digits.page.get_by_label("which digit it is").select_option("7")
    digits.press("Teach it this")
    digits.notice("1 drawn to teach").first.wait_for()
    digits.press("Cancel")
    digits.press("Train")
    digits.until("c => Number(c.dataset.frames) >= 2", within=180_000)
    assert digits.stat("loss") < 0.4, "the network that ships knows digits already"
    digits.press("Pause")
    digits.until("() => !document.querySelector('.pg-mnist [data-do=train]').disabled")


def test_what_is_missing_is_told(digits: MnistPage) -> None:
    digits.unfold("Live training")
    digits.choose("learn from", "my drawings, from what ships")
    digits.press("Train live", "Train")
    digits.notice("Draw digits first").first.wait_for()
    assert digits.step == 0
    digits.choose("learn from", "MNIST, from scratch")
    digits.press("Train")
    digits.until("c => Number(c.dataset.frames) >= 1")
    digits.press("Pause")
    digits.until("() => !document.querySelector('.pg-mnist [data-do=train]').disabled")
