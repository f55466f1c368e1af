"""The MNIST tab's main job: forward and reverse under one slider, without a request."""

from itertools import pairwise
from typing import Any

import diffusers
import numpy as np
import torch

from playground.mnist import MnistLab
from playground.mnist.data import to_bytes
from tests.browser.mnist_page import FORWARD, REVERSE, MnistPage

pytest_plugins = ["tests.browser.fixtures"]


def test_the_first_picture_moves_by_itself(digits: MnistPage) -> None:
    digits.until("c => Number(c.dataset.t) > 0")
    t, before = digits.data("t"), digits.picture()
    digits.until("(c, t) => Number(c.dataset.t) !== t", t)
    digits.page.wait_for_timeout(500)
    assert np.abs(digits.picture().astype(int) - before).mean() > 0.5
    digits.hold()


def test_scrubbing_asks_for_nothing(digits: MnistPage) -> None:
    digits.hold()
    asked = digits.quiet()
    seen = []
    for t in (999, 700, 400, 100, 0):
        digits.scrub(t)
        seen.append(digits.tiles(REVERSE, "x"))
    assert len(digits.watched.requests) == asked
    changes = [np.abs(a - b).mean() for a, b in pairwise(seen)]
    assert min(changes) > 5, "every place on the slider looks different"
    ink = [np.abs(x - 127.5).mean() for x in seen]
    assert ink[-1] > ink[0] + 30, "digits are black and white, noise is all between"


def test_three_forward_processes_are_one(digits: MnistPage) -> None:
    """What the browser paints, what the lab says, what diffusers' DDPM adds: the same pixels."""
    digits.hold()
    table = MnistLab().forward(seed=0, schedule="linear")
    scheduler: Any = diffusers.DDPMScheduler(beta_schedule="linear", beta_start=1e-4, beta_end=0.02)
    for t in (0, 50, 250, 999):
        digits.scrub(t)
        painted = digits.tiles(FORWARD, "x")
        lab = table.at(t)
        added = scheduler.add_noise(table.x0, table.eps, torch.full((16,), t))
        torch.testing.assert_close(lab, added, rtol=0, atol=1e-5)
        wanted = to_bytes(lab)[:, 0].numpy().astype(float)
        inside = slice(1, -1)  # the outline of the chosen digit lies on its rim
        difference = np.abs(painted - wanted)[:, inside, inside]
        assert difference.max() <= 2, "a grey level of rounding, in 256"


def test_the_end_is_a_digit_and_the_start_is_the_bell(digits: MnistPage) -> None:
    digits.hold()
    digits.scrub(999)
    noise = digits.tiles(FORWARD, "x")
    assert 0.25 < (noise == 0).mean() + (noise == 255).mean() < 0.40, "N(0, 1) leaves ±1 with a probability of .32"
    digits.canvas.focus()
    digits.page.keyboard.press("Home")
    digits.still()
    x, x0 = digits.tiles(REVERSE, "x"), digits.tiles(REVERSE, "x0")
    assert np.abs(x - x0)[:, 1:-1, 1:-1].max() <= 2, "arrived, x_t is the guess"


def test_keys_and_one_large(digits: MnistPage) -> None:
    digits.hold()
    digits.canvas.focus()
    digits.page.keyboard.press("End")
    digits.still()
    assert digits.data("t") == 999
    digits.page.keyboard.press("ArrowLeft")
    digits.still()
    assert digits.data("t") < 999
    digits.page.keyboard.press("Home")
    digits.page.keyboard.press("Space")
    digits.until("c => Number(c.dataset.t) > 500")
    digits.hold()
    before = digits.picture()
    digits.press("One large")
    digits.still()
    assert (
        np.abs(digits.picture().astype(int)[:200] - before[:200]).mean() > 3 or digits.picture().shape != before.shape
    )


def test_nothing_moves_for_those_who_asked_for_it(visit_digits: Any) -> None:
    tab = visit_digits(reduced_motion="reduce")
    tab.page.wait_for_timeout(1500)
    painted = tab.data("painted")
    tab.page.wait_for_timeout(1000)
    assert tab.data("painted") == painted
